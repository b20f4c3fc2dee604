"""Files of another owner: with the documented rights `nobody` reads all of them, writes none and leaves nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import SourceError
from exporter.settings import load
from exporter.source import Source
from servers.cache import ServerMissing
from tests.privileges.documented import block
from tests.sources.broker_tables import broker, filled
from tests.sources.ledgers import invoke, writer
from tests.sources.task_files import body, put
from tests.support.pages import collected
from tests.support.servers import required

UNPRIVILEGED = 65534
Answer = dict[str, float] | str
SOURCES: dict[str, tuple[str, str]] = {
    "taskboard": ("root", "board"),
    "costs": ("database", "ledger/telemetry.db"),
    "broker": ("database", "broker/broker.db"),
}


def source_of(kind: str, **options: Any) -> Source:
    return load({f"{kind}.{name}": str(value) for name, value in options.items()}, {}).sources[0]


def _as_unprivileged(commands: Connection, other_side: Connection) -> None:
    """Execute requests as a user who owns nothing, until the connection closes."""
    other_side.close()
    os.setgroups([])
    os.setgid(UNPRIVILEGED)
    os.setuid(UNPRIVILEGED)
    while True:
        try:
            kind, options = commands.recv()
        except EOFError:
            return
        try:
            if kind == "write":
                Path(options["path"]).open("a").close()
                commands.send("written")
            else:
                commands.send(asyncio.run(collected(source_of(kind, **options))))
        except (SourceError, OSError) as error:
            commands.send(str(error.reason if isinstance(error, SourceError) else error.strerror))


@contextmanager
def unprivileged() -> Iterator[Callable[..., Answer]]:
    """Gives a function that reads a source (by its kind and options) as `nobody`: its page, or why there is none.

    A fork, since `nobody` may not be able to read Python itself; made while no database is open, as SQLite demands.
    """
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_as_unprivileged, args=(there, here), daemon=True)
    child.start()
    there.close()

    def ask(kind: str, **options: Any) -> Answer:
        here.send((kind, options))
        answer: Answer = here.recv()
        return answer

    try:
        yield ask
    finally:
        here.close()
        child.join(20)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of root, with a board, a ledger and a broker's database that no other user may read."""
    with required():
        if os.geteuid() != 0:
            raise ServerMissing("only root can become another user: run as root")
    place = Path(tempfile.mkdtemp(prefix="fleet-files-"))
    before = os.umask(0o077)
    try:
        put(place / "board", "inbox/t-1.yaml", body(status="new"))
        put(place / "board", "assigned/backend/t-2.yaml", body(id="t-2"))
        (place / "board/done").mkdir()
        for name in ("ledger", "broker"):
            (place / name).mkdir()
        with writer(place / "ledger/telemetry.db") as ledger:
            invoke(ledger, 1)
        with broker(place / "broker/broker.db") as database:
            filled(database)
        place.chmod(0o755)
        for kind, (option, path) in SOURCES.items():
            asyncio.run(collected(source_of(kind, **{option: place / path})))  # imports as root what `nobody` may not
        yield place
    finally:
        os.umask(before)
        shutil.rmtree(place)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def grant(folder: Path) -> None:
    subprocess.run(["/bin/sh", "-euc", block("files")], cwd=folder, check=True)


@pytest.mark.parametrize("kind", SOURCES)
def test_without_permissions_the_source_is_unauthorized(folder: Path, kind: str) -> None:
    option, path = SOURCES[kind]
    with unprivileged() as ask:
        assert ask(kind, **{option: folder / path}) == "unauthorized"


def test_with_permissions_everything_is_read_and_nothing_changed(folder: Path) -> None:
    grant(folder)
    before = contents(folder)
    with unprivileged() as ask:
        pages = {kind: ask(kind, **{option: folder / path}) for kind, (option, path) in SOURCES.items()}

    assert all(isinstance(page, dict) and page for page in pages.values()), pages
    assert contents(folder) == before


@pytest.mark.parametrize("kind", ["costs", "broker"])
def test_a_database_with_an_active_writer_is_read(folder: Path, kind: str) -> None:
    """In WAL mode: what is only in the -wal yet is read, and the -shm, which is its writer's, suffices for reading."""
    grant(folder)
    option, path = SOURCES[kind]
    with unprivileged() as ask:
        connection = sqlite3.connect(folder / path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = wal")
            if kind == "costs":
                invoke(connection, 2)
            else:
                connection.execute("UPDATE agents SET status = 'offline' WHERE agent_id = 'a'")
            assert Path(f"{folder / path}-wal").stat().st_size > 0
            before = contents(folder)
            page = ask(kind, **{option: folder / path})
            assert isinstance(page, dict), page
            assert contents(folder) == before
        finally:
            connection.close()

    if kind == "costs":
        assert page['fleet_cost_spent_usd{period="all"}'] == 1.0  # of both rows
    else:
        assert page['fleet_broker_agents{status="offline",type="claude",mode="tmux"}'] == 1


def test_the_permissions_allow_no_writes(folder: Path) -> None:
    grant(folder)
    with unprivileged() as ask:
        for path in ("board/inbox/t-1.yaml", "ledger/telemetry.db", "broker/broker.db"):
            assert ask("write", path=folder / path) == "Permission denied"
            assert ask("write", path=(folder / path).parent / "new") == "Permission denied"
