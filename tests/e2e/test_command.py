"""The installed command, started as its users start it: without arguments, with variables only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.process import exporter

COMMAND = Path(sys.executable).with_name("fleet-exporter")


def test_without_arguments_it_serves(tmp_path: Path) -> None:
    with exporter(
        command=[COMMAND], variables={"FLEET_EXPORTER_WEB_LISTEN_ADDRESS": "127.0.0.1:0"}, cwd=tmp_path
    ) as running:
        assert running.url.startswith("http://127.0.0.1:")
        assert running.stop() == 0


def test_without_arguments_and_with_a_bad_variable_it_says_what_is_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND],
        env={**os.environ, "FLEET_EXPORTER_WEB_LISTEN_ADDRESS": "nowhere"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "web.listen_address" in done.stderr
    assert "Traceback" not in done.stderr
