"""Rows about ValKey's servers: what each is, what it refuses, how it saves and how it copies itself to others."""

from __future__ import annotations

from typing import Final

from alerts.view import View
from dashboards.grafana.fields import ACCENT, OK, QUIET, WARN, YES_NO, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, Line, chosen, shown
from dashboards.rows.common import coded, worded
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Series
from exporter.sources import valkey
from exporter.sources.valkey import info, keys

_ROLES = {"master": ("master", OK), "replica": ("replica", QUIET)}
_REPLICA = ("server", "replica")
_SAVING = {"0": ("no", QUIET), "1": ("yes", ACCENT), "2": ("dump and rewrite", ACCENT)}
_OFF_ON = {"0": ("off", QUIET), "1": ("on", OK)}


def at(metric: Metric, **matchers: str | Matcher) -> Series:
    """A metric of the servers that are chosen."""
    return shown(metric, server=chosen("server"), **matchers)


def rate(metric: Metric, legend: str, *labels: str) -> Line:
    """How often a second, over all servers that are chosen."""
    return Line(at(metric).rate(RATE).sum(*labels), legend)


def _often(metric: Metric, legend: str, *labels: str) -> Line:
    return Line(at(metric).increase(RATE).sum(*labels), legend)


def _each(metric: Metric) -> Line:
    return Line(at(metric).max("server"))


LIMIT: Final = at(info.MEMORY_MAX).max("server") > 0
"""The most memory a server may use; nothing where no limit is set."""
USED: Final = at(info.MEMORY_USED).max("server")
_role = coded(info.ROLE, tuple(_ROLES), "server", label="role", server=chosen("server"))
_saving = at(info.RDB_RUNNING).max("server") + at(info.AOF_REWRITING).max("server")
_behind = at(info.REPLICATION_OFFSET).max("server")
_why = [Link("Why", View.EXPORTER, {"server": "server"})]

