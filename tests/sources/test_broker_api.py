"""The agent broker in the API and among the fleet's events."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.sources.broker_tables import broker, filled, insert
from tests.sources.ledgers import invoke, writer
from tests.support.process import exporter


def test_the_api_returns_the_brokers_dashboard_and_the_ledgers_days(tmp_path: Path) -> None:
    with broker(tmp_path / "broker.db") as connection, writer(tmp_path / "telemetry.db") as ledger:
        filled(connection)
        invoke(ledger, 1, model_name="=m")
        flags = (f"--broker.database={tmp_path / 'broker.db'}", f"--costs.database={tmp_path / 'telemetry.db'}")
        with exporter(*flags) as running:
            httpx.get(f"{running.url}/metrics")
            found = httpx.get(f"{running.url}/api/monitoring/dashboard").json()
            assert [agent["agentId"] for agent in found["agents"]] == ["a", "b"]
            assert found["agents"][0]["metrics"]["memoryMb"] == 512
            assert [event["message"] for event in found["recentEvents"]] == ["y", "x", "up"]
            assert found["activeErrors"] == [{"agentId": "a", "count": 1}]
            one = httpx.get(f"{running.url}/api/monitoring/agents/a", params={"hours": 1}).json()
            assert (len(one["metrics"]), len(one["events"]), len(one["errors"])) == (2, 3, 2)
            assert httpx.get(f"{running.url}/api/monitoring/agents/nobody").status_code == 404
            [day] = httpx.get(f"{running.url}/api/costs").json()
            assert (day["model"], day["cost_usd"]) == ("=m", 0.5)
            table = httpx.get(f"{running.url}/api/costs", params={"format": "csv"}).text.splitlines()
            assert table[1].split(",")[1:3] == ["'=m", "1"]


async def test_events_and_agents_of_the_broker_are_listed_with_other_systems(tmp_path: Path) -> None:
    with broker(tmp_path / "broker.db") as connection:
        filled(connection)
        with exporter(f"--broker.database={tmp_path / 'broker.db'}") as running:
            async with httpx.AsyncClient(timeout=20) as client:
                page = (await client.get(f"{running.url}/metrics")).text
                assert 'fleet_agents{system="broker",role="claude",state="online"} 2' in page
                agents = (await client.get(f"{running.url}/api/agents", params={"system": "broker"})).json()
                assert [(agent["id"], agent["state"]) for agent in agents] == [("a", "online"), ("b", "online")]
                async with client.stream("GET", f"{running.url}/api/events/stream") as response:
                    lines = response.aiter_lines()
                    await anext(lines)
                    insert(connection, "agent_events", agent_id="a", event_type="error", message="no answer")
                    async for line in lines:
                        if line.startswith("data: "):
                            event = json.loads(line.removeprefix("data: "))
                            break
                shown = (event["family"], event["type"], event["agent"], event["error"])
                assert shown == ("broker", "broker.error", "a", "no answer")
                found = (await client.get(f"{running.url}/api/events", params={"since": "1h"})).json()
                assert [one["type"] for one in found["events"]] == ["broker.error"]
