"""ValKey: does the cache answer, does it keep what it should keep, and who asks it for what?"""

from __future__ import annotations

from alerts import thresholds
from alerts.view import View
from dashboards import variables
from dashboards.common import alert_marks, source_health
from dashboards.fields import BAD, OK, QUIET, WARN, YES_NO, Column, Limit
from dashboards.layout import Row
from dashboards.panels import Dashboard, graph, stat, table
from dashboards.query import RATE, Line, chosen, shown
from exporter.metric import Metric
from exporter.promql import Matcher, Query, Series
from exporter.sources import valkey
from exporter.sources.valkey import info, keys

_ROLES = {"1": ("master", OK), "2": ("replica", QUIET)}
_OFF_ON = {"0": ("off", QUIET), "1": ("on", OK)}


def _at(metric: Metric, **matchers: str | Matcher) -> Series:
    return shown(metric, server=chosen("server"), **matchers)


def _rate(metric: Metric, legend: str, *labels: str) -> Line:
    return Line(_at(metric).rate(RATE).sum(*labels), legend)


def _value(metric: Metric, legend: str) -> Line:
    return Line(_at(metric).sum("server"), f"{{{{server}}}} {legend}")


_hits = _at(info.HITS).rate("15m").sum("server")
_lookups = _hits + _at(info.MISSES).rate("15m").sum("server")
_limit = _at(info.MEMORY_MAX) > 0
_role = Query(
    f"{_at(info.ROLE, role='master').text} + 2 * ignoring (role) {_at(info.ROLE, role='replica').text}", _limit.labels
)

