"""A Kubernetes API that hangs, sends slowly or without end: detected in time, with the reason, in bounded memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import yaml

from exporter.clients.kubernetes import ApiServer
from exporter.clients.kubernetes_watch import MAX_EVENT_BYTES, MAX_RESPONSE_BYTES, Watch
from exporter.errors import Reason
from tests.support.fault_proxy import FaultProxy, Mode, fault_proxy
from tests.support.pages import eventually

PATH = "/apis/ray.io/v1/rayjobs"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Names:
    """An object store that keeps names only."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def rows(self, scope: str, objects: Sequence[msgspec.Raw]) -> dict[tuple[str, str], str]:  # noqa: ARG002 - the protocol's
        return {("default", json.loads(bytes(one))["metadata"]["name"]): "" for one in objects}

    def replace(self, scope: str, rows: dict[tuple[str, str], str]) -> None:  # noqa: ARG002 - the protocol's
        self.names = {name for _, name in rows}

    def change(self, scope: str, kind: str, raw: msgspec.Raw) -> None: ...

    def clear(self, scope: str) -> None: ...


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def listed(writer: asyncio.StreamWriter) -> None:
    body = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "train"}}]}
    writer.write(HEAD + chunk(json.dumps(body).encode()) + chunk(b""))


async def silent(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    await writer.drain()
    await asyncio.Event().wait()


async def without_headers(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(chunk(b" "))
        await writer.drain()
        await asyncio.sleep(0.2)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(chunk(b" " * 1_000_000))
        await writer.drain()


@asynccontextmanager
async def api(on_list: Answer, on_watch: Answer, others: Mapping[bytes, Answer] | None = None) -> AsyncIterator[int]:
    """The port; `others` answer requests by a part of the path."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                usual = on_watch if b"watch=true" in head else on_list
                path = head.split(b" ", 2)[1]
                await next((answer for part, answer in (others or {}).items() if part in path), usual)(writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        own = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not own and getattr(task.get_coro(), "__name__", "") == "talk":
                task.cancel()
        await asyncio.sleep(0)


@asynccontextmanager
async def watched(port: int, folder: Path, seconds: float = 0.5) -> AsyncIterator[tuple[Watch, Names]]:
    cluster, store = ApiServer(write_kubeconfig(folder, port), timeout=seconds), Names()
    watch = Watch(cluster, PATH, store)
    task = asyncio.create_task(watch.run())
    try:
        yield watch, store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await cluster.close()


def write_kubeconfig(folder: Path, port: int) -> Path:
    """A kubeconfig for a server on this port."""
    kubeconfig = folder / "kubeconfig"
    named = {
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "x", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(yaml.safe_dump(named))
    return kubeconfig


async def fails_with(watch: Watch, reason: Reason) -> str:
    """The sentence, once the watch fails with this reason."""

    async def failed() -> bool:
        return watch.problem is not None and watch.problem.reason is reason

    await watch.wait_synced()
    await eventually(failed)
    return str(watch.problem)


@pytest.mark.parametrize("on_watch", [silent, without_headers, dripping])
async def test_a_hanging_watch_is_detected(on_watch: Answer, tmp_path: Path) -> None:
    async with api(listed, on_watch) as port, watched(port, tmp_path) as (watch, store):
        await fails_with(watch, Reason.TIMEOUT)
        assert store.names == {"train"}


@pytest.mark.parametrize("on_list", [silent, without_headers, dripping])
async def test_a_hanging_list_is_detected(on_list: Answer, tmp_path: Path) -> None:
    async with api(on_list, silent) as port, watched(port, tmp_path) as (watch, _):
        await fails_with(watch, Reason.TIMEOUT)


async def test_an_unbounded_list_is_malformed(tmp_path: Path) -> None:
    async with api(endless, silent) as port, watched(port, tmp_path, seconds=20) as (watch, _):
        assert f"{MAX_RESPONSE_BYTES} bytes" in await fails_with(watch, Reason.MALFORMED)


async def test_an_unbounded_watch_event_is_malformed(tmp_path: Path) -> None:
    async with api(listed, endless) as port, watched(port, tmp_path, seconds=20) as (watch, _):
        assert f"{MAX_EVENT_BYTES} bytes" in await fails_with(watch, Reason.MALFORMED)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (Mode.REFUSE, Reason.UNREACHABLE),
        (Mode.RESET, Reason.UNREACHABLE),
        (Mode.CLOSE, Reason.UNREACHABLE),
        (Mode.GARBAGE, Reason.MALFORMED),
        (Mode.HANG, Reason.TIMEOUT),
    ],
)
async def test_each_fault_has_its_reason_and_times_out(mode: Mode, reason: Reason, tmp_path: Path) -> None:
    def inject(proxy: FaultProxy) -> None:
        proxy.set(mode)

    async with api(listed, silent) as port:
        with fault_proxy(port) as proxy:
            inject(proxy)
            async with watched(proxy.port, tmp_path) as (watch, store):
                await fails_with(watch, reason)
                proxy.set(Mode.PASS)

                async def current() -> bool:
                    return watch.problem is None

                await eventually(current)
                assert store.names == {"train"}
