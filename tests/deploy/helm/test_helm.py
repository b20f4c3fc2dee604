"""Which Helm is used, and that it reads no settings of the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers import helm
from tests.deploy.helm.conftest import Helm
from tests.support.servers import required


def stub(folder: Path, version: str) -> Path:
    """A fake helm that prints its version only."""
    file = folder / "helm"
    file.write_text(f"#!/bin/sh\necho {version}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("version", ["v3.0.0", "v4.9.1"])
def test_helm_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    found = stub(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    assert helm.prepare() == found


def test_an_old_helm_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stub(tmp_path, "v2.17.0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with required():
        assert helm.prepare() != found


def test_the_users_settings_and_cluster_are_not_read(
    helm_command: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELM_NAMESPACE", "theirs")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "theirs"))
    monkeypatch.setenv("HOME", "/home/theirs")
    shown = helm_command("env").stdout

    assert 'HELM_NAMESPACE="default"' in shown
    assert "theirs" not in shown
