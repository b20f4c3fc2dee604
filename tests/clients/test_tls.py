"""Files of TLS options: each one that cannot be used is one sentence with the reason `config`."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from exporter.errors import Reason, SourceError
from exporter.settings import load
from tests.support.pages import collected

ADDRESSES = {
    "jetstream": {"NATS_URL": "tls://127.0.0.1:{port}"},
    "loki": {"LOKI_URL": "https://127.0.0.1:{port}", "NATS_URL": "nats://127.0.0.1:{port}"},
    "neo4j": {"NEO4J_URI": "bolt+s://127.0.0.1:{port}"},
    "services": {"FLEET_EXPORTER_SERVICES_HTTP": "web=https://127.0.0.1:{port}"},
    "valkey": {"REDIS_URL": "rediss://127.0.0.1:{port}"},
    "vllm": {"VLLM_URL": "https://127.0.0.1:{port}"},
}
every_source = pytest.mark.parametrize("kind", sorted(ADDRESSES))


async def failure(kind: str, ca_file: Path) -> SourceError:
    """Why a source at a port where nothing listens is down."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    variables = {name: value.format(port=port) for name, value in ADDRESSES[kind].items()}
    sources = load({f"{kind}.ca_file": str(ca_file)}, variables).sources
    with pytest.raises(SourceError) as raised:
        await collected(next(source for source in sources if source.kind == kind))
    return raised.value


@every_source
async def test_a_missing_ca_file_is_a_mistake_of_the_configuration(kind: str, tmp_path: Path) -> None:
    error = await failure(kind, tmp_path / "ca.pem")

    assert error.reason is Reason.CONFIG
    assert str(error).endswith(f"ca_file {tmp_path / 'ca.pem'}: No such file or directory")


@every_source
async def test_a_ca_file_without_certificates_is_a_mistake_of_the_configuration(kind: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    error = await failure(kind, tmp_path / "ca.pem")

    assert error.reason is Reason.CONFIG
    assert str(error).endswith(f"ca_file {tmp_path / 'ca.pem'}: expected PEM certificates, got none")


@pytest.mark.parametrize("kind", ["neo4j", "services", "valkey", "vllm"])
@pytest.mark.parametrize(("system", "given"), [("server", "client"), ("client", "server")])
async def test_a_ca_file_adds_to_the_certificates_of_the_system(
    kind: str, system: str, given: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / f"{system}.crt"))
    trusted = asyncio.Event()

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trusted.set()  # after the handshake
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    server = await asyncio.start_server(connected, "127.0.0.1", ssl=context)
    port = server.sockets[0].getsockname()[1]
    variables = {name: value.format(port=port) for name, value in ADDRESSES[kind].items()}
    sources = load({f"{kind}.ca_file": str(certificates / f"{given}.crt")}, variables).sources
    with suppress(SourceError):
        await collected(next(source for source in sources if source.kind == kind))
    server.close()

    assert trusted.is_set()
