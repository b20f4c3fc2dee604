"""Addresses: valid and invalid ones, and no credentials in errors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, SecretStr

from exporter.config.address import Address
from exporter.config.redaction import redacted
from exporter.settings import SettingsError, load, options

SECRET = "Zq9x"
"""Part of every secret below, between arbitrary characters."""


@pytest.mark.parametrize(
    ("option", "text", "server"),
    [
        ("jetstream.url", "127.0.0.1:4222", "127.0.0.1:4222"),
        ("jetstream.url", "nats://user:p%40ss@nats.fleet:4222", "nats.fleet:4222"),
        ("jetstream.url", "tls://nats", "nats"),
        ("valkey.url", "127.0.0.1:6379", "127.0.0.1:6379"),
        ("valkey.url", "cache", "cache"),
        ("valkey.url", "redis://cache/0", "cache"),
        ("valkey.url", "redis://cache:6379/12", "cache:6379/12"),
        ("valkey.url", "redis://cache?db=3", "cache/3"),
        ("valkey.url", "valkey://user:secret@cache:6379", "cache:6379"),
        ("valkey.url", "rediss://[::1]:6379", "[::1]:6379"),
        ("valkey.url", "unix:///run/valkey.sock", "/run/valkey.sock"),
        ("neo4j.uri", "127.0.0.1:7687", "127.0.0.1:7687"),
        ("neo4j.uri", "neo4j+s://graph.example:7687", "graph.example:7687"),
        ("vllm.url", "127.0.0.1:8000", "127.0.0.1:8000"),
        ("vllm.url", "https://models.example/metrics", "models.example"),
        ("vllm.url", "http://models:8000/small/metrics?key=secret", "models:8000/small/metrics"),
    ],
)
def test_an_address_names_its_server(option: str, text: str, server: str) -> None:
    (source, *_) = load({option: text}, {}).sources

    assert [target.server for target in source.targets()] == [server]


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("valkey.url", "redis//x"),
        ("valkey.url", "redis://"),
        ("valkey.url", "redis://:6379"),
        ("valkey.url", "redis://h:abc"),
        ("valkey.url", "redis://h:"),
        ("valkey.url", "redis://h:70000"),
        ("valkey.url", "redis://h/a/b"),
        ("valkey.url", "redis://h?banana=1"),
        ("valkey.url", "redis://h?db=1&db=2"),
        ("valkey.url", "http://h"),
        ("valkey.url", "user:secret@h"),
        ("valkey.url", "a b"),
        ("jetstream.url", "nats://127.0.0.1:abc"),
        ("jetstream.url", "nats://h:4222/path"),
        ("jetstream.url", "http://h"),
        ("neo4j.uri", "bolt://"),
        ("neo4j.uri", "http://h:7474"),
        ("neo4j.uri", "bolt://h?password=x"),
        ("vllm.url", "ftp://h"),
        ("vllm.url", "http://[::1"),
        ("vllm.url", "http//h"),
        ("loki.url", "loki:3100"),
        ("fleet.grafana_url", "grafana"),
        ("services.grpc", "orchestrator:50055"),
        ("services.grpc", "orchestrator="),
        ("services.grpc", "=h:1"),
        ("services.grpc", "orchestrator=h"),
        ("services.grpc", "orchestrator=http://h:1"),
        ("services.grpc", "a=h:1,a=h:2"),
        ("services.http", "http://h:1"),
        ("services.http", "a=h:1"),
    ],
)
def test_an_invalid_address_is_reported_in_one_sentence(option: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({option: text}, {})

    (mistake,) = caught.value.mistakes
    assert mistake.startswith(f"{option} (--{option.replace(chr(95), chr(45))}")
    assert ": expected " in mistake
    assert "; " in mistake


def test_a_refusal_shows_the_address_only_if_it_cannot_hold_a_secret() -> None:
    with pytest.raises(SettingsError, match="got 'redis//x'"):
        load({"valkey.url": "redis//x"}, {})
    with pytest.raises(SettingsError) as caught:
        load({"valkey.url": "redis://user:secret"}, {})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("valkey.url", "redis://h/0,redis://h"),
        ("valkey.url", "redis://a@h:1,redis://b@h:1"),
        ("valkey.url", "redis://h:1,rediss://h:1"),
        ("vllm.url", "http://h:1,https://h:1/metrics"),
        ("vllm.url", "http://h/a?key=1,http://h/a?key=2"),
    ],
)
def test_two_addresses_of_one_server_are_refused(option: str, text: str) -> None:
    with pytest.raises(SettingsError, match="expected one address per server"):
        load({option: text}, {})


hosts = st.sampled_from(["h", "cache.fleet", "127.0.0.1", "[::1]", ""])
ports = st.sampled_from(["", ":1", ":6379", ":abc", ":"])
addresses = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "redis://", "unix://", "http://", "https://", "bolt://", "nats://", "x://", "//"]),
        st.sampled_from(["", "u@", "u:p@"]),
        hosts,
        ports,
        st.sampled_from(
            ["", "/", "/0", "/1", "/01", "/metrics", "/a", "/a/", "/a/metrics", "//a", "?db=1", "/?db=1", "/a?x=1"]
        ),
    ),
)


@given(st.lists(addresses, max_size=4), st.lists(addresses, max_size=4))
def test_every_accepted_configuration_has_one_target_for_each_server(vllm: Sequence[str], valkey: Sequence[str]) -> None:
    try:
        loaded = load({"vllm.url": ",".join(vllm), "valkey.url": ",".join(valkey)}, {})
    except SettingsError:
        return
    servers = [(target.kind, target.server) for source in loaded.sources for target in source.targets()]

    assert len(servers) == len(set(servers))
    assert all(server for _, server in servers)


SECRETS = st.just(SECRET) | st.lists(st.text(max_size=3), min_size=1, max_size=4).map(
    lambda between: SECRET + "".join(f"{x}{SECRET}" for x in between)
)
SHAPES = st.sampled_from(
    [
        "{scheme}://user:{secret}@h:1/0",
        "{scheme}://{secret}@h:1",
        "{scheme}://{secret}:{secret}@h",
        "{scheme}://h:1/0?password={secret}",
        "{scheme}://h?token={secret}&password={secret}",
        "{scheme}://h:1#{secret}",
        "{scheme}://user:{secret}",
        "user:{secret}@h:1",
        "h:1?password={secret}",
        "a={scheme}://u:{secret}@h/x",
        "{scheme}://h:1,{scheme}://u:{secret}@h:2",
        "{scheme}:user:{secret}@h",
    ]
)
OPTIONS = st.sampled_from(
    [
        "jetstream.url", "fleet.url", "valkey.url", "neo4j.uri", "vllm.url", "loki.url", "fleet.grafana_url",
        "services.http", "services.grpc",
    ]
)  # fmt: skip
SCHEMES = st.sampled_from(["redis", "rediss", "unix", "nats", "tls", "bolt", "neo4j+s", "http", "https", "grpc", "mailto"])


@settings(max_examples=400, deadline=None)
@given(OPTIONS, SHAPES, SCHEMES, SECRETS)
def test_no_configuration_shows_a_secret(option: str, shape: str, scheme: str, secret: str) -> None:
    try:
        loaded = load({option: shape.format(scheme=scheme, secret=secret)}, {})
    except SettingsError as error:
        shown = str(error)
    else:
        servers = [target.server for source in loaded.sources for target in source.targets()]
        shown = f"{loaded!r} {loaded} {loaded.model_dump()} {loaded.model_dump_json()} {servers}"

    assert SECRET not in shown


@given(
    SHAPES.filter(lambda shape: "://" in shape and "#" not in shape and "@" in shape),
    SCHEMES,
    st.text("aZ19/#?:@%,;=&", max_size=9),
)
def test_a_message_shows_no_credentials_of_an_address(shape: str, scheme: str, inner: str) -> None:
    secret = f"{SECRET}{inner}{SECRET}"
    message = f'Given URI: "{shape.format(scheme=scheme, secret=secret)}", and more'

    assert SECRET not in redacted(message)
    assert redacted(message).endswith('", and more')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET http://h/x?token=secret&limit=1 200", "GET http://h/x?token=***&limit=*** 200"),
        ("Illegal header value b'Bearer secret'", "Illegal header value b'Bearer ***'"),
        ("needs Basic authentication", "needs Basic authentication"),
        ("plain sentence: a@b, c=d?", "plain sentence: a@b, c=d?"),
    ],
)
def test_a_message_keeps_all_but_the_secrets(text: str, shown: str) -> None:
    assert redacted(text) == shown


@given(st.text())
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    address = Address(text)

    assert isinstance(f"{address} {address!r} {address.server} {redacted(text)}", str)


def test_a_secret_loses_the_white_space_around_it_and_must_be_one_line() -> None:
    with pytest.raises(SettingsError) as caught:
        load({}, {"FLEET_EXPORTER_VLLM_TOKEN": "sec\nret"})
    loaded = load({"vllm.url": "h"}, {"FLEET_EXPORTER_VLLM_TOKEN": " secret\r\n"})

    assert getattr(loaded, "vllm").token.get_secret_value() == "secret"  # noqa: B009 - a group found by name
    assert str(caught.value).startswith("vllm.token (FLEET_EXPORTER_VLLM_TOKEN): expected one line of text")


def test_every_address_and_secret_is_checked_when_the_configuration_is_read() -> None:
    unchecked = [
        option.path
        for option in options()
        if {SecretStr, Address} & {option.field.annotation, *getattr(option.field.annotation, "__args__", ())}
        and not any(isinstance(item, AfterValidator) for item in option.field.metadata)
    ]

    assert unchecked == []
