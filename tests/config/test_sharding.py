"""Several exporters share one fleet on real servers: no duplicates, nothing missing, equal totals."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js.api import ConsumerConfig, StreamConfig

from exporter.config.options import Address
from exporter.config.sharding import Shard, shard_of
from exporter.settings import SettingsError, load
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from exporter.sources.rayjob import Rayjob, RayjobOptions
from servers import nats as nats_servers
from servers.kubernetes import Kubernetes
from tests.support.pages import collected, eventually
from tests.support.process import exporter
from tests.support.servers import required

SHARDS = 3
STREAMS, CONSUMERS, JOBS = 12, 4, 40

VECTORS = {
    1: [0, 0, 0, 0, 0],
    2: [1, 0, 0, 0, 0],
    4: [1, 2, 3, 2, 2],
    7: [6, 5, 3, 2, 2],
    100: [6, 81, 68, 57, 2],
}
"""Number of shards → the shards of five objects, as the first release had them."""

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@given(names, names, st.integers(1, 300))
def test_every_object_belongs_to_exactly_one_shard(namespace: str, name: str, count: int) -> None:
    owners = [number for number in range(count) if Shard(number, count).owns(namespace, name)]

    assert owners == [shard_of(count, namespace, name)]


@given(names, st.integers(1, 300))
def test_an_additional_shard_moves_only_its_own_objects(name: str, count: int) -> None:
    assert shard_of(count + 1, name) in (shard_of(count, name), count)


@pytest.mark.parametrize("count", [2, 3, 4, 8, 16])
def test_shards_are_even(count: int) -> None:
    objects = 20_000
    sizes = Counter(shard_of(count, "fleet", f"deliberation-{number}") for number in range(objects))

    expected = objects / count
    assert len(sizes) == count
    # Five standard deviations of a uniform distribution: a uniform hash never exceeds them.
    assert max(abs(size - expected) for size in sizes.values()) < 5 * (expected * (1 - 1 / count)) ** 0.5


def test_the_assignment_is_the_same_in_every_release() -> None:
    objects = [("fleet", "deliberation-1"), ("fleet", "deliberation-2"), ("PLANNING_EVENTS",), ("AGENT_RESPONSES",), ("é",)]

    assert {count: [shard_of(count, *identity) for identity in objects] for count in (1, 2, 4, 7, 100)} == VECTORS


def test_concatenated_names_do_not_collide() -> None:
    identities = [("ab", "c"), ("a", "bc"), ("abc",)]

    assert len({shard_of(2**31, *identity) for identity in identities}) == len(identities)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2/2", "expected i/n with 0 ≤ i < n, got '2/2'; shards are numbered from 0"),
        *((text, "expected i/n") for text in ("", "1", "1/0", "-1/2", "a/b", "1/2/3", " 0/2", "0/2\n", "\u0660/\u0662")),
    ],
)
def test_an_invalid_shard_is_reported_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"shard": text}, {})

    assert [said in mistake for mistake in caught.value.mistakes] == [True]


def test_the_shard_is_a_flag_a_variable_and_a_key(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("shard: 1/4\n")

    assert load({}, {}).part == Shard(0, 1)
    assert load({"config.file": str(file)}, {}).part == Shard(1, 4)
    assert load({"config.file": str(file)}, {"FLEET_EXPORTER_SHARD": "2/4"}).part == Shard(2, 4)
    assert load({"config.file": str(file), "shard": "3/4"}, {"FLEET_EXPORTER_SHARD": "2/4"}).part == Shard(3, 4)


def test_undivided_sources_belong_to_shard_0() -> None:
    variables = {"NATS_URL": "nats://x", "REDIS_URL": "redis://x", "FLEET_EXPORTER_RAYJOB_IN_CLUSTER": "true"}
    kinds = [[source.kind for source in load({"shard": f"{number}/2"}, variables).sources] for number in range(2)]

    assert kinds == [["fleet", "jetstream", "rayjob", "valkey"], ["jetstream", "rayjob"]]


async def _fill_streams(url: str) -> None:
    client = await nats.connect(url)
    js = client.jetstream()
    for stream, number in itertools.product(range(STREAMS), range(CONSUMERS)):
        if number == 0:
            await js.add_stream(StreamConfig(name=f"STREAM_{stream}", subjects=[f"s{stream}.>"]))
            await js.publish(f"s{stream}.x", b"{}")
            await js.add_consumer(f"STREAM_{stream}", ConsumerConfig(name="passing", inactive_threshold=600))
        await js.add_consumer(f"STREAM_{stream}", ConsumerConfig(durable_name=f"worker-{number}"))
    await client.close()


@pytest.fixture(scope="module")
def streams() -> Iterator[str]:
    with required():
        nats_servers.prepare()
    with nats_servers.start() as server:
        asyncio.run(_fill_streams(server.url))
        yield server.url


# Values that differ between collections: durations, and a counter that each collection increases.
_MOMENTARY = re.compile(r"nats_rtt_seconds|nats_account_api_requests_total")


async def test_streams_and_consumers_are_divided_completely(streams: str) -> None:
    expected = ("STREAM_0", "STREAM_1/worker-0", "STREAM_2/gone", "GONE")

    async def page(number: int, count: int) -> dict[str, float]:
        options = JetstreamOptions(url=(Address(streams),), expected=expected, max_oldest_lookups=1000)
        source = Jetstream(options, Shard(number, count))
        return {name: value for name, value in (await collected(source)).items() if not _MOMENTARY.match(name)}

    whole, parts = await page(0, 1), [await page(number, SHARDS) for number in range(SHARDS)]

    _divide_without_rest(whole, parts)
    lags = [[name for name in part if name.startswith("nats_consumer_lag{")] for part in parts]
    assert sum(map(len, lags)) == STREAMS * CONSUMERS
    assert all(lags)
    for part in parts:  # a consumer is where its stream is
        shown = {name.split('"')[1] for name in part if name.startswith("nats_stream_messages{")}
        assert {name.split('"')[1] for name in part if name.startswith("nats_consumer_lag{")} == shown


async def test_only_one_shard_lists_the_consumers_of_a_stream(streams: str) -> None:
    seen: list[Counter[str]] = []
    client = await nats.connect(streams)
    for number in range(SHARDS):
        subscription = await client.subscribe("$JS.API.>")
        source = Jetstream(JetstreamOptions(url=(Address(streams),)), Shard(number, SHARDS))
        await source.collect()
        await source.close()
        await client.flush()
        counts: Counter[str] = Counter()
        while subscription.pending_msgs:
            counts[(await subscription.next_msg()).subject] += 1
        seen.append(counts)
        await subscription.unsubscribe()
    await client.close()

    lists = Counter(subject for counts in seen for subject in counts.elements() if ".CONSUMER.LIST." in subject)
    assert set(lists.values()) == {1}
    assert len(lists) == STREAMS
    assert ["$JS.API.INFO" in counts for counts in seen] == [True, False, False]


def _divide_without_rest(whole: dict[str, float], parts: list[dict[str, float]]) -> None:
    """Every series is on exactly one part, with the value that it has on the whole."""
    counts = Counter(name for part in parts for name in part)

    assert [name for name, count in counts.items() if count > 1] == []
    assert {name: value for part in parts for name, value in part.items()} == whole


NAMESPACE = "sharded"


@pytest.fixture(scope="module")
def jobs(kubernetes_server: Kubernetes) -> Kubernetes:
    server = kubernetes_server
    server.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for kind, plural, count in (("RayJob", "rayjobs", JOBS), ("RayCluster", "rayclusters", 10)):
        path = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/{plural}"
        for number in range(count):
            body = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": f"{kind.lower()}-{number}"}, "spec": {}}
            assert server.request("POST", path, body)[0] == 201
            ended = number % 4 == 0
            status = {"jobStatus": "SUCCEEDED" if ended else "RUNNING", "state": "ready"}
            status |= {"jobDeploymentStatus": "Complete" if ended else "Odd", "startTime": "2026-01-01T00:00:00Z"}
            status |= {"endTime": f"2026-01-01T00:{number:02}:00Z"} if ended else {}
            merge = "application/merge-patch+json"
            path_of_status = f"{path}/{kind.lower()}-{number}/status"
            assert server.request("PATCH", path_of_status, {"status": status}, content_type=merge)[0] == 200
    return server


_SUMMED = re.compile(r"ray_jobs\{|ray_job_duration_seconds_|ray_job_attempt_failures_total|ray_job_unknown_states_total\{")
"""Aggregates over a shard's own objects: the fleet's figure is their sum."""


async def test_jobs_and_clusters_are_divided_completely_and_totals_add_up(jobs: Kubernetes) -> None:
    async def page(number: int, count: int) -> dict[str, float]:
        options = RayjobOptions(kubeconfig=jobs.kubeconfig, namespaces=(NAMESPACE,))
        return await collected(Rayjob(options, Shard(number, count)))

    whole, parts = await page(0, 1), [await page(number, SHARDS) for number in range(SHARDS)]

    def apart(part: dict[str, float]) -> tuple[dict[str, float], Counter[str]]:
        objects = {name: value for name, value in part.items() if not _SUMMED.match(name)}
        return objects, Counter({name: value for name, value in part.items() if _SUMMED.match(name)})

    objects, sums = apart(whole)
    _divide_without_rest(objects, [apart(part)[0] for part in parts])
    total: Counter[str] = Counter()
    for part in parts:
        total.update(apart(part)[1])
    assert total == sums
    assert sum(value for name, value in sums.items() if name.startswith("ray_jobs{")) == JOBS
    assert all(any(name.startswith("ray_job_status{") for name in part) for part in parts)


async def test_changes_of_a_job_appear_on_its_shard_only(jobs: Kubernetes) -> None:
    name = "moving"
    path = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs"
    owner = shard_of(2, NAMESPACE, name)
    options = RayjobOptions(kubeconfig=jobs.kubeconfig, namespaces=(NAMESPACE,))
    sources = [Rayjob(options, Shard(number, 2)) for number in range(2)]
    tasks = [asyncio.create_task(source.run()) for source in sources]
    for source in sources:
        await source.wait_synced()

    async def shown() -> list[bool]:
        snapshots = [await source.collect() for source in sources]
        return [(NAMESPACE, name) in snapshot.jobs for snapshot in snapshots]

    async def is_there() -> bool:
        return any(await shown())

    async def is_gone() -> bool:
        return not any(await shown())

    body = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}, "spec": {}}
    await asyncio.to_thread(jobs.request, "POST", path, body)
    await eventually(is_there)
    seen = [await shown()]
    await asyncio.to_thread(jobs.request, "DELETE", f"{path}/{name}")
    await eventually(is_gone)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert seen == [[number == owner for number in range(2)]]


def test_the_shard_index_is_exported(streams: str) -> None:
    variables = {"NATS_URL": streams, "REDIS_URL": "redis://127.0.0.1:1"}
    with exporter("--shard=1/2", variables=variables) as process:
        page = httpx.get(f"{process.url}/metrics").text
        landing = httpx.get(process.url).text

    assert "\nfleet_exporter_shard 1\nfleet_exporter_shards 2\n" in re.sub("# .*\n", "", page)
    assert 'source="valkey"' not in page
    assert "Shard 1/2" in landing
    assert "shard 0/2 has the sources without shards" in landing
    assert any(
        'msg="starting fleet-exporter"' in line and "shard=1/2" in line and "sources=jetstream" in line
        for line in process.log
    )
