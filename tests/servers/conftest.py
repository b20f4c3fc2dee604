"""A temporary folder of the test's own for the servers it starts, found empty at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.traces import processes_in


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Fails the test when a server it started leaves a process or a folder behind."""
    folder = tmp_path / "servers"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert processes_in(folder) == []
    assert list(folder.iterdir()) == []
