"""What a person sees while servers are built: plain lines in a log, one moving line per server in a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from servers.progress import Stage, clock, display

ROOT = Path(__file__).parents[2]

SHOW = """
from servers.progress import display
with display() as shown, shown.stage("Loki") as progress:
    progress("compiling")
    progress.steps(5, 10, "packages")
    shown.say("Neo4j is up")
    print("cypher-shell -a bolt://127.0.0.1:7687 " * 4)
"""


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (65.0, "1:05"), (600.0, "10:00")])
def test_times_are_minutes_and_seconds(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_line_has_the_done_and_remaining_steps() -> None:
    stage = Stage("Loki")
    stage("compiling")
    stage.began -= 30
    stage.steps(200, 800, "packages")
    assert stage.line() == "Loki: compiling, 200 of 800 packages, 0:30 elapsed, about 1:30 left"

    stage.steps(8, 800, "packages")  # too early for an estimate
    assert stage.line() == "Loki: compiling, 8 of 800 packages, 0:30 elapsed"

    stage.steps(12, 0, "modules")  # the total is not known
    assert stage.line() == "Loki: compiling, 12 modules, 0:30 elapsed"

    stage("linking")
    assert stage.line() == "Loki: linking, 0:00 elapsed"


def test_a_log_gets_whole_lines_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    with display() as shown, shown.stage("Loki") as progress:
        progress("compiling")
        progress.steps(5, 10, "packages")

    assert capsys.readouterr().out == "Loki: compiling\n"


def test_a_terminal_shows_one_line_per_server_that_moves() -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=ROOT, env=environment, stdout=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)

    assert done.returncode == 0
    assert ("cypher-shell -a bolt://127.0.0.1:7687 " * 4) in shown, "a command to copy is on one line"
    assert "Loki" in shown
    assert "5 of 10 packages" in shown
    assert "\x1b[" in shown
    assert "Neo4j is up\r\n" in shown
