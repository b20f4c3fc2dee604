"""The exporter's figures next to those of readers that speak each backend's protocol themselves.

Elsewhere: Neo4j's counts next to Cypher's own (test_neo4j.py), objects written over Kubernetes' REST API (test_rayjob.py,
test_workloads.py), and vLLM's recorded pages (test_vllm_metrics.py).
"""

from __future__ import annotations

import json
import socket
from typing import Any

import nats
import redis
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StreamConfig

from exporter.config.options import Address
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from exporter.sources.valkey import Valkey, ValkeyOptions
from servers.nats import Nats
from servers.valkey import RunningValkey
from tests.support.pages import collected

STREAM = {
    "nats_stream_messages": "state.messages",
    "nats_stream_size_bytes": "state.bytes",
    "nats_stream_first_sequence": "state.first_seq",
    "nats_stream_last_sequence": "state.last_seq",
    "nats_stream_deleted": "state.num_deleted",
    "nats_stream_consumers": "state.consumer_count",
    "nats_stream_subjects": "state.num_subjects",
    "nats_stream_limit_messages": "config.max_msgs",
    "nats_stream_limit_bytes": "config.max_bytes",
}
CONSUMER = {
    "nats_consumer_num_pending": "num_pending",
    "nats_consumer_num_ack_pending": "num_ack_pending",
    "nats_consumer_num_redelivered": "num_redelivered",
    "nats_consumer_num_waiting": "num_waiting",
    "nats_consumer_delivered_total": "delivered.consumer_seq",
    "nats_consumer_delivered_stream_sequence": "delivered.stream_seq",
    "nats_consumer_ack_floor_stream_sequence": "ack_floor.stream_seq",
    "nats_consumer_max_deliver": "config.max_deliver",
    "nats_consumer_max_ack_pending": "config.max_ack_pending",
}


def at(value: Any, path: str) -> float | None:
    """The number at this path; None where the server has no limit, which it writes as -1."""
    for name in path.split("."):
        value = value.get(name, 0)
    return None if value == -1 else float(value)


async def asked(client: Client, subject: str) -> Any:
    return json.loads((await client.request(f"$JS.API.{subject}", b"", timeout=10)).data)


async def test_streams_and_consumers_as_the_jetstream_api_has_them(server: Nats) -> None:
    client = await nats.connect(server.url)
    js = client.jetstream()
    expected: dict[str, float | None] = {}
    for number in range(3):
        name = f"S{number}"
        await js.add_stream(StreamConfig(name=name, subjects=[f"s{number}.>"], max_msgs=(-1, 10, 1000)[number]))
        for message in range(8 * number):
            await js.publish(f"s{number}.{message % 3}", b"x" * message)
        if number:
            await js.delete_msg(name, 7)
        for index in range(number):
            durable = f"c{index}"
            await js.add_consumer(name, ConsumerConfig(durable_name=durable, max_deliver=(-1, 5)[index], ack_wait=600))
            subscription = await js.pull_subscribe_bind(durable, stream=name)
            first, second, *_ = await subscription.fetch(5, timeout=10)
            await first.ack_sync()
            await second.nak()
            await subscription.fetch(1, timeout=10)
    page = await collected(Jetstream(JetstreamOptions(url=(Address(server.url),))))
    streams = (await asked(client, "STREAM.LIST"))["streams"]
    for stream in streams:
        name = stream["config"]["name"]
        expected |= {f'{metric}{{stream="{name}"}}': at(stream, path) for metric, path in STREAM.items()}
        for consumer in (await asked(client, f"CONSUMER.LIST.{name}"))["consumers"]:
            who = f'stream="{name}",consumer="{consumer["name"]}"'
            expected |= {f"{metric}{{{who}}}": at(consumer, path) for metric, path in CONSUMER.items()}
    await client.close()

    assert len(expected) == 3 * len(STREAM) + 3 * len(CONSUMER)
    assert {name: page.get(name) for name in expected} == expected


FIELDS = {
    "valkey_memory_max_bytes": "maxmemory",
    "valkey_max_clients": "maxclients",
    "valkey_blocked_clients": "blocked_clients",
    "valkey_keyspace_hits_total": "keyspace_hits",
    "valkey_keyspace_misses_total": "keyspace_misses",
    "valkey_expired_keys_total": "expired_keys",
    "valkey_evicted_keys_total": "evicted_keys",
    "valkey_rejected_connections_total": "rejected_connections",
    "valkey_client_output_buffer_disconnections_total": "client_output_buffer_limit_disconnections",
    "valkey_error_replies_total": "total_error_replies",
    "valkey_rdb_changes_since_last_save": "rdb_changes_since_last_save",
    "valkey_loading": "loading",
    "valkey_connected_replicas": "connected_slaves",
}


def info(port: int) -> dict[str, str]:
    """INFO over a plain socket."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rb") as reader:
        connection.sendall(b"*2\r\n$4\r\nINFO\r\n$10\r\neverything\r\n")
        length = int(reader.readline().removeprefix(b"$"))
        text = reader.read(length).decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


async def test_a_valkey_server_as_its_protocol_has_it(valkey_server: RunningValkey) -> None:
    with redis.Redis(port=valkey_server.port) as client:
        client.set("raw", "1", ex=1000)
        for name in ("raw", "raw", "raw-absent"):
            client.get(name)
        client.delete("raw")
    page = await collected(Valkey(ValkeyOptions(url=(Address(valkey_server.url),))))
    fields = info(valkey_server.port)
    who = f'server="127.0.0.1:{valkey_server.port}"'

    assert {metric: page[f"{metric}{{{who}}}"] for metric in FIELDS} == {
        metric: float(fields[field]) for metric, field in FIELDS.items()
    }
    assert page[f'valkey_command_calls_total{{{who},command="get"}}'] == float(
        fields["cmdstat_get"].split(",")[0].removeprefix("calls=")
    )
