"""The documented ACL lines after `reset`: they suffice, and all other commands return NOPERM."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from redis.exceptions import NoPermissionError, ResponseError

from exporter.config.options import Address
from exporter.errors import SourceError
from exporter.sources.valkey import Valkey, ValkeyOptions
from servers import valkey as valkey_servers
from servers.valkey import Engine, RunningValkey
from tests.privileges.documented import lines
from tests.support.pages import samples_of, series
from tests.support.servers import required

BASE, SIZES, KEY_GROUPS = "valkey-info", "valkey-collection-keys", "valkey-key-groups"
TTL = "valkey-key-groups-ttl"
ALL = (BASE, SIZES, KEY_GROUPS, TTL)
SET = "planning:stories:all"
KEYS = (SET, *(f"planning:of-type:{name}" for name in ("string", "list", "zset", "hash", "stream")))
NOT_THERE = {"valkey": (), "redis": ("+commandlog|len", "+client|setinfo")}
"""Words to omit for Redis before 7.2, as documented."""
WITHOUT_ACL = {"auth", "hello", "quit", "reset"}
"""Commands that are permitted before authentication."""


@pytest.fixture(scope="module", params=["valkey", "redis"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[RunningValkey]:
    with required():
        valkey_servers.prepare(engine=engine)
    with valkey_servers.start(engine=engine) as running, redis.Redis(port=running.port) as client:
        client.sadd(SET, "1", "2")
        client.set("planning:story:1", "secret", ex=1000)
        client.set(KEYS[1], "x")
        client.rpush(KEYS[2], "x")
        client.zadd(KEYS[3], {"x": 1})
        client.hset(KEYS[4], "x", "1")
        client.xadd(KEYS[5], {"x": "1"})
        yield running


@pytest.fixture
def administrator(server: RunningValkey) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port, decode_responses=True) as client:
        asked(client, "ACL", "LOG", "RESET")
        yield client


def asked(client: redis.Redis, *words: str) -> Any:
    """The reply to one command."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py does not annotate it


def statements(engine: Engine, names: Iterable[str]) -> list[list[str]]:
    """The documented lines as words, without words that this engine does not know."""
    return [[word for word in shlex.split(line) if word not in NOT_THERE[engine]] for name in names for line in lines(name)]


def grant(administrator: redis.Redis, engine: Engine, *names: str, without: str = "") -> None:
    for words in statements(engine, names):
        asked(administrator, *[word for word in words if word != without])


def source(server: RunningValkey, **more: object) -> Valkey:
    named = {"username": "fleet-exporter", "password": SecretStr("change-me")}
    return Valkey(ValkeyOptions.model_validate({"url": (Address(server.url),), **named, **more}))


async def read_twice(reader: Valkey) -> dict[str, float]:
    """The second collection, which knows the server's commands. Raises SourceError."""
    try:
        await samples_of(reader)
        return series(await samples_of(reader))
    finally:
        for target in reader.targets():
            await target.close()


def refused(administrator: redis.Redis) -> list[Any]:
    return list(asked(administrator, "ACL", "LOG"))


async def test_info_and_the_logs_are_read_and_nothing_refused(
    server: RunningValkey, engine: Engine, administrator: redis.Redis
) -> None:
    grant(administrator, engine, BASE)
    page = await read_twice(source(server))
    who = f'server="127.0.0.1:{server.port}"'

    assert page[f"valkey_memory_used_bytes{{{who}}}"] > 0
    assert page[f"valkey_slowlog_length{{{who}}}"] >= 0
    assert (f"valkey_large_reply_log_length{{{who}}}" in page) == (engine == "valkey")
    assert refused(administrator) == []


async def test_sizes_and_groups_of_keys_are_read_and_nothing_refused(
    server: RunningValkey, engine: Engine, administrator: redis.Redis
) -> None:
    who = f'server="127.0.0.1:{server.port}"'
    grant(administrator, engine, BASE, SIZES)
    page = await read_twice(source(server, collection_keys=KEYS))
    assert page[f'valkey_collection_size{{{who},key="{SET}"}}'] == 2
    assert [page[f'valkey_collection_size{{{who},key="{key}"}}'] for key in KEYS] == [2, 1, 1, 1, 1, 1]
    assert page[f'valkey_key_memory_bytes{{{who},key="{SET}"}}'] > 0
    assert refused(administrator) == []

    grant(administrator, engine, BASE, KEY_GROUPS)
    page = await read_twice(source(server, key_groups=True))
    assert page[f'valkey_key_group_keys{{{who},group="planning:story"}}'] == 1
    assert page[f"valkey_key_groups_complete{{{who}}}"] == 1
    assert refused(administrator) == []

    grant(administrator, engine, BASE, KEY_GROUPS, TTL)
    page = await read_twice(source(server, key_groups=True, key_groups_ttl=True))
    assert page[f'valkey_key_group_expiring_ratio{{{who},group="planning:story"}}'] == 1
    assert refused(administrator) == []


