"""Totals that panels show of SQLite databases, against the rows: the exporter's own sources read them at each scrape."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.source import Source
from exporter.sources.broker import Broker, BrokerOptions
from exporter.sources.costs import Costs, CostsOptions
from tests.dashboards.test_totals import BEGIN, END, WIDTHS, every_range, holding, number, rows, shown
from tests.sources.broker_tables import broker, insert
from tests.sources.ledgers import invoke, writer
from tests.support.pages import followed, page_now

SCRAPE = 60
COUNTED = ("fleet_cost_", "fleet_broker_events_total")


def text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


async def _read(ledger: sqlite3.Connection, events: sqlite3.Connection, sources: list[Source]) -> Iterator[str]:
    """Exposition of both sources at each scrape, while rows are added."""
    chance = random.Random(16)
    series: dict[str, list[tuple[float, int]]] = defaultdict(list)
    serial = 0
    for at in range(BEGIN, END + 1, SCRAPE):
        for source in sources:
            for name, value in (await page_now(source)).items():
                if name.startswith(COUNTED):
                    series[name].append((value, at))
        for moment in sorted(at + chance.uniform(0.5, SCRAPE) for _ in range(chance.randrange(24))):
            serial += 1
            invoke(
                ledger,
                serial,
                timestamp=text(moment),
                agent_name=chance.choice(("coder", "reviewer")),
                model_name=chance.choice(("small", "small", "large")),
                status=chance.choices(("success", "error"), (9, 1))[0],
                cost_usd=chance.uniform(0.001, 0.02),
                prompt_tokens=chance.randrange(4000),
                completion_tokens=chance.randrange(900),
            )
            kind, alert = chance.choice((("started", {}), ("error", {}), ("error", {"alertType": "cpu"})))
            row = {"event_type": kind, "metadata": json.dumps(alert), "timestamp": text(moment)}
            insert(events, "agent_events", agent_id="a", message="m", **row)
    return _exposition(series)


def _exposition(series: dict[str, list[tuple[float, int]]]) -> Iterator[str]:
    family = ""
    for name, values in sorted(series.items(), key=lambda one: one[0].partition("{")):
        metric, _, labels = name.partition("{")
        if metric != family and metric.endswith("_total"):
            yield f"# TYPE {metric.removesuffix('_total')} counter"
        family = metric
        for value, at in values:
            yield f'{metric}{{job="fleet-exporter",instance="one:9847"{"," * bool(labels)}{labels or "}"} {value} {at}'
    yield "# EOF"


@pytest.fixture(scope="module")
def databases(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection, list[str]]]:
    """A ledger, a broker's database, and four hours of scrapes of both as they grew."""
    folder = tmp_path_factory.mktemp("databases")

    async def read() -> list[str]:
        sources = [Costs(CostsOptions(database=folder / "costs.db")), Broker(BrokerOptions(database=folder / "broker.db"))]
        async with followed(sources[0]), followed(sources[1]):
            return list(await _read(ledger, events, sources))

    with writer(folder / "costs.db") as ledger, broker(folder / "broker.db") as events:
        yield ledger, events, asyncio.run(read())


@pytest.fixture(scope="module")
def client(
    databases: tuple[sqlite3.Connection, sqlite3.Connection, list[str]],
    promtool: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    with holding(databases[2], promtool, tmp_path_factory.mktemp("samples")) as asking:
        yield asking


def near(truth: float, of_one: float = 1.0) -> Any:
    """Off by the rows of less than a scrape interval at each end; `of_one` is the value of a row."""
    return pytest.approx(truth, rel=0.1, abs=6 * of_one)


@every_range
def test_costs_by_agent_and_model_are_those_of_the_ledger(
    client: httpx.Client, databases: tuple[sqlite3.Connection, ...], seconds: int
) -> None:
    table = rows(shown(client, "fleet-board-costs", "By agent and model", seconds, WIDTHS[0]))
    query = """SELECT agent_name, model_name, sum(cost_usd), count(*), avg(status = 'error'), sum(prompt_tokens),
        sum(completion_tokens) FROM invocations WHERE timestamp BETWEEN ? AND ? GROUP BY 1, 2"""
    truth = {(row[0], row[1]): row[2:] for row in databases[0].execute(query, (text(END - seconds), text(END)))}

    assert {(row["agent"], row["model"]) for row in table} == truth.keys()
    for row in table:
        cost, calls, failed, prompt, completion = truth[row["agent"], row["model"]]
        assert number(row["cost"]) == near(cost, 0.01)
        assert number(row["invocations"]) == near(calls)
        assert number(row["per invocation"]) == pytest.approx(cost / calls, rel=0.35)
        assert number(row["failed"] or "0") / 100 == pytest.approx(failed, abs=0.25 if seconds == 300 else 0.06)
        assert number(row["prompt tokens"]) == near(prompt, 2000)
        assert number(row["completion tokens"]) == near(completion, 450)


def test_all_that_was_spent_is_the_sum_of_the_ledger(client: httpx.Client, databases: tuple[Any, ...]) -> None:
    stats = shown(client, "fleet-board-costs", "Spent", 300, WIDTHS[0])["stats"]
    query = "SELECT sum(cost_usd) FROM invocations WHERE timestamp <= ?"
    ((truth,),) = databases[0].execute(query, (text(END),))

    assert {one["name"]: one["text"] for one in stats}["total"] == f"${truth:.2f}"


@every_range
def test_events_by_type_are_those_of_the_broker(
    client: httpx.Client, databases: tuple[sqlite3.Connection, ...], seconds: int
) -> None:
    table = rows(shown(client, "fleet-agent-monitoring", "Events by type", seconds, WIDTHS[0]))
    query = """SELECT event_type, iif(json_extract(metadata, '$.alertType') IS NULL, 'agent', 'alert'), count(*)
        FROM agent_events WHERE timestamp BETWEEN ? AND ? GROUP BY 1, 2"""
    truth = {(row[0], row[1]): row[2] for row in databases[1].execute(query, (text(END - seconds), text(END)))}

    assert {(row["type"], row["origin"]): number(row["events"]) for row in table} == {
        key: near(count) for key, count in truth.items()
    }
