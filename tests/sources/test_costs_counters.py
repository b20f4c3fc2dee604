"""Counters of the cost ledger on real SQLite files: across restarts, retention, gaps and replaced files."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from exporter.sources.costs import Costs, CostsOptions
from servers import prometheus
from servers.process import free_port
from tests.sources.ledgers import LABELS, invoke, writer
from tests.support.pages import eventually, followed, page_now
from tests.support.process import exporter


async def test_counters_start_at_0_and_count_added_rows(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    with writer(path) as ledger:
        invoke(ledger, 1)
        source = Costs(CostsOptions(database=path))
        async with followed(source):
            before = await page_now(source)
            assert before[f"fleet_cost_invocations_total{{{LABELS}}}"] == 0  # known, so that the first increase counts
            assert before['fleet_cost_latency_seconds_count{model="m"}'] == 0
            assert before['fleet_cost_spent_usd{period="all"}'] == 0.5
            assert before["fleet_cost_recent_invocations"] == 1
            invoke(ledger, 2)
            invoke(ledger, 3, latency_ms=3000, cost_usd=None)
            invoke(ledger, 4, agent_name=None, status="error", latency_ms=None, model_name="other-model")
            other = 'fleet_cost_invocations_total{model="other-model",tool="chat",agent="unknown",status="error"}'
            assert (await page_now(source))[other] == 0  # before its first rise
            page = await page_now(source)
    assert page[other] == 1
    assert page[f"fleet_cost_invocations_total{{{LABELS}}}"] == 2
    assert page[f"fleet_cost_prompt_tokens_total{{{LABELS}}}"] == 20
    assert page[f"fleet_cost_completion_tokens_total{{{LABELS}}}"] == 10
    assert page[f"fleet_cost_usd_total{{{LABELS}}}"] == 0.5
    assert page['fleet_cost_latency_seconds_bucket{model="m",le="0.5"}'] == 1
    assert page['fleet_cost_latency_seconds_bucket{model="m",le="5.0"}'] == 2
    assert page['fleet_cost_latency_seconds_sum{model="m"}'] == 3.3
    assert page["fleet_cost_recent_invocations"] == 4
    assert page["fleet_cost_last_invocation_timestamp_seconds"] == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert not list(tmp_path.glob("*-wal"))


async def test_prometheus_counts_each_invocation_once_across_a_restart_and_retention(tmp_path: Path) -> None:
    """By what `increase()` adds up, without its extrapolation: the rises, and after a reset the value."""
    path, port = tmp_path / "telemetry.db", free_port(None)
    flags = (f"--costs.database={path}", f"--web.listen-address=127.0.0.1:{port}")
    config = f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: fleet, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""

    def rises(server: str, name: str) -> float:
        response = httpx.get(f"{server}/api/v1/query", params={"query": f"{name}[10m]"}).json()
        total = 0.0
        for found in response["data"]["result"]:
            values = [float(value) for _, value in found["values"]]
            total += sum(later - earlier if later >= earlier else later for earlier, later in itertools.pairwise(values))
        return total

    async def shown(server: str, rise: float) -> None:
        async def reached() -> bool:
            return await asyncio.to_thread(rises, server, "fleet_cost_invocations_total") >= rise

        await eventually(reached)

    with writer(path) as ledger, prometheus.start(config=config) as server:
        for number in range(20):
            invoke(ledger, number)

        async def scraped(count: float) -> None:
            query = {"query": f'count_over_time(fleet_exporter_source_up{{source="costs"}}[10m]) > {count}'}

            async def found() -> bool:
                response = await asyncio.to_thread(httpx.get, f"{server.url}/api/v1/query", params=query)
                return bool(response.json()["data"]["result"])

            await eventually(found)

        with exporter(*flags):
            await scraped(1)
            for number in range(20, 23):
                invoke(ledger, number)
            invoke(ledger, 23, model_name="new")
            await shown(server.url, 4)
        ledger.execute("DELETE FROM invocations WHERE id <= 10")
        with exporter(*flags):
            await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/metrics")
            invoke(ledger, 24)
            await shown(server.url, 5)
            invoke(ledger, 25, cost_usd=1.0)
            await shown(server.url, 6)
            assert rises(server.url, "fleet_cost_invocations_total") == 6
            assert rises(server.url, "fleet_cost_latency_seconds_count") == 6
            assert rises(server.url, "fleet_cost_usd_total") == pytest.approx(3.5)


async def test_counters_survive_retention_and_gauges_follow_the_table(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    total, spent = f"fleet_cost_invocations_total{{{LABELS}}}", 'fleet_cost_spent_usd{period="all"}'
    with writer(path) as ledger:
        for number in range(20):
            invoke(ledger, number)
        source = Costs(CostsOptions(database=path))
        async with followed(source):
            await page_now(source)
            invoke(ledger, 20)
            ledger.execute("DELETE FROM invocations WHERE id <= 5")
            page = await page_now(source)
            assert (page[total], page[spent]) == (1, 8.0)
            ledger.execute("DELETE FROM invocations WHERE id > 10")
            page = await page_now(source)
            assert (page[total], page[spent]) == (1, 2.5)
        again = Costs(CostsOptions(database=path))
        async with followed(again):
            page = await page_now(again)
            assert (page[total], page[spent]) == (0, 2.5)


async def test_reading_resumes_after_gaps_and_in_a_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    total, spent = f"fleet_cost_invocations_total{{{LABELS}}}", 'fleet_cost_spent_usd{period="all"}'
    source = Costs(CostsOptions(database=path))
    with writer(path) as ledger:
        invoke(ledger, 1)
        async with followed(source):
            await page_now(source)
            invoke(ledger, 2)
            invoke(ledger, 1000, id=5_000_000_000)
            assert (await page_now(source))[total] == 2
            with writer(tmp_path / "new.db") as other:
                for number in range(4):
                    invoke(other, number)
            (tmp_path / "new.db").replace(path)
            page = await page_now(source)
            assert (page[total], page[spent]) == (2, 2.0)
            with writer(path) as other:
                invoke(other, 5)
            assert (await page_now(source))[total] == 3