@pytest.mark.parametrize(
    ("name", "word"),
    [(name, word) for name in ALL for line in lines(name) for word in shlex.split(line) if word[0] in "+%~"],
)
async def test_every_word_is_required(
    server: RunningValkey, engine: Engine, administrator: redis.Redis, name: str, word: str
) -> None:
    """Without it, the server refuses the exporter something."""
    if word in NOT_THERE[engine]:
        with pytest.raises(ResponseError, match="Unknown command"):
            asked(administrator, "ACL", "SETUSER", "nobody", word)
        return
    names = tuple(dict.fromkeys((BASE, *([KEY_GROUPS] if name == TTL else []), name)))
    grant(administrator, engine, *names, without=word)
    with suppress(SourceError):
        keys = KEYS if SIZES in names else ()
        await read_twice(source(server, collection_keys=keys, key_groups=KEY_GROUPS in names, key_groups_ttl=TTL in names))

    assert refused(administrator)


def commands(administrator: redis.Redis) -> dict[str, int]:
    """Every command and subcommand (`config|get`) that the server has, with the words it takes at least."""
    found: dict[str, int] = {}

    def add(rows: list[Any]) -> None:
        for row in rows:
            subcommands = row[9] if len(row) > 9 else []
            if subcommands:
                add(subcommands)
            else:
                found[row[0]] = abs(row[1])

    with redis.Redis(port=administrator.connection_pool.connection_kwargs["port"], decode_responses=True) as plain:
        plain.response_callbacks.clear()
        add(asked(plain, "COMMAND"))
    return found


@pytest.mark.parametrize("names", [(BASE,), (BASE, SIZES), (BASE, KEY_GROUPS), (BASE, KEY_GROUPS, TTL)], ids=" ".join)
def test_every_other_command_is_refused(
    server: RunningValkey, engine: Engine, administrator: redis.Redis, names: tuple[str, ...]
) -> None:
    grant(administrator, engine, *names)
    granted = {word.removeprefix("+") for words in statements(engine, names) for word in words if word.startswith("+")}
    every = commands(administrator)
    permitted = set()
    for name, words in every.items():
        name_words = name.split("|")
        # Numbers, so that commands which count their keys find one.
        dry = asked(administrator, "ACL", "DRYRUN", "fleet-exporter", *name_words, *["1"] * (words - len(name_words)))
        if dry == "OK" or "command" not in str(dry):
            permitted.add(name)

    assert len(every) > 200
    assert permitted - WITHOUT_ACL == granted


@pytest.mark.parametrize(
    "command",
    ["GET planning:story:1", "SET a b", "TYPE a",
     "DEL planning:story:1", "KEYS *", "FLUSHALL", "CONFIG GET *", "CONFIG SET maxmemory 1",
     "SLOWLOG GET", "SLOWLOG RESET", "CLIENT LIST", "CLIENT KILL 127.0.0.1:1", "ACL LIST", "MODULE LIST", "SHUTDOWN",
     "MONITOR", "SUBSCRIBE x", "EVAL 'return 1' 0", "SMEMBERS planning:stories:all"],
)  # fmt: skip
def test_commands_that_read_or_change_data_are_noperm(
    server: RunningValkey, engine: Engine, administrator: redis.Redis, command: str
) -> None:
    grant(administrator, engine, BASE, SIZES, KEY_GROUPS)
    with (
        redis.Redis(port=server.port, username="fleet-exporter", password="change-me") as client,
        pytest.raises(NoPermissionError),
    ):
        asked(client, *shlex.split(command))

    assert administrator.get("planning:story:1") == "secret"


def test_only_the_named_keys_have_a_size(server: RunningValkey, engine: Engine, administrator: redis.Redis) -> None:
    grant(administrator, engine, BASE, SIZES)
    with redis.Redis(port=server.port, username="fleet-exporter", password="change-me") as client:
        assert client.scard(SET) == 2
        with pytest.raises(NoPermissionError):
            client.scard("other:stories:all")
