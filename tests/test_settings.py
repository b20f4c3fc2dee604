"""Options from flags, variables and files, and errors for invalid ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.config.options import Address
from exporter.settings import SettingsError, load, options
from exporter.sources.fleet import FleetEvents


def mistakes(flags: dict[str, str | None] | None = None, environment: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, environment or {})
    return caught.value.mistakes


def test_an_empty_configuration_has_no_sources() -> None:
    settings = load({}, {})

    assert settings.sources == ()
    assert settings.web.listen_address == ":9847"


def test_flags_override_variables_which_override_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("valkey: {url: redis://file, timeout: 1, max_series: 7}\nweb: {listen_address: ':1'}\n")
    environment = {
        "FLEET_EXPORTER_CONFIG_FILE": str(file),
        "REDIS_URL": "redis://well-known",
        "FLEET_EXPORTER_VALKEY_URL": "redis://own",
        "FLEET_EXPORTER_VALKEY_TIMEOUT": "2",
    }
    settings = load({"valkey.timeout": "3"}, environment)
    (valkey,) = settings.sources

    assert ([target.server for target in valkey.targets()], valkey.timeout, valkey.max_series) == (["own"], 3.0, 7)
    assert settings.web.listen_address == ":1"
    assert load({}, {"REDIS_URL": "redis://well-known"}).sources[0].targets()[0].server == "well-known"


@pytest.mark.parametrize(
    ("variable", "value", "kinds"),
    [
        ("NATS_URL", "nats://x:4222", ["fleet", "jetstream"]),
        ("NEO4J_URI", "bolt://x:7687", ["neo4j"]),
        ("REDIS_URL", "redis://x", ["valkey"]),
        ("VLLM_URL", "http://x:8000,http://y:8000", ["vllm"]),
    ],
)
def test_a_source_with_an_address_is_enabled(variable: str, value: str, kinds: list[str]) -> None:
    assert [source.kind for source in load({}, {variable: value}).sources] == kinds


def test_all_errors_are_reported_together_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("valkey: {urll: redis://a, password: [hunter2]}\nbanana: {}\n")
    errors = mistakes(
        {"config.file": str(file), "valkey.timeout": "-1", "web.listen_address": "nowhere"},
        {"FLEET_EXPORTER_VALKEY_URLL": "x"},
    )

    assert sorted(line.partition(":")[0].partition(" ")[0] for line in errors) == [
        "FLEET_EXPORTER_VALKEY_URLL", "banana", "valkey.password", "valkey.timeout", "valkey.urll", "web.listen_address",
    ]  # fmt: skip
    assert "hunter2" not in str(errors)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("a: [", "line 1: not YAML"),
        ("- a", "top level"),
        ("valkey: 3", "valkey: expected a mapping of options, got a number or boolean"),
        ("valkey: {password: *hunter2}", "quote the value"),
    ],
)
def test_an_invalid_file_is_reported_in_a_sentence(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "config.yaml"
    if content is not None:
        file.write_text(content)
    (errors,) = mistakes({"config.file": str(file)})

    assert str(file) in errors
    assert words in errors


def test_the_command_exits_2_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "--valkey.timeout=-1"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr == "fleet-exporter: valkey.timeout (--valkey.timeout): input should be greater than 0\n"


def test_an_address_shows_no_credentials() -> None:
    address = Address("redis://user:hunter2@cache:6379/0")

    assert "hunter2" not in f"{address} {address!r}"
    assert address.server == "cache:6379"


def test_secrets_have_no_flag_and_every_option_has_help() -> None:
    secrets = {option.path for option in options() if option.flag is None}

    at_nats = {f"{group}.{name}" for group in ("jetstream", "fleet") for name in ("password", "token")}
    assert secrets == at_nats | {
        "fleet.grafana_token", "loki.nats_password", "loki.nats_token", "loki.password", "loki.token", "neo4j.password",
        "valkey.password", "vllm.token",
    }  # fmt: skip
    assert all(option.help.endswith(".") for option in options())


def test_fleet_uses_the_address_and_credentials_of_jetstream() -> None:
    fleet = load({"jetstream.url": "nats://a", "jetstream.user": "u"}, {"NATS_PASSWORD": "p"}).sources[0]
    elsewhere = load({"jetstream.url": "nats://a", "jetstream.user": "u", "fleet.url": "nats://b"}, {}).sources[0]

    assert isinstance(fleet, FleetEvents)
    assert isinstance(elsewhere, FleetEvents)
    assert (fleet.server, fleet.options.user) == ("a", "u")
    assert (elsewhere.server, elsewhere.options.user) == ("b", "")
    assert [source.kind for source in load({"fleet.follow_events": "false"}, {"NATS_URL": "nats://a"}).sources] == [
        "jetstream"
    ]


def test_a_missing_kubeconfig_is_a_configuration_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "exporter", "collect", "rayjob", "--rayjob.timeout=60"]
    for given in (f"--rayjob.kubeconfig={tmp_path / 'none'}", "--rayjob.in-cluster"):
        done = subprocess.run([*command, given], capture_output=True, text=True, check=False)

        assert done.returncode == 1
        assert done.stderr.startswith("fleet-exporter: rayjob: config: ")


def test_a_wrong_list_next_to_a_scalar_group_names_both(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("valkey: {urls: [redis://a]}\nneo4j: bolt://graph\n")

    errors = mistakes({"config.file": str(file)})
    assert len(errors) == 2
    assert any("neo4j: expected a mapping of options, got a text" in line for line in errors)
    assert any(line.startswith("valkey.urls: no such option") for line in errors)
