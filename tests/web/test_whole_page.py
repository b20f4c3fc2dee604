"""The complete page, as parsed by Prometheus's own tools."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dashboards.essential import queries
from exporter.metrics.metric import Kind
from exporter.reference import metric_groups, series_per_object
from servers import nats, prometheus, valkey, vllm
from servers.kubernetes import Kubernetes
from servers.neo4j import RunningNeo4j
from servers.process import wait_for
from tests.support.fleet_streams import fleet_on
from tests.support.pages import eventually
from tests.support.process import Exporter, exporter

SOURCES = {"fleet", "jetstream", "neo4j", "rayjob", "valkey", "vllm"}


async def _speaks(url: str) -> None:
    async with fleet_on(url) as fleet:
        await fleet.stream("WHOLE_PAGE", "whole.>", "agent.response.>")
        for number in range(3):
            body = {"task_id": "T", "agent_id": f"agent-dev-00{number}", "num_agents": 3, "duration_ms": 1500}
            await fleet.says("agent.response.completed", story_id="US-1", model='Q"\\ü', **body)


@pytest.fixture(scope="module")
def backends(neo4j_server: RunningNeo4j, kubernetes_server: Kubernetes) -> Iterator[dict[str, str]]:
    """The variables of an exporter that reads everything, without the objects of other tests."""
    with vllm.start() as engine, nats.start() as bus, valkey.start() as cache:
        yield {
            "NATS_URL": bus.url,
            "REDIS_URL": cache.url,
            "NEO4J_URI": neo4j_server.url,
            "NEO4J_PASSWORD": neo4j_server.password,
            "VLLM_URL": engine.url,
            "FLEET_EXPORTER_RAYJOB_KUBECONFIG": str(kubernetes_server.kubeconfig),
            "FLEET_EXPORTER_RAYJOB_NAMESPACES": "whole-page",
            "FLEET_EXPORTER_VALKEY_KEY_GROUPS": "true",
        }


def _wait_until_complete(process: Exporter) -> None:
    def complete() -> bool:
        page = httpx.get(f"{process.url}/metrics", timeout=30).text
        lines = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up{")]
        return {line.split('"')[1] for line in lines if line.endswith(" 1")} == SOURCES

    wait_for(complete, what="every source to be up")


@pytest.fixture(scope="module")
def everything(backends: dict[str, str]) -> Iterator[Exporter]:
    with exporter(variables=backends) as process:
        _wait_until_complete(process)
        asyncio.run(_speaks(backends["NATS_URL"]))
        yield process


@pytest.fixture(scope="module")
def essential(everything: Exporter, backends: dict[str, str]) -> Iterator[Exporter]:
    with exporter("--profile=essential", variables=backends) as process:
        _wait_until_complete(process)
        yield process


def test_promtool_accepts_it(everything: Exporter, promtool: Path) -> None:
    page = httpx.get(f"{everything.url}/metrics", timeout=30).content
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)

    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert b"# {" not in page


async def test_openmetrics_with_its_exemplars(everything: Exporter) -> None:
    accept = {"accept": "application/openmetrics-text;version=1.0.0"}

    async def spoken() -> bool:
        async with httpx.AsyncClient(timeout=30) as client:
            page = (await client.get(f"{everything.url}/metrics", headers=accept)).text
        families = {family.name: family for family in text_string_to_metric_families(page)}  # type: ignore[no-untyped-call]  # prometheus_client does not annotate it
        duration = families.get("fleet_agent_response_duration_seconds")
        exemplars = [sample.exemplar.labels for sample in duration.samples if sample.exemplar] if duration else []
        return {"task_id": "T", "story_id": "US-1"} in exemplars

    await eventually(spoken)


def test_every_metric_of_the_page_has_a_type_and_help_and_is_in_the_reference(everything: Exporter) -> None:
    page = httpx.get(f"{everything.url}/metrics", timeout=30).text

    helped = {line.split()[2] for line in page.split("\n") if line.startswith("# HELP ")}
    typed = {line.split()[2] for line in page.split("\n") if line.startswith("# TYPE ")}
    assert helped == typed
    assert helped <= {metric.name for metrics in metric_groups().values() for metric in metrics}


def test_every_metric_has_the_series_that_the_reference_states(everything: Exporter) -> None:
    """For each combination of labels, without the label of a state set and the bound of a bucket."""
    declared = {metric.name: metric for metrics in metric_groups().values() for metric in metrics}
    found: dict[str, Counter[str]] = {}
    for series in _series(everything):
        name, _, braced = series.partition("{")
        metric = declared.get(name) or declared[re.sub(r"_(bucket|sum|count)$", "", name)]
        last = "le" if metric.kind is Kind.HISTOGRAM else metric.labels[-1] if metric.states else None
        found.setdefault(metric.name, Counter())[re.sub(rf'(^|,){last}="[^"]*"}}$', "", braced).removesuffix("}")] += 1

    stated = {name: series_per_object(declared[name]) for name in found}
    assert {name: counts for name, counts in found.items() if stated[name] and {*counts.values()} != {stated[name]}} == {}
    assert len(found["fleet_agent_state"]) == len(found["fleet_agent_task_duration_seconds"]) == 3


def _series(process: Exporter) -> list[str]:
    page = httpx.get(f"{process.url}/metrics", timeout=30).text
    return [line.rpartition(" ")[0] for line in page.splitlines() if not line.startswith("#")]


def test_the_essential_profile_has_at_most_a_quarter_of_the_series(everything: Exporter, essential: Exporter) -> None:
    whole, kept = _series(everything), _series(essential)

    assert set(kept) <= set(whole)
    assert 0 < len(kept) <= len(whole) / 4


def test_alerts_and_overview_have_the_same_series_from_the_essential_profile(
    everything: Exporter, essential: Exporter
) -> None:
    with ExitStack() as running:
        servers = [running.enter_context(prometheus.start(config=_scraping(process))) for process in (everything, essential)]

        client = running.enter_context(httpx.Client(timeout=30))

        def answers(url: str, query: str) -> set[frozenset[tuple[str, str]]]:
            answer = client.get(f"{url}/api/v1/query", params={"query": query}).raise_for_status().json()
            return {
                frozenset((name, value) for name, value in one["metric"].items() if name != "instance")
                for one in answer["data"]["result"]
            }

        def has_answer(url: str, query: str) -> bool:
            return bool(answers(url, query))

        for server in servers:
            wait_for(partial(has_answer, server.url, "count_over_time(up[1h]) >= 3"), what="three scrapes")
        asked = {query: [answers(server.url, query) for server in servers] for query in queries()}

    assert {query for query, (whole, kept) in asked.items() if whole != kept} == set()
    assert sum(bool(whole) for whole, _ in asked.values()) > 20


def _scraping(process: Exporter) -> str:
    target = process.url.removeprefix("http://")
    jobs = [{"job_name": "fleet-exporter", "static_configs": [{"targets": [target]}]}]
    return json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs})
