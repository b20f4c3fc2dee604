"""ValKey and Redis: INFO fields, real servers, the number of round trips, and accounts with few permissions."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from exporter.config.options import Address
from exporter.errors import Reason, SourceError
from exporter.sources.valkey import Valkey, ValkeyOptions, info, keys
from exporter.sources.valkey.fields import parsed
from exporter.sources.valkey.keys import KeyGroups, group_of
from servers import valkey as valkey_servers
from servers.valkey import Engine, RunningValkey
from tests.support.pages import collected, samples_of, series
from tests.support.servers import required


def source(url: str, **more: object) -> Valkey:
    return Valkey(ValkeyOptions.model_validate({"url": (Address(url),), **more}))


@pytest.mark.parametrize("engine", ["valkey", "redis"])
async def test_a_real_server_is_exported_completely(engine: Engine) -> None:
    with required():
        valkey_servers.prepare(engine=engine)
    with valkey_servers.start(engine=engine) as server, redis.Redis(port=server.port) as client:
        client.set("planning:story:1", "x", ex=1000)
        client.sadd("planning:stories:all", "1", "2")
        client.get("planning:story:1")
        client.get("absent")
        page = await collected(
            source(server.url, collection_keys=["planning:stories:all", "absent"], key_groups=True, key_groups_ttl=True)
        )
    who = f'server="127.0.0.1:{server.port}"'

    assert page[f'valkey_db_keys{{{who},db="0"}}'] == 2
    assert page[f'valkey_db_expiring_keys{{{who},db="0"}}'] == 1
    assert page[f"valkey_keyspace_hits_total{{{who}}}"] == 1
    assert page[f"valkey_keyspace_misses_total{{{who}}}"] == 1
    assert page[f'valkey_role{{{who},role="master"}}'] == 1
    assert page[f'valkey_command_calls_total{{{who},command="get"}}'] == 2
    assert page[f"valkey_slowlog_length{{{who}}}"] >= 0
    assert page[f'valkey_collection_size{{{who},key="planning:stories:all"}}'] == 2
    assert f'valkey_collection_size{{{who},key="absent"}}' not in page
    assert page[f'valkey_key_group_keys{{{who},group="planning:story"}}'] == 1
    assert page[f'valkey_key_group_expiring_ratio{{{who},group="planning:story"}}'] == 1
    assert page[f"valkey_key_groups_complete{{{who}}}"] == 1
    assert any(name.startswith(f'valkey_server_info{{{who},engine="{engine}"') for name in page)


async def test_a_scrape_is_one_round_trip_of_at_most_three_commands_and_writes_nothing(valkey_server: RunningValkey) -> None:
    reader = source(valkey_server.url)
    await samples_of(reader)
    with redis.Redis(port=valkey_server.port) as client:
        before = client.info("commandstats")
        await samples_of(reader)
        after = client.info("commandstats")
    for target in reader.targets():
        await target.close()
    changed = {
        name: stats["calls"] - before.get(name, {"calls": 0})["calls"]
        for name, stats in after.items()
        if stats["calls"] != before.get(name, {"calls": 0})["calls"]
    }
    count, names = sum(changed.values()) - 1, set(changed)  # the test's own INFO

    assert count <= 3
    assert names <= {"cmdstat_info", "cmdstat_slowlog|len", "cmdstat_commandlog|len"}


STATISTICS = re.compile(r"keyspace_|errorstat|total_error_replies|acl_access_denied")


def statistics(client: redis.Redis) -> dict[str, object]:
    """The server's own figures that a lookup of a key changes."""
    return {name: value for name, value in client.info("all").items() if STATISTICS.match(name)}


