"""ValKey behind a faulty network: each fault has its reason, replies are bounded, and recovery is immediate."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.sources.valkey import Valkey, ValkeyOptions
from servers.valkey import RunningValkey
from tests.support.fault_proxy import REASONS, FaultProxy, Mode, fault_proxy
from tests.support.pages import collected, listener, samples_of, series


@pytest.fixture
def proxy(valkey_server: RunningValkey) -> Iterator[FaultProxy]:
    with fault_proxy(valkey_server.url) as running:
        yield running


def source(address: str, timeout: float = 2.0) -> Valkey:
    return Valkey(ValkeyOptions(url=(Address(f"redis://{address}"),), timeout=timeout))


@pytest.mark.parametrize("mode", REASONS)
async def test_each_fault_has_its_reason(proxy: FaultProxy, mode: Mode) -> None:
    proxy.set(mode)
    with pytest.raises(SourceError) as raised:
        await collected(source(proxy.address, timeout=0.5 if REASONS[mode] is Reason.TIMEOUT else 2.0))

    assert raised.value.reason is REASONS[mode]


@pytest.mark.parametrize("mode", [mode for mode in REASONS if REASONS[mode] is not Reason.TIMEOUT])
async def test_the_collection_after_a_fault_succeeds(proxy: FaultProxy, mode: Mode) -> None:
    valkey = source(proxy.address)
    target = valkey.targets()[0]
    await samples_of(valkey)
    proxy.set(mode)
    with pytest.raises(SourceError):
        await samples_of(valkey)
    await target.close()
    proxy.set(Mode.PASS)

    assert series(await samples_of(valkey))
    await target.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"$52428800\r\n" + b"x" * 65536,
        b"*100000000\r\n" + b":1\r\n" * 500_000,
        b"*1\r\n" * 65536,
        b"$-5\r\n",
        b"$x\r\n",
        b"x" * 200_000,
    ],
    ids=["bulk", "array", "nested", "negative", "no number", "no end of line"],
)
async def test_a_reply_without_a_bound_is_malformed(reply: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        for _ in range(1000):
            connection.sendall(reply)

    with listener(talk) as port, pytest.raises(SourceError) as raised:
        await collected(source(f"127.0.0.1:{port}", timeout=30))

    assert raised.value.reason is Reason.MALFORMED
    if reply.startswith((b"$5", b"*100")):
        assert "16777216 bytes" in str(raised.value)
