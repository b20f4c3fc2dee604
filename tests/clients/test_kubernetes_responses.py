"""A Kubernetes API that has always forgotten the version, and faulty responses to requests outside of list and watch."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from pathlib import Path

import pytest

from exporter.errors import Reason, SourceError
from exporter.sources.rayjob import Rayjob, RayjobOptions
from exporter.sources.workloads import Workloads, WorkloadsOptions
from tests.clients.test_kubernetes_faults import (
    HEAD,
    Answer,
    api,
    chunk,
    endless,
    fails_with,
    listed,
    silent,
    watched,
    without_headers,
    write_kubeconfig,
)
from tests.support.pages import eventually, followed, page_now, page_where

BODY = b'{"kind":"Status","code":410}'
USAGE = b"/apis/metrics.k8s.io/"
JOB = b"/rayjobs/train"


async def gone(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY))


async def gone_event(writer: asyncio.StreamWriter) -> None:
    event = {"type": "ERROR", "object": json.loads(BODY)}
    writer.write(HEAD + chunk(json.dumps(event).encode() + b"\n") + chunk(b""))


async def cut(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk(b'{"items": ['))
    await writer.drain()
    writer.close()


async def no_json(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk(b"<html>") + chunk(b""))


async def no_text(writer: asyncio.StreamWriter) -> None:
    """Valid JSON but for a byte of a name."""
    meta = b'{"metadata": {"name": "\xff", "namespace": "default"}}'
    writer.write(HEAD + chunk(b'{"metadata": {"name": "\xff"}, "items": [' + meta + b"]}") + chunk(b""))


async def forbidden(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(("on_list", "on_watch"), [(gone, silent), (listed, gone), (listed, gone_event)])
async def test_a_version_that_is_always_gone_is_a_failure_and_retried_with_pauses(
    on_list: Answer, on_watch: Answer, tmp_path: Path
) -> None:
    lists: list[float] = []

    async def timed(writer: asyncio.StreamWriter) -> None:
        lists.append(time.monotonic())
        await on_list(writer)

    async def listed_often() -> bool:
        return len(lists) >= 5

    async with api(timed, on_watch) as port, watched(port, tmp_path) as (watch, _):
        assert "410" in await fails_with(watch, Reason.UNREACHABLE)
        await eventually(listed_often)

    pauses = [after - before for before, after in itertools.pairwise(lists[1:])]
    assert min(pauses) >= 0.1, "only the first list after a 410 follows at once"


async def test_a_version_that_is_gone_once_is_listed_again_at_once(tmp_path: Path) -> None:
    answers = [gone]

    async def once(writer: asyncio.StreamWriter) -> None:
        await (answers.pop() if answers else silent)(writer)

    async with api(listed, once) as port, watched(port, tmp_path) as (watch, store):

        async def current() -> bool:
            return watch.lists == 2 and watch.problem is None

        await eventually(current)
        assert store.names == {"train"}


@pytest.mark.parametrize("on_usage", [gone, cut, no_json, no_text, endless, silent, without_headers])
async def test_a_faulty_metrics_api_is_no_failure_of_the_pods(on_usage: Answer, tmp_path: Path) -> None:
    async with api(listed, silent, {USAGE: on_usage}) as port:
        kubeconfig = write_kubeconfig(tmp_path, port)
        source = Workloads(WorkloadsOptions(kubeconfig=kubeconfig, usage=True, timeout=2))
        async with followed(source):
            page = await page_where(source, lambda page: any("fleet_workload_ready_pods" in name for name in page))

    assert page['fleet_exporter_lookup_up{source="workloads",server="",lookup="usage"}'] == 0


@pytest.mark.parametrize(
    ("on_job", "reason"),
    [
        (cut, Reason.MALFORMED),
        (no_json, Reason.MALFORMED),
        (no_text, Reason.MALFORMED),
        (endless, Reason.MALFORMED),
        (silent, Reason.TIMEOUT),
    ],
)
async def test_a_faulty_response_for_a_rayjob_is_a_failure(on_job: Answer, reason: Reason, tmp_path: Path) -> None:
    async with api(listed, silent, {JOB: on_job}) as port:
        source = Rayjob(RayjobOptions(kubeconfig=write_kubeconfig(tmp_path, port), timeout=2))
        async with followed(source):
            await source.wait_synced()
            with pytest.raises(SourceError) as caught:
                await source.job("default", "train")

    assert caught.value.reason is reason


@pytest.mark.parametrize(("without_rights", "shown"), [(b"/rayservices", None), (b"/b/rayservices", 1)])
async def test_a_kind_that_may_not_be_read_is_not_reported_as_unavailable(
    without_rights: bytes, shown: int | None, tmp_path: Path
) -> None:
    async with api(listed, silent, {without_rights: forbidden}) as port:
        source = Rayjob(RayjobOptions(kubeconfig=write_kubeconfig(tmp_path, port), namespaces=("a", "b")))
        async with followed(source):
            await source.wait_synced()
            page = await page_now(source)

    assert page['fleet_exporter_lookup_up{source="rayjob",server="",lookup="rayservices"}'] == 0
    assert page['ray_crd_available{kind="RayJob"}'] == 1
    assert page.get('ray_crd_available{kind="RayService"}') == shown