@pytest.mark.parametrize(
    ("options", "hits"),
    [({}, 0), ({"key_groups": True}, 0), ({"collection_keys": ["set", "list", "stream", "absent"]}, 4)],
    ids=["default", "key groups", "collection keys"],
)
async def test_a_hundred_collections_change_only_the_documented_statistics(options: dict[str, object], hits: int) -> None:
    """A configured key costs one hit per collection, a stream two, and one for its type; nothing is a miss or an error."""

    async def collect(url: str, client: redis.Redis) -> tuple[dict[str, object], dict[str, object]]:
        reader = source(url, **options)
        await samples_of(reader)
        await samples_of(reader)
        before = statistics(client)
        for _ in range(100):
            await samples_of(reader)
        after = statistics(client)
        for target in reader.targets():
            await target.close()
        return before, after

    with valkey_servers.start() as server, redis.Redis(port=server.port) as client:
        client.sadd("set", "1")
        client.rpush("list", "1")
        client.xadd("stream", {"a": "1"})
        before, after = await collect(server.url, client)

    assert after == before | {"keyspace_hits": before["keyspace_hits"] + 100 * hits}  # type: ignore[operator]  # redis-py's INFO has values of several types


async def test_every_type_of_key_has_a_size_and_its_memory(valkey_server: RunningValkey) -> None:
    with redis.Redis(port=valkey_server.port) as client:
        client.set("t:string", "four")
        client.rpush("t:list", "1", "2")
        client.sadd("t:set", "1", "2", "3")
        client.zadd("t:zset", {"a": 1})
        client.hset("t:hash", mapping={"a": "1", "b": "2"})
        client.xadd("t:stream", {"a": "1"})
        page = await collected(source(valkey_server.url, collection_keys=[f"t:{name}" for name in keys.SIZE_COMMANDS]))
        client.flushdb()
    who = f'server="127.0.0.1:{valkey_server.port}"'
    sizes = {name: page[f'valkey_collection_size{{{who},key="t:{name}"}}'] for name in keys.SIZE_COMMANDS}

    assert sizes == {"string": 4, "list": 2, "set": 3, "zset": 1, "hash": 2, "stream": 1}
    assert all(page[f'valkey_key_memory_bytes{{{who},key="t:{name}"}}'] > 0 for name in keys.SIZE_COMMANDS)


async def test_a_key_that_changes_its_type_is_sized_again(valkey_server: RunningValkey) -> None:
    who = f'server="127.0.0.1:{valkey_server.port}"'

    with redis.Redis(port=valkey_server.port) as client:
        reader = source(valkey_server.url, collection_keys=["changing"])
        found = []
        client.sadd("changing", "1", "2")
        for change in (None, lambda: (client.delete("changing"), client.rpush("changing", "1")), None):
            if change is not None:
                change()
            found.append(series(await samples_of(reader)).get(f'valkey_collection_size{{{who},key="changing"}}'))
        found.append(series(await samples_of(reader)).get(f'valkey_collection_size{{{who},key="changing"}}'))
        for target in reader.targets():
            await target.close()
        client.delete("changing")

    assert found == [2, None, 1, 1]


@pytest.mark.parametrize("refused", ["-scan", "-@keyspace"])
async def test_a_server_that_refuses_scan_loses_only_the_key_groups(valkey_server: RunningValkey, refused: str) -> None:
    with redis.Redis(port=valkey_server.port) as client:
        client.execute_command("ACL", "SETUSER", "poor", "on", ">poor", "+info", "+client", "+slowlog", "~*", refused)
        page = await collected(
            source(valkey_server.url, username="poor", password=SecretStr("poor"), key_groups=True, collection_keys=["a"])
        )
        client.execute_command("ACL", "DELUSER", "poor")
    who = f'source="valkey",server="127.0.0.1:{valkey_server.port}"'

    assert any(name.startswith("valkey_memory_used_bytes") for name in page)
    assert not any(name.startswith("valkey_key_group") for name in page)
    assert page[f'fleet_exporter_lookup_up{{{who},lookup="key_groups"}}'] == 0
    assert page[f'fleet_exporter_lookup_up{{{who},lookup="collection_keys"}}'] == 0
    assert page[f'fleet_exporter_lookup_up{{{who},lookup="slowlog"}}'] == 1


async def test_a_wrong_password_is_unauthorized() -> None:
    with valkey_servers.start(password="right") as server:
        page = await collected(source(server.url, password=SecretStr("right")))
        for given in ("wrong", ""):
            with pytest.raises(SourceError) as caught:
                await collected(source(server.url, password=SecretStr(given)))
            assert caught.value.reason is Reason.UNAUTHORIZED

    assert page


