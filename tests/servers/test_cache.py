"""The cache of servers: built once, whole or not at all."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import subprocess
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from servers import cache
from servers.cache import ServerMissing, cached
from servers.cancellation import Cancellation, Cancelled, cancellable

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def build_at_once(root: Path, barrier: Barrier) -> None:
    """One of several processes that want the same thing at the same moment."""

    def build(folder: Path) -> None:
        with (root / "builds").open("a") as builds:
            builds.write("built\n")
        (folder / "server").write_text("binary")

    cache.CACHE = root / "cache"
    barrier.wait(timeout=60)
    assert (cached("server-1.0", build) / "server").read_text() == "binary"


def test_parallel_processes_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    processes = [context.Process(target=build_at_once, args=(tmp_path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "builds").read_text() == "built\n"


def test_others_wait_while_one_builds(own_cache: Path) -> None:
    def build(folder: Path) -> None:
        with (own_cache / ".server-1.0.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    cached("server-1.0", build)


def test_nothing_is_published_before_the_build_is_finished(own_cache: Path) -> None:
    def build(folder: Path) -> None:
        assert not (own_cache / "server-1.0").exists()
        assert folder.parent == own_cache

    assert cached("server-1.0", build) == own_cache / "server-1.0"


def test_a_failed_build_leaves_nothing_for_the_next_one(own_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise ServerMissing("no compiler")

    with pytest.raises(ServerMissing, match="no compiler"):
        cached("server-1.0", fail)

    assert [path.name for path in own_cache.iterdir()] == [".server-1.0.lock"]
    assert list(cached("server-1.0", lambda _: None).iterdir()) == []


def test_files_of_a_killed_build_are_removed(own_cache: Path) -> None:
    left = own_cache / ".server-1.0.unfinished"
    left.mkdir(parents=True)
    (left / "gigabytes").write_text("")

    assert list(cached("server-1.0", lambda _: None).iterdir()) == []


def test_a_finished_build_is_not_repeated(own_cache: Path) -> None:
    (own_cache / "server-1.0").mkdir(parents=True)

    def build(folder: Path) -> None:
        pytest.fail("built although it was there")

    assert cached("server-1.0", build) == own_cache / "server-1.0"


def test_an_unwritable_cache_is_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHE", Path("/proc/x/fleet-exporter"))

    with pytest.raises(
        ServerMissing, match=r"^the cache /proc/x/fleet-exporter cannot be written \(.+\): set XDG_CACHE_HOME"
    ):
        cached("server-1.0", lambda _: None)


@pytest.mark.parametrize("module", ["servers", "demo"])
def test_commands_report_it_in_one_line_and_exit(module: str) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": "/proc/x"}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"{module}: the cache /proc/x/fleet-exporter cannot be written")
    assert done.stderr.count("\n") == 1


def test_waiting_for_another_build_ends_when_cancelled(own_cache: Path) -> None:
    cancellation = Cancellation()

    class Waiting(cache.Progress):
        def __call__(self, text: str) -> None:  # noqa: ARG002 - as every progress
            cancellation.request()

    with cache.locked("server-1.0"), cancellable(cancellation), pytest.raises(Cancelled):
        cached("server-1.0", lambda _: pytest.fail("built while another does"), Waiting())
