"""Hostile clients are rejected and do not affect other clients."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import httpx
import pytest

from exporter.web.passwords import Passwords
from tests.support.process import Exporter, exporter


@pytest.fixture(scope="module")
def running() -> Iterator[Exporter]:
    with exporter() as process:
        httpx.get(f"{process.url}/docs", timeout=30)  # the first request imports the API
        yield process


def connected(running: Exporter) -> socket.socket:
    address = urlsplit(running.url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port), timeout=60)


def received(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            found += data
    return found


def test_an_endless_header_is_rejected(running: Exporter) -> None:
    with connected(running) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-A: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                connection.sendall(b"a" * 65536)
        assert httpx.get(f"{running.url}/-/healthy").status_code == 200


@pytest.mark.parametrize("size", [33 * 1024, 200_000])
@pytest.mark.parametrize("part", ["line", "header", "headers"])
def test_a_large_head_is_431(running: Exporter, size: int, part: str) -> None:
    line, headers = {
        "line": ("/?q=" + "a" * size, ""),
        "header": ("/", f"X-A: {'a' * size}\r\n"),
        "headers": ("/", "X-A: aaaaaa\r\n" * (size // 10)),
    }[part]
    with connected(running) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(f"GET {line} HTTP/1.1\r\nHost: x\r\n{headers}".encode())
        response = received(connection)

    assert response.startswith(b"HTTP/1.1 431 ") or response == b""  # a reset may overtake the response
    assert httpx.get(f"{running.url}/-/healthy").status_code == 200


def test_a_head_within_the_limit_is_served_and_the_next_request_too(running: Exporter) -> None:
    with httpx.Client() as client:
        for _ in range(3):
            assert client.get(f"{running.url}/-/healthy", headers={"x-a": "a" * 31_000}).status_code == 200


def test_a_request_that_never_arrives_is_408(running: Exporter) -> None:
    with connected(running) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert received(connection).startswith(b"HTTP/1.1 408 ")


def test_more_connections_than_files_do_not_block_new_clients(tmp_path: Path) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
        "from exporter.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1000), hard))
    command = [sys.executable, "-c", program, "--web.listen-address=127.0.0.1:0"]
    with exporter(command=command) as process:
        held = [connected(process) for _ in range(400)]
        for connection in held:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        for _ in range(5):
            assert httpx.get(f"{process.url}/metrics", timeout=60).status_code == 200
        for connection in held:
            connection.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Exporter]:
    file = tmp_path / "web.yml"
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(12)).decode()
    file.write_text(f"basic_auth_users:\n  operator: {hashed}\n")
    with exporter(f"--web.config.file={file}") as process:
        yield process


async def test_a_password_flood_does_not_delay_authenticated_clients(guarded: Exporter) -> None:
    right = httpx.BasicAuth("operator", "right")
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client, httpx.AsyncClient(timeout=60) as scraper:
        address = f"{guarded.url}/-/healthy"
        assert (await scraper.get(address, auth=right)).status_code == 200
        flood = [
            asyncio.create_task(client.get(address, auth=httpx.BasicAuth(user, f"wrong-{number}")))
            for number in range(100)
            for user in ("operator", "nobody")
        ]
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        scrapes = [await scraper.get(address, auth=right) for _ in range(5)]
        waiting = [task for task in flood if not task.done()]
        statuses = [response.status_code for response in await asyncio.gather(*flood)]

        assert [response.status_code for response in scrapes] == [200] * 5
        assert waiting, "the scrapes waited for every wrong password"
        assert set(statuses) == {401, 429}
        refused = next(task.result() for task in flood if task.result().status_code == 429)
        assert refused.headers["retry-after"]


async def test_the_exporter_stops_during_a_password_flood(guarded: Exporter) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        flood = [
            asyncio.create_task(client.get(guarded.url, auth=httpx.BasicAuth("operator", f"wrong-{number}")))
            for number in range(50)
        ]
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        guarded.process.terminate()
        try:
            assert await asyncio.to_thread(guarded.process.wait, 10) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("it does not end")
        await asyncio.gather(*flood, return_exceptions=True)


async def test_invalid_requests_write_no_log_lines(tmp_path: Path) -> None:
    with exporter() as process:
        for _ in range(50):
            with connected(process) as connection:
                connection.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
                assert b" 400 " in received(connection)
        assert process.stop() == 0
        assert process.process.stderr is not None
        rest = process.process.stderr.read()

    assert "nvalid" not in rest
    assert len(rest.splitlines()) < 20


def host_status(process: Exporter, host: str) -> int:
    return httpx.get(f"{process.url}/-/healthy", headers={"host": host}).status_code


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "[::2]:80", ""])
def test_a_loopback_address_accepts_only_local_host_names(running: Exporter, host: str) -> None:
    assert host_status(running, host) == 421
    assert [host_status(running, name) for name in ("localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80")] == [200] * 4


def test_a_request_of_http_1_0_needs_no_host(running: Exporter) -> None:
    with connected(running) as connection:
        connection.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert b" 200 " in received(connection)


def test_allowed_hosts_are_an_option() -> None:
    with exporter("--web.allowed-hosts=exporter.example,127.0.0.1") as process:
        statuses = [host_status(process, name) for name in ("exporter.example:9847", "127.0.0.1", "localhost")]

    assert statuses == [200, 200, 421]


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/docs", "/api/sources", "/static/page.css", "/-/healthy", "/no-such", "/api/no-such"]
)
def test_every_page_has_security_headers(running: Exporter, path: str) -> None:
    headers = httpx.get(f"{running.url}{path}").headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src" in headers["content-security-policy"]


async def test_the_password_of_an_unknown_user_is_hashed() -> None:
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(6)).decode()
    checked: list[bytes] = []
    original = bcrypt.checkpw

    def counted(password: bytes, hashed_password: bytes) -> bool:
        checked.append(hashed_password)
        return original(password, hashed_password)

    bcrypt.checkpw = counted
    passwords = Passwords()
    try:
        assert not await passwords.fits({"operator": hashed}, "nobody", "wrong")
        assert not await passwords.fits({"operator": hashed}, "operator", "wrong")
    finally:
        bcrypt.checkpw = original
        passwords.close()

    assert [stored.split(b"$")[2] for stored in checked] == [b"06", b"06"]