async def test_a_server_that_refuses_the_logs_loses_only_their_series(valkey_server: RunningValkey) -> None:
    with redis.Redis(port=valkey_server.port) as client:
        client.execute_command("ACL", "SETUSER", "poor", "on", ">poor", "+info", "+client", "-slowlog", "-commandlog")
        page = await collected(source(valkey_server.url, username="poor", password=SecretStr("poor")))
        client.execute_command("ACL", "DELUSER", "poor")

    assert any(name.startswith("valkey_memory_used_bytes") for name in page)
    assert not any(name.startswith("valkey_slowlog_length") for name in page)


async def test_a_hung_server_times_out_and_recovers() -> None:
    with valkey_servers.start() as server:
        reader = source(server.url, timeout=0.5)
        server.process.pause()
        with pytest.raises(SourceError) as caught:
            await collected(reader)
        server.process.resume()

        assert caught.value.reason is Reason.TIMEOUT
        assert await collected(source(server.url))


INFO = """# Server
redis_version:7.2.4
valkey_version:9.1.2
server_name:valkey
uptime_in_seconds:100
server_time_usec:1700000100000000
# A heading of a later version
brand_new_field:1
not_a_pair
used_memory:916720
used_memory:x
mem_fragmentation_ratio:nan
expired_stale_perc:12.50
rdb_last_bgsave_time_sec:-1
role:slave
master_link_status:down
slave0:ip=10.0.0.1,port=6379,state=online,offset=5,lag=1
db0:subexpiry=0,keys=2,expires=1,avg_ttl=5000
db1:nothing
cmdstat_config|get:calls=3,usec=1500,usec_per_call=500.00,rejected_calls=0,failed_calls=1
errorstat_ERR:count=4
"""


def test_info_fields_are_read_by_name() -> None:
    page = series(info.samples(parsed(INFO.replace("used_memory:x\n", "")), "s"))

    assert page['valkey_memory_used_bytes{server="s"}'] == 916720
    assert page['valkey_start_timestamp_seconds{server="s"}'] == 1700000000
    assert page['valkey_expired_stale_ratio{server="s"}'] == 0.125
    assert page['valkey_role{server="s",role="replica"}'] == 1
    assert page['valkey_master_link_up{server="s"}'] == 0
    assert page['valkey_connected_replica_lag_seconds{server="s",replica="10.0.0.1:6379"}'] == 1
    assert page['valkey_db_keys{server="s",db="0"}'] == 2
    assert page['valkey_db_average_ttl_seconds{server="s",db="0"}'] == 5
    assert page['valkey_command_duration_seconds_total{server="s",command="config|get"}'] == 0.0015
    assert page['valkey_errors_total{server="s",error="ERR"}'] == 4
    assert 'valkey_rdb_last_save_duration_seconds{server="s"}' not in page
    assert not any(name.startswith("valkey_memory_fragmentation_ratio") for name in page)


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert {sample.metric for sample in info.samples(parsed(text), "s")} <= {*Valkey.metrics}


@given(st.lists(st.sampled_from([*info.FIELDS, "db0", "cmdstat_x", "slave0", "errorstat_x", "role"])), st.text())
def test_known_fields_with_any_value_are_read_without_an_error(fields: Iterable[str], value: str) -> None:
    assert info.SERVER_INFO in {sample.metric for sample in info.samples(dict.fromkeys(fields, value), "s")}


def test_key_groups_are_the_first_segments_and_capped() -> None:
    groups = KeyGroups(limit=2, with_ttl=True)
    groups.add([b"a:b:1", b"a:b:2", b"c:1", b"e:f:3", b"plain", b"\xff:x:1"], [1000, -1, -1, -2, -1, -1])
    page = series(groups.samples("s"))

    assert group_of(b"planning:story:1") == "planning:story"
    assert page['valkey_key_group_keys{server="s",group="a:b"}'] == 2
    assert page['valkey_key_group_expiring_ratio{server="s",group="a:b"}'] == 0.5
    assert page['valkey_key_group_keys{server="s",group="other"}'] == 2
    assert page['valkey_key_groups_scanned_keys{server="s"}'] == 5
