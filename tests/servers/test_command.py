"""Commands that fetch and build: their output, their failures in one line, and their end when they are cancelled."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from servers.cancellation import Cancellation, Cancelled, cancellable
from servers.command import CommandFailed, run
from servers.process import Process, wait_for
from tests.servers.traces import processes_in


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_every_line_is_given_as_it_comes() -> None:
    seen: list[str] = []

    output = run(python("import sys; print('one'); print('two', file=sys.stderr)"), on_line=seen.append)

    assert sorted(seen) == ["one", "two"]
    assert sorted(output.splitlines()) == ["one", "two"]


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        ("print('\\x1b[31mred\\x1b[0m alert.')", "red alert"),
        ("print('first'); print('last:'); print()", "last"),
        ("pass", f"{Path(sys.executable).name} ended with code 3"),
        ("print('x' * 1000)", "x" * 300),
    ],
)
def test_a_failure_is_one_line_without_control_characters(printed: str, cause: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        run(python(f"{printed}\nraise SystemExit(3)"))

    assert str(failed.value) == cause


def test_a_command_that_does_not_exist_fails_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=rf"^{tmp_path}/absent cannot be run: No such file or directory$"):
        run([tmp_path / "absent"])


FORK = "import os, pathlib, time; os.fork(); pathlib.Path('forked').touch(); time.sleep(600)"


def test_a_cancelled_command_ends_with_its_children(tmp_path: Path) -> None:
    raised: list[BaseException] = []
    cancellation = Cancellation()

    def work() -> None:
        try:
            with cancellable(cancellation):
                run(python(FORK), folder=tmp_path)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for((tmp_path / "forked").exists, what="the command to run")
    cancellation.request()
    thread.join()

    assert [type(error) for error in raised] == [Cancelled]
    wait_for(lambda: processes_in(tmp_path) == [], what="the children to end")


def test_nothing_starts_after_a_cancellation(tmp_path: Path) -> None:
    cancellation = Cancellation()
    cancellation.request()

    with cancellable(cancellation), pytest.raises(Cancelled):
        run(python("import pathlib; pathlib.Path('ran').touch()"), folder=tmp_path)
    with cancellable(cancellation), pytest.raises(Cancelled):
        Process(python("pass"), name="server", folder=tmp_path, ready=lambda: True).start()

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_starts_is_killed_when_cancelled(tmp_path: Path) -> None:
    cancellation = Cancellation()
    server = Process(python("import time; time.sleep(600)"), name="server", folder=tmp_path, ready=lambda: False)

    def ready() -> bool:
        cancellation.request()
        return False

    with cancellable(cancellation), pytest.raises(Cancelled):
        Process(server.command, name="server", folder=tmp_path, ready=ready).start()

    assert processes_in(tmp_path) == []


def test_running_servers_get_the_requested_grace_period() -> None:
    cancellation = Cancellation()
    assert cancellation.within_grace(15.0) == 15.0

    cancellation.request(grace=2.0)

    assert 0.0 < cancellation.within_grace(15.0) <= 2.0
    assert cancellation.within_grace(0.1) == 0.1
