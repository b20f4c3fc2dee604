"""Alertmanager: it is taken from the PATH or built, answers over its own protocol, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from servers import alertmanager
from servers.process import ServerFailed
from tests.support.servers import required

pytestmark = pytest.mark.usefixtures("nothing_left")

CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


def test_alertmanager_runs_without_peers_and_keeps_silences_over_a_restart() -> None:
    with required():
        alertmanager.prepare()
    silence = {
        "matchers": [{"name": "alertname", "value": "A", "isRegex": False, "isEqual": True}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "a test",
        "comment": "kept",
    }
    with alertmanager.start(config=CONFIG) as server, httpx.Client(base_url=f"{server.url}/api/v2", trust_env=False) as api:
        assert api.get("/status").json()["cluster"]["status"] == "disabled"
        api.post("/silences", json=silence).raise_for_status()
        server.process.restart()
        assert [one["comment"] for one in api.get("/silences").json()] == ["kept"]


def test_an_invalid_configuration_is_an_error() -> None:
    with required():
        alertmanager.prepare()
    with (
        pytest.raises(ServerFailed, match=r"(?s)^alertmanager ended with code 1: .*undefined receiver"),
        alertmanager.start(config="route: {receiver: somebody}\nreceivers: [{name: nobody}]\n"),
    ):
        pass


@pytest.mark.parametrize(("version", "taken"), [("0.25.0", False), ("0.31.0", True), ("1.2.3", True)])
def test_an_alertmanager_on_the_path_is_used_if_recent_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, taken: bool
) -> None:
    with required():
        alertmanager.prepare()
    for name in ("alertmanager", "amtool"):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\necho '{name}, version {version} (branch: HEAD)'\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert (alertmanager.prepare() == tmp_path) is taken
