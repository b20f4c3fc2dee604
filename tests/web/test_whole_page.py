"""The complete page, as parsed by Prometheus's own tools."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.reference import metric_groups
from servers import nats, vllm
from servers.kubernetes import Kubernetes
from servers.neo4j import RunningNeo4j
from servers.process import wait_for
from servers.valkey import RunningValkey
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
def everything(
    valkey_server: RunningValkey, neo4j_server: RunningNeo4j, kubernetes_server: Kubernetes
) -> Iterator[Exporter]:
    with vllm.start() as engine, nats.start() as bus:
        variables = {
            "NATS_URL": bus.url,
            "REDIS_URL": valkey_server.url,
            "NEO4J_URI": neo4j_server.url,
            "NEO4J_PASSWORD": neo4j_server.password,
            "VLLM_URL": engine.url,
            "FLEET_EXPORTER_RAYJOB_KUBECONFIG": str(kubernetes_server.kubeconfig),
            "FLEET_EXPORTER_VALKEY_KEY_GROUPS": "true",
        }
        with exporter(variables=variables) as process:

            def complete() -> bool:
                page = httpx.get(f"{process.url}/metrics", timeout=30).text
                lines = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up{")]
                return {line.split('"')[1] for line in lines if line.endswith(" 1")} == SOURCES

            wait_for(complete, what="every source to be up")
            asyncio.run(_speaks(bus.url))
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
