"""Ctrl-C at any moment: the demo ends soon, with exit code 0, and leaves no process, no folder and no port behind."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from servers import alertmanager, kubernetes, loki, nats, neo4j, prometheus, valkey
from servers.cache import CACHE
from tests.servers.traces import processes_in
from tests.support.demo import running_demo
from tests.support.servers import required

pytestmark = pytest.mark.slow

LONGEST = 5.0
"""Seconds from the signal to the end."""

FIRST_PAGE = (
    "Starting NATS, ValKey, Prometheus",
    "NATS and ValKey are up",
    "The exporter's first page has",
    "  Slack messages ",
    "Ctrl-C stops everything",
)
JOINING = (
    "Neo4j is starting",
    "The Kubernetes API server is up",
    "Every source is up",
)
BUILDING = ("Alertmanager: downloading Go modules", "Alertmanager: compiling")


def ends_in_time(folder: Path, moment: str, **variables: str) -> None:
    """Start the demo with its files in `folder`, interrupt it after `moment` is printed, and check that nothing is left."""
    folder.mkdir()
    with running_demo(ended_by=signal.SIGINT, variables=variables | {"TMPDIR": str(folder)}) as demo:
        demo.wait_until_said(moment, deadline=240)
        seconds = demo.interrupt()

    assert any(line.endswith("Stopping every server\n") for line in demo.said)
    assert seconds < LONGEST
    assert processes_in(folder) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("moment", FIRST_PAGE)
def test_ctrl_c_stops_it_while_the_first_servers_start(tmp_path: Path, moment: str) -> None:
    with required():
        for server in (nats, valkey, prometheus):
            server.prepare()
    ends_in_time(tmp_path / "servers", moment)


@pytest.mark.parametrize("moment", JOINING)
def test_ctrl_c_stops_it_while_servers_join_and_run(tmp_path: Path, moment: str) -> None:
    with required():
        for server in (kubernetes, loki, neo4j, alertmanager):
            server.prepare()
    ends_in_time(tmp_path / "servers", moment)


@pytest.mark.parametrize("moment", BUILDING)
def test_ctrl_c_stops_it_while_a_server_is_built(tmp_path: Path, moment: str) -> None:
    """In a cache that has Prometheus only, so that the others are fetched and built."""
    with required():
        binaries = prometheus.prepare()
    cache = tmp_path / "cache/fleet-exporter"
    cache.mkdir(parents=True)
    if binaries.is_relative_to(CACHE):
        name = binaries.relative_to(CACHE).parts[0]
        (cache / name).symlink_to(CACHE / name)
    ends_in_time(tmp_path / "servers", moment, XDG_CACHE_HOME=str(tmp_path / "cache"))

    assert processes_in(cache) == []
    assert [path.name for path in cache.iterdir() if path.suffix == ".unfinished"] == []


@pytest.mark.parametrize("terminal", ["none", "closed"])
def test_it_runs_without_a_terminal(terminal: str) -> None:
    with required():
        for server in (nats, valkey, prometheus):
            server.prepare()
    read, write = os.pipe()
    os.close(write)
    with running_demo(stdin=subprocess.DEVNULL if terminal == "none" else read) as demo:
        os.close(read)
        demo.wait_until_said("The exporter's first page has", deadline=60)
