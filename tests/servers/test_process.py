"""Children: waited for, paused, restarted, and ended in every way a start or a parent can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from servers import process as module
from servers.process import Process, ServerFailed, free_port, listening, process, spawn, wait_for
from tests.servers.traces import processes_in

SERVE = (
    "import http.server; http.server.HTTPServer(('127.0.0.1', {port}), http.server.BaseHTTPRequestHandler).serve_forever()"
)
FORK = "import os, pathlib, time; pid = os.fork(); pathlib.Path('forked').touch(); time.sleep(600)"
DEAF = "import pathlib, signal, time; signal.signal(15, signal.SIG_IGN); pathlib.Path('deaf').touch(); time.sleep(600)"
WAIT = "import time; time.sleep(600)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def state(pid: int) -> str:
    """The kernel's letter: S sleeping, R running, T stopped, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_server_runs_within_its_context_only(tmp_path: Path) -> None:
    port = free_port()
    ready = lambda: listening(port)  # noqa: E731 - shorter than a function

    with process(python(SERVE.format(port=port)), name="http", folder=tmp_path, ready=ready) as running:
        assert running.alive
        assert processes_in(tmp_path) == [running.pid]

    assert not running.alive
    assert not listening(port)
    assert processes_in(tmp_path) == []


def test_a_server_that_exits_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match=r"^demo ended with code 3: no such option$"):
        spawn(python("print('no such option'); raise SystemExit(3)"), name="demo", folder=tmp_path, ready=lambda: False)


def test_a_server_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match=r"^demo was not ready within 0\.1 s: its log is empty$"):
        spawn(python(WAIT), name="demo", folder=tmp_path, ready=lambda: False, deadline=0.1)

    assert processes_in(tmp_path) == []


def children() -> str:
    """The processes that this thread has started and not waited for."""
    return Path("/proc/thread-self/children").read_text()


def test_a_command_that_does_not_exist_leaves_nothing(tmp_path: Path) -> None:
    before = children()
    child = Process([tmp_path / "absent"], name="absent", folder=tmp_path, ready=lambda: True)
    with pytest.raises(FileNotFoundError):
        child.start()

    assert not child.alive
    assert children() == before


def test_ctrl_c_while_waiting_ends_the_server(tmp_path: Path) -> None:
    def ready() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spawn(python(WAIT), name="demo", folder=tmp_path, ready=ready)

    assert processes_in(tmp_path) == []


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.05)
    running = spawn(python(DEAF), name="deaf", folder=tmp_path, ready=(tmp_path / "deaf").exists)

    running.stop()

    assert running.child.returncode == -signal.SIGKILL


def test_a_paused_server_can_be_resumed_and_stopped(tmp_path: Path) -> None:
    with process(python(WAIT), name="demo", folder=tmp_path, ready=lambda: True) as running:
        running.pause()
        wait_for(lambda: state(running.pid) == "T", what="the child to stop")
        running.resume()
        wait_for(lambda: state(running.pid) != "T", what="the child to go on")
        running.pause()

    assert running.child.returncode == -signal.SIGTERM


def test_a_restart_gives_a_new_process(tmp_path: Path) -> None:
    with process(python(WAIT), name="demo", folder=tmp_path, ready=lambda: True) as running:
        first = running.pid
        running.kill()
        assert not running.alive
        running.restart()
        assert running.alive
        assert running.pid != first
        assert processes_in(tmp_path) == [running.pid]


def test_child_processes_of_a_server_end_with_it(tmp_path: Path) -> None:
    with process(python(FORK), name="demo", folder=tmp_path, ready=(tmp_path / "forked").exists):
        assert len(processes_in(tmp_path)) == 2

    wait_for(lambda: processes_in(tmp_path) == [], what="the fork to end")


def test_a_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[Process] = []

    def start() -> None:
        started.append(spawn(python(WAIT), name="demo", folder=tmp_path, ready=lambda: True))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert started[0].alive
    started[0].stop()


def test_servers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from servers.process import spawn\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        f"print(spawn([sys.executable, '-c', {WAIT!r}], name='demo', folder=folder, ready=lambda: True).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    root = Path(module.__file__).parents[1]
    with subprocess.Popen(python(code), cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert processes_in(tmp_path) == [child]
        os.kill(parent.pid, signal.SIGKILL)

    wait_for(lambda: processes_in(tmp_path) == [], what="the child to end with its parent")


def test_free_ports_are_distinct_and_no_outgoing_connection_takes_them() -> None:
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [free_port() for _ in range(50)]

    assert len(set(ports)) == len(ports)
    assert max(ports) < first_outgoing
