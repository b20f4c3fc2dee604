"""A path that is not a regular file is rejected immediately."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exporter.clients.sqlite import SqliteFile
from exporter.errors import Reason, SourceError


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    os.mkfifo(path)
    with pytest.raises(SourceError, match="expected a file, got a FIFO") as raised, SqliteFile(path, wait=1).reading():
        pass

    assert raised.value.reason is Reason.CONFIG


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="got a directory"):
        SqliteFile(tmp_path, wait=1).identity()
