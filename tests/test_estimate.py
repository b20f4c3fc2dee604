"""`fleet-exporter estimate`: its costs per object against pages of real objects."""

from __future__ import annotations

import json

import msgspec
import nats
import pytest

from exporter.cli import main
from exporter.config.options import Address
from exporter.estimate import COSTS
from exporter.events.model import Message, parsed
from exporter.fleet.state import Caps, Fleet
from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
from exporter.metrics.metric import Sample
from exporter.metrics.profile import essential
from exporter.scrape import read_once
from exporter.sources.fleet.samples import samples
from exporter.sources.fleet.snapshot import state_of
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from exporter.sources.rayjob.jobs import Correlation, RayJobs
from exporter.sources.rayjob.jobs import samples as job_samples
from servers.nats import Nats

NOW = 1_763_632_800.0


def _agents(count: int) -> list[Sample]:
    fleet = Fleet(Caps(agents=count))
    for number in range(count):
        body = {"task_id": f"T-{number // 3}", "agent_id": f"agent-{number:06}", "role": "DEV", "duration_ms": 1500}
        message = Message("agent.response.completed", json.dumps(body).encode(), NOW, "AGENT_RESPONSES", 1)
        fleet.apply(parsed(message), NOW)
    return list(samples(state_of(fleet, NOW)))


def _jobs(count: int) -> list[Sample]:
    store = RayJobs(Correlation("fleet/agent", "fleet/task", "fleet/role", "fleet/story"))

    def job(number: int) -> msgspec.Raw:
        labels = {"fleet/agent": f"agent-dev-{number:04}", "fleet/role": "DEV", "fleet/task": f"TSK-{number}"}
        meta = {"name": f"deliberation-{number:06}", "namespace": "fleet", "uid": f"uid-{number}", "labels": labels}
        status = {"jobStatus": "RUNNING", "jobDeploymentStatus": "Running", "startTime": "2026-01-01T00:00:00Z"}
        return msgspec.Raw(msgspec.json.encode({"metadata": meta, "spec": {"backoffLimit": 2}, "status": status}))

    store.replace("", store.rows("", [job(number) for number in range(count)]))
    return list(job_samples(list(store.rows_now().values())))


def _slopes(few: list[Sample], many: list[Sample], more: int) -> tuple[float, ...]:
    """Series and bytes of the page for each further object, in the full and the essential profile."""
    found = []
    for kept in (list, essential().kept):
        pages = [rendered(grouped(kept(page)), ExpositionFormat.TEXT) for page in (few, many)]
        found += [(pages[1].count(b"\n") - pages[0].count(b"\n")) / more, (len(pages[1]) - len(pages[0])) / more]
    return tuple(found)


def _assert_costs(kind: str, slopes: tuple[float, ...]) -> None:
    cost = COSTS[kind]

    assert (slopes[0], slopes[2]) == (cost.series, cost.essential_series)
    assert (slopes[1], slopes[3]) == pytest.approx((cost.page, cost.essential_page), rel=0.1)


def test_the_cost_of_an_agent() -> None:
    _assert_costs("agents", _slopes(_agents(300), _agents(900), 600))


def test_the_cost_of_a_rayjob() -> None:
    _assert_costs("rayjobs", _slopes(_jobs(300), _jobs(900), 600))


async def test_the_cost_of_a_consumer(nats_server: Nats) -> None:
    name = "ESTIMATE"
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name=name, subjects=["estimate.>"])

    async def page(first: int, last: int) -> list[Sample]:
        for number in range(first, last):
            config = {"durable_name": f"worker-{number:03}", "ack_policy": "explicit"}
            body = json.dumps({"stream_name": name, "config": config}).encode()
            await client.request(f"$JS.API.CONSUMER.DURABLE.CREATE.{name}.worker-{number:03}", body, timeout=30)
        return await read_once(Jetstream(JetstreamOptions(url=(Address(nats_server.url),))))

    pages = await page(0, 10), await page(10, 60)
    await client.jetstream().delete_stream(name)
    await client.close()

    _assert_costs("consumers", _slopes(*pages, 50))


def test_the_command_adds_the_costs_of_all_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--agents", "10000", "--consumers=500", "--shards=2", "--interval=15"]) == 0
    full = capsys.readouterr().out
    assert main(["estimate", "--agents", "10000", "--profile=essential"]) == 0
    lean = capsys.readouterr().out

    assert full == (
        "series: 222,300 (2 shards together)\n"
        "page: 18.8 MB, 0.9 MB as gzip (2 shards together)\n"
        "exporter memory: 293 MiB (2 shards together)\n"
        "Prometheus disk per day: 1.92 GB (2 shards together)\n"
    )
    assert lean.startswith("series: 30,530\n")


@pytest.mark.parametrize(
    ("flag", "problem"),
    [("--agents=-3", "expected a whole number, got '-3'"), ("--shards=0", "expected at least 1, got '0'")],
)
def test_an_invalid_number_is_refused_with_a_sentence(flag: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["estimate", flag])

    assert end.value.code == 2
    assert problem in capsys.readouterr().err
