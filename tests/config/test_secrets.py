"""No secret of any option or URL appears in settings, errors or labels."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.log import Formatter, LogFormat
from exporter.config.redaction import redacted
from exporter.errors import SourceError
from exporter.scrape import read_once
from exporter.settings import SettingsError, load

HEAD, TAIL = "Xq7Sa", "Zw9Te"
"""The secret's ends, neither of which may be seen: a parser that stops at a `/` shows the first part."""
SPECIAL = st.text(alphabet="/?#@:[]%&=+ ,;\\\"'<>\n\té$", max_size=4)
SECRETS = st.builds(lambda middle: f"{HEAD}{middle}{TAIL}", SPECIAL)

ADDRESSES = {
    "jetstream.url": ("nats", "tls"),
    "jetstream.monitoring_url": ("http", "https"),
    "valkey.url": ("redis", "rediss", "valkey"),
    "neo4j.uri": ("bolt", "neo4j", "bolt+s"),
    "vllm.url": ("http", "https"),
    "loki.url": ("http", "https"),
    "loki.nats_url": ("nats",),
    "fleet.grafana_url": ("http", "https"),
    "services.http": ("name=http",),
    "services.grpc": ("name=grpc", "name="),
}
"""Every option that takes an address, with its schemes."""
PLAIN = (
    "jetstream.password",
    "jetstream.token",
    "valkey.password",
    "neo4j.password",
    "vllm.token",
    "loki.password",
    "loki.token",
    "loki.nats_password",
    "loki.nats_token",
    "fleet.grafana_token",
)
"""Every option that is a secret."""
SHAPES = (
    "{scheme}://user:{secret}@127.0.0.1:1",
    "{scheme}://{secret}@127.0.0.1:1",
    "{scheme}://{secret}:x@127.0.0.1:1/path",
    "{scheme}://127.0.0.1:1/?password={secret}",
    "{scheme}://127.0.0.1:1/0?token={secret}&a=b",
    "{scheme}://user:{secret}@127.0.0.1:1/0?db=1&password={secret}",
    "user:{secret}@127.0.0.1:1",
    "{scheme}://user:{secret}@[::1]:1",
    "{scheme}://user:{secret}@127.0.0.1:99999",
    "{scheme}://user:{secret}@",
)


def assert_unseen(text: str) -> None:
    assert HEAD not in text
    assert TAIL not in text


def test_every_option_with_a_secret_is_tested() -> None:
    from exporter.settings import options

    secret = {
        option.path
        for option in options()
        if any(word in option.path.rpartition(".")[2] for word in ("password", "token", "url", "uri", "secret"))
    }
    inherited = {path for path in secret if path.startswith("fleet.") and "grafana" not in path}  # inherited from jetstream
    assert secret - inherited - {"services.http", "services.grpc"} == set(ADDRESSES) - {
        "services.http",
        "services.grpc",
    } | set(PLAIN)


@given(
    option=st.sampled_from(sorted(ADDRESSES)),
    shape=st.sampled_from(SHAPES),
    secret=SECRETS,
    quoted=st.booleans(),
    scheme=st.integers(0, 2),
)
@settings(max_examples=400)
def test_no_address_shows_its_secret(option: str, shape: str, secret: str, quoted: bool, scheme: int) -> None:
    schemes = ADDRESSES[option]
    address = shape.format(scheme=schemes[scheme % len(schemes)], secret=quote(secret, safe="") if quoted else secret)
    try:
        loaded = load({option: address}, {})
    except SettingsError as error:
        assert_unseen(str(error))
        return
    assert_unseen(repr(loaded))
    assert_unseen(str(loaded.model_dump()))
    for source in loaded.sources:
        for target in source.targets():
            assert_unseen(f"{target.server} {target.location} {target!r}")


@given(option=st.sampled_from(PLAIN), secret=SECRETS)
def test_no_plain_secret_is_shown(option: str, secret: str) -> None:
    try:
        loaded = load({option: secret}, {})
    except SettingsError as error:
        assert_unseen(str(error))
        return
    assert_unseen(repr(loaded))


@given(shape=st.sampled_from(SHAPES), secret=SECRETS, scheme=st.sampled_from(["http", "redis", "bolt", "nats"]))
def test_a_log_line_shows_no_secret_of_a_url_in_its_text_or_traceback(shape: str, secret: str, scheme: str) -> None:
    address = shape.format(scheme=scheme, secret=quote(secret, safe=""))
    if "://" not in address:
        return
    try:
        raise ValueError(f"Given URI: {address}")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "failed: %s", (address,), (type(error), error, error.__traceback__)
        )
    for style in LogFormat:
        assert_unseen(Formatter(style).format(record).replace(f'secret="{secret}"', ""))
    assert_unseen(redacted(f"Bearer {HEAD}.{TAIL} was refused"))


FAILING = {
    "jetstream.url": "nats://user:{secret}@127.0.0.1:1",
    "valkey.url": "redis://:{secret}@127.0.0.1:1/0?ssl_cert_reqs=none",
    "neo4j.uri": "bolt://neo4j:{secret}@127.0.0.1:1",
    "vllm.url": "http://user:{secret}@127.0.0.1:1/metrics?token={secret}",
    "services.http": "a=http://user:{secret}@127.0.0.1:1/x?token={secret}",
}


@pytest.mark.parametrize("option", sorted(FAILING))
@pytest.mark.parametrize("middle", ["", "/", "#", "@", ":", "?", "%", " "])
def test_a_failed_collection_shows_no_secret(option: str, middle: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    kind = option.partition(".")[0]
    address = FAILING[option].format(secret=quote(f"{HEAD}{middle}{TAIL}", safe=""))
    source = next(one for one in load({option: address, f"{kind}.timeout": "1"}, {}).sources if one.kind == kind)
    said = ""
    try:
        said = "".join(sample.text for sample in asyncio.run(read_once(source)))
    except SourceError as error:
        said = redacted(str(error))

    assert_unseen(said)
    for record in caplog.records:
        assert_unseen(Formatter(LogFormat.LOGFMT).format(record))


@pytest.mark.parametrize("option", PLAIN)
@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {} ", "\t{}\n\n"])
def test_a_secret_from_a_file_is_stripped(option: str, around: str, tmp_path: Path) -> None:
    group, _, name = option.partition(".")
    file = tmp_path / "configuration.yml"
    value = around.format("hunter2").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    file.write_text(f'{group}:\n  {name}: "{value}"\n')
    loaded = load({"config.file": str(file)}, {})

    assert getattr(getattr(loaded, group), name).get_secret_value() == "hunter2"
