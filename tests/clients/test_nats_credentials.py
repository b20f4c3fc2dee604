"""Every authentication method of NATS, on a real server that accepts only this one, and the error for wrong credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nkeys
import pytest
from pydantic import SecretStr

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from servers import nats as nats_servers
from tests.clients.nats_jwt import key, operator_configuration
from tests.support.pages import collected


async def reads(url: str, **options: Any) -> bool:
    page = await collected(Jetstream(JetstreamOptions.model_validate({"url": (Address(url),), "timeout": 5, **options})))
    return any(name.startswith("nats_") for name in page)


async def is_refused(url: str, *, reason: Reason = Reason.UNAUTHORIZED, **options: Any) -> None:
    with pytest.raises(SourceError) as caught:
        await reads(url, **options)
    assert caught.value.reason is reason


async def test_a_user_and_a_password() -> None:
    with nats_servers.start(config="authorization { user: exporter, password: secret }") as server:
        assert await reads(server.url, user="exporter", password=SecretStr("secret"))
        await is_refused(server.url, user="exporter", password=SecretStr("wrong"))
        await is_refused(server.url)


async def test_credentials_in_the_address_are_percent_decoded() -> None:
    with nats_servers.start(config='authorization { user: exporter, password: "p@ss/word" }') as server:
        location = server.url.removeprefix("nats://")
        assert await reads(f"nats://exporter:p%40ss%2Fword@{location}")
        await is_refused(f"nats://exporter:wrong@{location}")
    with nats_servers.start(config="authorization { token: secret }") as server:
        assert await reads(f"nats://secret@{server.url.removeprefix('nats://')}")


async def test_a_token() -> None:
    with nats_servers.start(config="authorization { token: secret }") as server:
        assert await reads(server.url, token=SecretStr("secret"))
        await is_refused(server.url, token=SecretStr("wrong"))


async def test_an_nkey(tmp_path: Path) -> None:
    known, unknown = key(nkeys.PREFIX_BYTE_USER), key(nkeys.PREFIX_BYTE_USER)
    (tmp_path / "known.nk").write_bytes(known.seed)
    (tmp_path / "unknown.nk").write_bytes(unknown.seed)
    with nats_servers.start(config=f"authorization {{ users: [ {{ nkey: {known.public} }} ] }}") as server:
        assert await reads(server.url, nkey_file=tmp_path / "known.nk")
        await is_refused(server.url, nkey_file=tmp_path / "unknown.nk")
        await is_refused(server.url, nkey_file=tmp_path / "missing.nk", reason=Reason.CONFIG)


async def test_credentials_of_a_user_in_operator_mode(tmp_path: Path) -> None:
    known, unknown = tmp_path / "known.creds", tmp_path / "unknown.creds"
    operator_configuration(unknown)
    with nats_servers.start(config=operator_configuration(known)) as server:
        assert await reads(server.url, credentials_file=known)
        await is_refused(server.url, credentials_file=unknown)
        await is_refused(server.url, credentials_file=tmp_path / "missing.creds", reason=Reason.CONFIG)


async def test_a_client_certificate(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_files = f'cert_file: "{certificates}/server.crt", key_file: "{certificates}/server.key"'
    config = f'tls {{ {server_files}, ca_file: "{certificates}/client.crt", verify: true }}'
    ours = {"cert_file": certificates / "client.crt", "key_file": certificates / "client.key"}
    with nats_servers.start(config=config) as server:
        url = server.url.replace("nats://", "tls://")
        assert await reads(url, ca_file=certificates / "server.crt", **ours)
        for less in ({"ca_file": certificates / "server.crt"}, {"ca_file": certificates / "client.crt", **ours}):
            with pytest.raises((SourceError, OSError)):
                await reads(url, **less)
        await is_refused(url, ca_file=certificates / "missing.crt", reason=Reason.CONFIG)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "server.crt"))  # the system's
        assert await reads(url, ca_file=certificates / "client.crt", **ours)