DASHBOARD = Dashboard(
    view=View.VALKEY,
    title="ValKey",
    description="Whether the cache answers, keeps what it should keep, and who asks it for what.",
    variables=[variables.of("server", "server", "Server", "ValKey servers.", shown(info.SERVER_INFO))],
    annotations=[alert_marks("valkey")],
    rows=[
        Row(
            "",
            [
                *source_health("valkey", "ValKey", width=3),
                stat(
                    "Keys",
                    "Keys of all databases (INFO dbN keys).",
                    Line(_at(info.DB_KEYS).sum()),
                    width=3,
                    sparkline=True,
                    decimals=0,
                ),
                stat(
                    "Memory",
                    "Memory the allocator holds (INFO used_memory).",
                    Line(_at(info.MEMORY_USED).sum()),
                    unit="bytes",
                    width=3,
                    sparkline=True,
                ),
                stat(
                    "Share of the limit",
                    "Memory over maxmemory; no data where no limit is set, which a cache of permanent data wants.",
                    Line((_at(info.MEMORY_USED) / _limit).max()),
                    unit="percentunit",
                    width=3,
                    limits=[Limit(thresholds.VALKEY_MEMORY_RATIO, BAD)],
                ),
                stat(
                    "Hit ratio",
                    "Share of lookups of the last 15 minutes that found their key; no data without lookups.",
                    Line((_hits / (_lookups > 0)).min()),
                    unit="percentunit",
                    width=3,
                    limits=[Limit(thresholds.HIT_RATIO, WARN)],
                    below=True,
                ),
                stat(
                    "Thrown out",
                    "Keys evicted in the last hour (INFO evicted_keys). Where permanent data is kept, any is too many.",
                    Line(_at(info.EVICTED).increase("1h").sum()),
                    width=3,
                    limits=[Limit(1, BAD)],
                    decimals=0,
                ),
                stat(
                    "Clients",
                    "Client connections (INFO connected_clients).",
                    Line(_at(info.CONNECTED_CLIENTS).sum()),
                    width=3,
                    sparkline=True,
                    decimals=0,
                ),
            ],
        ),
        Row(
            "Use",
            [
                graph(
                    "Commands",
                    "Calls a second by command, the ten busiest (INFO cmdstat_* calls).",
                    Line(
                        Query(f"topk(10, {_at(info.COMMAND_CALLS).rate(RATE).sum('command').text})", frozenset({"command"})),
                        "{{command}}",
                    ),
                    unit="ops",
                ),
                graph(
                    "Lookups",
                    "Lookups a second that found their key, and that did not (INFO keyspace_hits, keyspace_misses).",
                    _rate(info.HITS, "hits"),
                    _rate(info.MISSES, "misses"),
                    unit="ops",
                    stacked=True,
                    columns=[Column("hits", colour=OK), Column("misses", colour=WARN)],
                ),
                graph(
                    "Time in a command",
                    "Mean time of a call by command (INFO cmdstat_* usec over calls).",
                    Line(
                        _at(info.COMMAND_SECONDS).rate(RATE).sum("command")
                        / (_at(info.COMMAND_CALLS).rate(RATE).sum("command") > 0),
                        "{{command}}",
                    ),
                    unit="s",
                ),
            ],
        ),
        Row(
            "Keys",
            [
                table(
                    "Key groups",
                    "Keys by the first two segments of their names, as SCAN gives them (option valkey.key_groups).",
                    ["server", "group"],
                    [
                        (Column("keys", decimals=0), Line(_at(keys.GROUP_KEYS).sum("server", "group"))),
                        (
                            Column("with a time to live", unit="percentunit", bar=True),
                            Line(_at(keys.GROUP_EXPIRING).max("server", "group")),
                        ),
                        (Column("mean time to live", unit="s"), Line(_at(keys.GROUP_TTL).max("server", "group"))),
                    ],
                    sort="keys",
                    width=12,
                    height=9,
                ),
                graph(
                    "Keys, and those with a time to live",
                    "Keys by database (INFO dbN keys, expires), and members of the named collections (SCARD, LLEN).",
                    Line(_at(info.DB_KEYS).sum("db"), "{{db}} keys"),
                    Line(_at(info.DB_EXPIRING).sum("db"), "{{db}} with a time to live"),
                    Line(_at(keys.COLLECTION_SIZE).sum("key"), "{{key}}"),
                    unit="short",
                    width=12,
                    height=9,
                ),
                graph(
                    "Keys lost",
                    "Keys a second whose time was up, and that were thrown out for lack of memory "
                    "(INFO expired_keys, evicted_keys).",
                    _rate(info.EXPIRED, "expired"),
                    _rate(info.EVICTED, "evicted"),
                    unit="ops",
                    columns=[Column("evicted", colour=BAD)],
                ),
                graph(
                    "Time to live",
                    "Mean time to live of keys that have one (INFO dbN avg_ttl).",
                    Line(_at(info.DB_TTL).max("server", "db"), "{{server}} {{db}}"),
                    unit="s",
                ),
                graph(
                    "Stale and scanned",
                    "Share of keys with a time to live that are stale already, and keys that SCAN saw for the groups.",
                    _value(info.EXPIRED_STALE, "stale share"),
                    _value(keys.SCANNED, "scanned keys"),
                    _value(keys.COMPLETE, "scan complete"),
                    unit="short",
                ),
            ],
        ),
        Row(
            "Servers",
            [
                table(
                    "Servers",
                    "Engine, version and role of each server, since when it runs, and how its persistence fares.",
                    ["server"],
                    [
                        (Column("info", hidden=True), Line(_at(info.SERVER_INFO))),
                        (Column("role", states=_ROLES), Line(_role)),
                        (Column("running for", unit="s"), Line(_at(info.START).age())),
                        (Column("loading", states={"0": ("no", OK), "1": ("yes", WARN)}), Line(_at(info.LOADING))),
                        (Column("replicas"), Line(_at(info.CONNECTED_REPLICAS))),
                        (Column("link to master", states=YES_NO), Line(_at(info.MASTER_LINK_UP))),
                        (Column("append-only file", states=_OFF_ON), Line(_at(info.AOF_ENABLED))),
                        (Column("I/O threads", states=_OFF_ON), Line(_at(info.IO_THREADS))),
                        (Column("persistence", states=YES_NO), Line(_at(info.PERSISTENCE_OK).min("server"))),
                        (Column("last dump", unit="s"), Line(_at(info.RDB_LAST_SAVE).age())),
                    ],
                    labels={
                        "engine": "engine",
                        "version": "version",
                        "mode": "mode",
                        "maxmemory_policy": "policy",
                    },
                    width=24,
                    height=6,
                ),
                graph(
                    "Memory",
                    "Memory by what holds it (INFO used_memory and its parts); the limit where one is set.",
                    Line(_limit.sum(), "limit"),
                    *(
                        Line(_at(metric).sum(), legend)
                        for metric, legend in (
                            (info.MEMORY_USED, "used"),
                            (info.MEMORY_RSS, "resident"),
                            (info.MEMORY_PEAK, "peak"),
                            (info.MEMORY_DATASET, "data"),
                            (info.MEMORY_OVERHEAD, "overhead"),
                            (info.CLIENT_MEMORY, "clients"),
                            (info.REPLICA_MEMORY, "replicas"),
                            (info.BACKLOG_MEMORY, "replication backlog"),
                            (info.AOF_BUFFER, "append-only buffer"),
                            (info.MEMORY_SCRIPTS, "scripts"),
                        )
                    ),
                    unit="bytes",
                ),
                graph(
                    "Clients",
                    "Connections by what they do (INFO clients), and the limit.",
                    *(
                        Line(_at(metric).sum(), legend)
                        for metric, legend in (
                            (info.CONNECTED_CLIENTS, "connected"),
                            (info.BLOCKED_CLIENTS, "blocked"),
                            (info.PUBSUB_CLIENTS, "pub/sub"),
                            (info.TRACKING_CLIENTS, "tracking"),
                            (info.WATCHING_CLIENTS, "watching"),
                        )
                    ),
                    unit="short",
                ),
                graph(
                    "CPU",
                    "CPU by mode (INFO used_cpu_*); 1 is one core.",
                    _rate(info.CPU_SECONDS, "{{mode}}", "mode"),
                    unit="percentunit",
                    stacked=True,
                ),
            ],
            collapsed=False,
        ),
        Row(
            "Errors and persistence",
            [
                graph(
                    "Refused",
                    "What the server refused or failed, a second: connections over the limit, commands, ACL denials.",
                    _rate(info.REJECTED, "connections over the limit"),
                    _rate(info.EVICTED_CLIENTS, "clients thrown out"),
                    _rate(info.COMMAND_REJECTED, "rejected {{command}}", "command"),
                    _rate(info.COMMAND_FAILED, "failed {{command}}", "command"),
                    _rate(info.DENIED_AUTH, "wrong password"),
                    _rate(info.DENIED_COMMAND, "command denied"),
                    _rate(info.DENIED_KEY, "key denied"),
                    _rate(info.DENIED_CHANNEL, "channel denied"),
                    unit="ops",
                ),
                graph(
                    "Error replies",
                    "Error replies a second by their first word (INFO errorstat_*), and those that should never be.",
                    _rate(info.ERRORS, "{{error}}", "error"),
                    _rate(info.ERROR_REPLIES, "all"),
                    _rate(info.UNEXPECTED_ERRORS, "unexpected"),
                    unit="ops",
                ),
                graph(
                    "Slow and large",
                    "Entries of the slow log and of the log of large replies (SLOWLOG LEN, COMMANDLOG LEN).",
                    Line(_at(valkey.SLOWLOG).sum("server"), "{{server}} slow"),
                    Line(_at(valkey.LARGE_REPLIES).sum("server"), "{{server}} large"),
                    unit="short",
                ),
                graph(
                    "Persistence",
                    "Changes not yet saved, time of the last dump and of the last fork (INFO persistence).",
                    _value(info.RDB_CHANGES, "changes since the last dump"),
                    _value(info.RDB_DURATION, "time of the last dump"),
                    _value(info.FORK, "time of the last fork"),
                    unit="short",
                    width=12,
                ),
                graph(
                    "Network",
                    "Bytes a second from and to clients (INFO total_net_input_bytes, total_net_output_bytes).",
                    _rate(info.NET_IN, "in"),
                    _rate(info.NET_OUT, "out"),
                    unit="Bps",
                    width=12,
                ),
            ],
            collapsed=True,
        ),
    ],
)
