"""Requests to vLLM servers: several of them, tokens, and responses that are cut short, too large or of another protocol."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.settings import SettingsError, load
from exporter.sources.vllm import Vllm, VllmOptions
from tests.sources.vllm_pages import CURRENT, OLD, serving
from tests.support.pages import collected, listener


def source(*urls: str, **options: object) -> Vllm:
    return Vllm(VllmOptions.model_validate({"url": [Address(url) for url in urls], **options}))


async def test_a_page_cut_in_the_middle_of_a_number_is_malformed() -> None:
    cut = CURRENT[: CURRENT.index("1806.0") + 2]
    response = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + cut.encode()  # without the length of the body
    with listener(says(response)) as port, pytest.raises(SourceError, match="was cut short") as caught:
        await collected(source(f"http://127.0.0.1:{port}"))

    assert caught.value.reason is Reason.MALFORMED


def says(response: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(response)
        connection.shutdown(socket.SHUT_RDWR)

    return answer


@pytest.mark.parametrize("body", [b"\x89PNG\x00secret bytes\n", b"vllm:x secret\n", b'vllm:x{a="secret\n'])
async def test_an_error_does_not_quote_the_reply(body: bytes) -> None:
    with serving(body) as url, pytest.raises(SourceError) as caught:
        await collected(source(url))

    assert caught.value.reason is Reason.MALFORMED
    assert "secret" not in str(caught.value)


async def test_an_error_does_not_quote_a_reply_of_another_protocol() -> None:
    with listener(says(b"220 secret ESMTP\r\n" * 3)) as port, pytest.raises(SourceError) as caught:
        await collected(source(f"http://127.0.0.1:{port}"))

    # httpx does not report that a part of a response's head had arrived.
    assert caught.value.reason in (Reason.MALFORMED, Reason.UNREACHABLE)
    assert "secret" not in str(caught.value)


async def test_paths_of_one_server_are_separate_series() -> None:
    with serving(CURRENT.encode()) as url:
        page = await collected(source(f"{url}/a/metrics", f"{url}/b/metrics"))

    assert len([name for name in page if name.startswith("vllm_requests_running")]) == 2


@pytest.mark.parametrize("second", ["http://h:8000/metrics", "http://user@h:8000", "http://h:8000?name=x", "h:8000"])
def test_addresses_that_would_be_the_same_series_are_refused(second: str) -> None:
    with pytest.raises(SettingsError, match="one address per server"):
        load({"vllm.url": f"http://h:8000,{second}"}, {})


async def test_a_server_that_is_down_does_not_affect_the_others() -> None:
    with serving(CURRENT.encode()) as first, serving(OLD.encode()) as second:
        page = await collected(source(first, second))

    assert sum(name.startswith("vllm_kv_cache_usage_ratio") for name in page) == 2


async def test_a_token_is_sent_and_a_wrong_one_is_unauthorized() -> None:
    with serving(CURRENT.encode(), token="right") as url:
        assert await collected(source(url, token=SecretStr("right")))
        with pytest.raises(SourceError) as caught:
            await collected(source(url, token=SecretStr("wrong")))

    assert caught.value.reason is Reason.UNAUTHORIZED


async def test_a_page_of_fifty_megabytes_is_refused() -> None:
    with serving(b"vllm:x 1\n" * 5_800_000) as url, pytest.raises(SourceError, match="at most 8388608 bytes") as caught:
        await collected(source(url))

    assert caught.value.reason is Reason.MALFORMED


async def test_an_error_page_is_malformed() -> None:
    with serving(b"oops", status=500) as url, pytest.raises(SourceError, match="returned 500") as caught:
        await collected(source(url))

    assert caught.value.reason is Reason.MALFORMED