SERVERS: Final = Row(
    "Servers",
    [
        table(
            "Servers",
            "Engine, version and role of each server, since when it runs, and how its persistence fares.",
            ["server"],
            [
                (
                    Column("info", hidden=True),
                    Line(at(info.SERVER_INFO).max("server", "engine", "version", "mode", "maxmemory_policy")),
                ),
                (Column("role", states=worded(_ROLES)), Line(_role)),
                (Column("running for", unit="s"), Line(at(info.START).age().max("server"))),
                (Column("loading", states={"0": ("no", OK), "1": ("yes", WARN)}), _each(info.LOADING)),
                (
                    Column("clients of the most", unit="percentunit", bar=True, limits=[Limit(0.8, WARN)]),
                    Line(at(info.CONNECTED_CLIENTS).max("server") / (at(info.MAX_CLIENTS).max("server") > 0)),
                ),
                (Column("fragmentation", decimals=2), _each(info.FRAGMENTATION)),
                (Column("stale keys", unit="percentunit"), _each(info.EXPIRED_STALE)),
                (Column("replicas", decimals=0), _each(info.CONNECTED_REPLICAS)),
                (Column("link to master", states=YES_NO), Line(at(info.MASTER_LINK_UP).min("server"))),
                (Column("master heard", unit="s"), _each(info.MASTER_LAST_IO)),
                (Column("I/O threads", states=_OFF_ON), _each(info.IO_THREADS)),
                (Column("append-only file", states=_OFF_ON), _each(info.AOF_ENABLED)),
                (Column("its size", unit="bytes"), _each(info.AOF_SIZE)),
                (Column("last save", states=YES_NO), Line(at(info.PERSISTENCE_OK).min("server"))),
                (
                    Column("saving", states={"0": ("no", QUIET), "1": ("yes", ACCENT), "2": ("dump and rewrite", ACCENT)}),
                    Line(_saving.max("server")),
                ),
                (Column("last dump", unit="s"), Line(at(info.RDB_LAST_SAVE).age().max("server"))),
                (Column("changes since", decimals=0), _each(info.RDB_CHANGES)),
                (Column("keys scanned", decimals=0), _each(keys.SCANNED)),
                (Column("scan complete", states=YES_NO), _each(keys.COMPLETE)),
            ],
            labels={
                "engine": "engine",
                "version": "version",
                "mode": "mode",
                "maxmemory_policy": "policy",
            },
            key_columns=[Column("server", links=_why)],
            width=24,
            height=6,
        ),
        graph(
            "Memory",
            "Memory by what holds it (INFO used_memory and its parts); the limit where one is set.",
            Line(LIMIT.sum(), "limit"),
            *(
                Line(at(metric).sum(), legend)
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
                Line(at(metric).sum(), legend)
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
            rate(info.CPU_SECONDS, "{{mode}}", "mode"),
            unit="percentunit",
            stacked=True,
        ),
    ],
)

ERRORS: Final = Row(
    "Errors",
    [
        graph(
            "Refused and failed",
            "What the server refused or failed, a second: connections over the limit, commands, ACL denials, and error "
            "replies by their first word (INFO rejected_connections, cmdstat_*, acl_access_denied_*, errorstat_*).",
            rate(info.REJECTED, "connections over the limit"),
            rate(info.EVICTED_CLIENTS, "clients thrown out"),
            rate(info.COMMAND_REJECTED, "rejected {{command}}", "command"),
            rate(info.COMMAND_FAILED, "failed {{command}}", "command"),
            rate(info.DENIED_AUTH, "wrong password"),
            rate(info.DENIED_COMMAND, "command denied"),
            rate(info.DENIED_KEY, "key denied"),
            rate(info.DENIED_CHANNEL, "channel denied"),
            rate(info.ERRORS, "reply {{error}}", "error"),
            rate(info.ERROR_REPLIES, "error replies, all"),
            rate(info.UNEXPECTED_ERRORS, "errors that should never be"),
            unit="ops",
            width=12,
        ),
        graph(
            "Slow and large",
            "Entries of the slow log and of the log of large replies, and writes that waited for fsync "
            "(SLOWLOG LEN, COMMANDLOG LEN, INFO aof_delayed_fsync).",
            Line(at(valkey.SLOWLOG).sum("server"), "{{server}} slow"),
            Line(at(valkey.LARGE_REPLIES).sum("server"), "{{server}} large"),
            _often(info.AOF_DELAYED, "waited for fsync"),
            unit="short",
            width=12,
        ),
    ],
    collapsed=True,
)

PERSISTENCE: Final = Row(
    "Persistence, network, replicas",
    [
        graph(
            "Time to save",
            "Time that the last dump, the last rewrite of the append-only file, and the last fork took; clients "
            "wait during a fork (INFO rdb_last_bgsave_time_sec, aof_last_rewrite_time_sec, latest_fork_usec).",
            Line(at(info.RDB_DURATION).max("server"), "{{server}} dump"),
            Line(at(info.AOF_REWRITE_DURATION).max("server"), "{{server}} rewrite"),
            Line(at(info.FORK).max("server"), "{{server}} fork"),
            unit="s",
            width=12,
        ),
        graph(
            "Network",
            "Bytes a second from and to clients (INFO total_net_input_bytes, total_net_output_bytes).",
            rate(info.NET_IN, "in"),
            rate(info.NET_OUT, "out"),
            unit="Bps",
            width=12,
        ),
        table(
            "Replicas",
            "Each replica that is connected: when it last acknowledged, and by how many bytes it is behind (INFO "
            "slaveN lag, offset); no data where there is none.",
            _REPLICA,
            [
                (Column("last heard", unit="s"), Line(at(info.REPLICA_LAG).max(*_REPLICA))),
                (
                    Column("behind", unit="bytes"),
                    Line((at(info.REPLICA_ACKED).max(*_REPLICA)).matching("-", _behind, "server") * -1),
                ),
            ],
            key_columns=[Column("server", links=_why)],
            width=12,
            height=8,
        ),
        graph(
            "Replication",
            "How often a replica was sent everything, or only what it missed, or was refused that (INFO sync_*).",
            _often(info.RESYNCS_FULL, "sent everything"),
            _often(info.RESYNCS_PARTIAL, "sent what was missed"),
            _often(info.RESYNCS_DENIED, "refused what was missed"),
            unit="short",
            width=12,
        ),
    ],
    collapsed=True,
)
