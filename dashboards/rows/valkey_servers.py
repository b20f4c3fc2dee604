"""Rows about ValKey servers: state, memory, errors, persistence and replication."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import ACCENT, OK, QUIET, WARN, YES_NO, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, STEP, PrometheusTarget, selector, variable
from dashboards.rows.common import coded, worded
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Series
from exporter.sources import valkey
from exporter.sources.valkey import info, keys

_ROLES = {"master": ("master", OK), "replica": ("replica", QUIET)}
_REPLICA = ("server", "replica")
_LABELS = {"engine": "engine", "mode": "mode", "maxmemory_policy": "policy"}
_SAVING = {"0": ("no", QUIET), "1": ("yes", ACCENT), "2": ("dump and rewrite", ACCENT)}
_OFF_ON = {"0": ("off", QUIET), "1": ("on", OK)}


def at(metric: Metric, **matchers: str | Matcher) -> Series:
    """Series of the selected servers."""
    return selector(metric, server=variable("server"), **matchers)


def rate(metric: Metric, legend: str, *labels: str) -> PrometheusTarget:
    """Rate per second over all selected servers."""
    return PrometheusTarget(at(metric).rate(RATE).sum(*labels), legend)


def _often(metric: Metric, legend: str, *labels: str) -> PrometheusTarget:
    return PrometheusTarget(at(metric).increase(STEP).sum(*labels), legend)


def _each(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(at(metric).max("server"))


LIMIT: Final = at(info.MEMORY_MAX).max("server") > 0
"""The memory limit of a server; no data without maxmemory."""
USED: Final = at(info.MEMORY_USED).max("server")
_role = coded(info.ROLE, tuple(_ROLES), "server", label="role", server=variable("server"))
_saving = at(info.RDB_RUNNING).max("server") + at(info.AOF_REWRITING).max("server")
_behind = at(info.REPLICATION_OFFSET).max("server")
_why = [Link("Exporter", DashboardUid.EXPORTER, {"server": "server"})]

SERVERS: Final = Row(
    "Servers",
    [
        table(
            "Servers",
            "Version, role, uptime, connections and replication of each server, and whether its last save succeeded.",
            ["server"],
            [
                (FieldOverride("info", hidden=True), PrometheusTarget(at(info.SERVER_INFO).max("server", "version"))),
                (FieldOverride("role", states=worded(_ROLES)), PrometheusTarget(_role)),
                (FieldOverride("uptime", unit="s"), PrometheusTarget(at(info.START).age().max("server"))),
                (FieldOverride("loading", states={"0": ("no", OK), "1": ("yes", WARN)}), _each(info.LOADING)),
                (
                    FieldOverride("clients used", unit="percentunit", bar=True, limits=[Threshold(0.8, WARN)]),
                    PrometheusTarget(at(info.CONNECTED_CLIENTS).max("server") / (at(info.MAX_CLIENTS).max("server") > 0)),
                ),
                (FieldOverride("replicas", decimals=0), _each(info.CONNECTED_REPLICAS)),
                (FieldOverride("master link", states=YES_NO), PrometheusTarget(at(info.MASTER_LINK_UP).min("server"))),
                (FieldOverride("last save", states=YES_NO), PrometheusTarget(at(info.PERSISTENCE_OK).min("server"))),
            ],
            labels={"version": "version"},
            key_columns=[FieldOverride("server", links=_why)],
            sort="clients used",
            width=24,
            height=6,
        ),
        graph(
            "Memory",
            "Memory by use (INFO used_memory and its parts), and the limit if one is set.",
            PrometheusTarget(LIMIT.sum(), "limit"),
            *(
                PrometheusTarget(at(metric).sum(), legend)
                for metric, legend in (
                    (info.MEMORY_USED, "used"),
                    (info.MEMORY_RSS, "resident"),
                    (info.MEMORY_PEAK, "peak"),
                    (info.MEMORY_DATASET, "data"),
                    (info.MEMORY_OVERHEAD, "overhead"),
                    (info.CLIENT_MEMORY, "clients"),
                    (info.REPLICA_MEMORY, "replicas"),
                    (info.BACKLOG_MEMORY, "replication backlog"),
                    (info.AOF_BUFFER, "AOF buffer"),
                    (info.MEMORY_SCRIPTS, "scripts"),
                )
            ),
            unit="bytes",
        ),
        graph(
            "Clients",
            "Connections by type (INFO clients), and maxclients.",
            *(
                PrometheusTarget(at(metric).sum(), legend)
                for metric, legend in (
                    (info.CONNECTED_CLIENTS, "connected"),
                    (info.BLOCKED_CLIENTS, "blocked"),
                    (info.PUBSUB_CLIENTS, "pub/sub"),
                    (info.TRACKING_CLIENTS, "tracking"),
                    (info.WATCHING_CLIENTS, "watching"),
                )
            ),
            unit="locale",
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
            "Rejected and failed commands",
            "Per second: connections over the limit, clients over a buffer limit, rejected and failed commands, ACL "
            "denials, and error replies by prefix (INFO rejected_connections, cmdstat_*, acl_access_denied_*, errorstat_*).",
            rate(info.REJECTED, "connections over limit"),
            rate(info.EVICTED_CLIENTS, "evicted clients"),
            rate(info.OUTPUT_DISCONNECTIONS, "output buffer limit"),
            rate(info.COMMAND_REJECTED, "rejected {{command}}", "command"),
            rate(info.COMMAND_FAILED, "failed {{command}}", "command"),
            rate(info.DENIED_AUTH, "wrong password"),
            rate(info.DENIED_COMMAND, "command denied"),
            rate(info.DENIED_KEY, "key denied"),
            rate(info.DENIED_CHANNEL, "channel denied"),
            rate(info.ERRORS, "reply {{error}}", "error"),
            rate(info.ERROR_REPLIES, "all error replies"),
            rate(info.UNEXPECTED_ERRORS, "unexpected errors"),
            unit="ops",
            width=12,
        ),
        graph(
            "Slow and large commands",
            "Entries in the slow log and the large-reply log, and writes delayed by fsync (SLOWLOG LEN, COMMANDLOG LEN, "
            "INFO aof_delayed_fsync).",
            PrometheusTarget(at(valkey.SLOWLOG).sum("server"), "{{server}} slow"),
            PrometheusTarget(at(valkey.LARGE_REPLIES).sum("server"), "{{server}} large"),
            _often(info.AOF_DELAYED, "delayed by fsync"),
            unit="locale",
            width=12,
        ),
    ],
    collapsed=True,
)

PERSISTENCE: Final = Row(
    "Persistence, network, replicas",
    [
        table(
            "Server configuration",
            "Engine, mode, eviction policy, AOF and fragmentation of each server.",
            ["server"],
            [
                (FieldOverride("info", hidden=True), PrometheusTarget(at(info.SERVER_INFO).max("server", *_LABELS))),
                (FieldOverride("I/O threads", states=_OFF_ON), _each(info.IO_THREADS)),
                (FieldOverride("AOF", states=_OFF_ON), _each(info.AOF_ENABLED)),
                (FieldOverride("AOF size", unit="bytes"), _each(info.AOF_SIZE)),
                (FieldOverride("fragmentation", decimals=2), _each(info.FRAGMENTATION)),
                (FieldOverride("stale keys", unit="percentunit"), _each(info.EXPIRED_STALE)),
            ],
            labels=_LABELS,
            key_columns=[FieldOverride("server", links=_why)],
            sort="server",
            descending=False,
            width=24,
            height=6,
        ),
        table(
            "Saves and scans",
            "Saves, the link to the master, and the exporter's last scan of the keys of each server.",
            ["server"],
            [
                (FieldOverride("saving", states=_SAVING), PrometheusTarget(_saving.max("server"))),
                (FieldOverride("last dump", unit="s"), PrometheusTarget(at(info.RDB_LAST_SAVE).age().max("server"))),
                (FieldOverride("unsaved changes", decimals=0), _each(info.RDB_CHANGES)),
                (FieldOverride("last master contact", unit="s"), _each(info.MASTER_LAST_IO)),
                (FieldOverride("keys scanned", decimals=0), _each(keys.SCANNED)),
                (FieldOverride("scan complete", states=YES_NO), _each(keys.COMPLETE)),
            ],
            key_columns=[FieldOverride("server", links=_why)],
            sort="unsaved changes",
            width=24,
            height=6,
        ),
        graph(
            "Persistence duration",
            "Duration of the last RDB save, AOF rewrite and fork. Clients wait during a fork (INFO "
            "rdb_last_bgsave_time_sec, aof_last_rewrite_time_sec, latest_fork_usec).",
            PrometheusTarget(at(info.RDB_DURATION).max("server"), "{{server}} dump"),
            PrometheusTarget(at(info.AOF_REWRITE_DURATION).max("server"), "{{server}} rewrite"),
            PrometheusTarget(at(info.FORK).max("server"), "{{server}} fork"),
            unit="s",
            width=12,
        ),
        graph(
            "Network",
            "Bytes per second from and to clients (INFO total_net_input_bytes, total_net_output_bytes).",
            rate(info.NET_IN, "in"),
            rate(info.NET_OUT, "out"),
            unit="Bps",
            width=12,
        ),
        table(
            "Replicas",
            "Connected replicas: time since the last ack, and replication lag in bytes (INFO slaveN lag, offset); no data "
            "without replicas.",
            _REPLICA,
            [
                (FieldOverride("last ack", unit="s"), PrometheusTarget(at(info.REPLICA_LAG).max(*_REPLICA))),
                (
                    FieldOverride("lag", unit="bytes"),
                    PrometheusTarget((at(info.REPLICA_ACKED).max(*_REPLICA)).matching("-", _behind, "server") * -1),
                ),
            ],
            key_columns=[FieldOverride("server", links=_why)],
            sort="lag",
            width=12,
            height=8,
        ),
        graph(
            "Replication",
            "Full resyncs, partial resyncs, and rejected partial resyncs (INFO sync_*).",
            _often(info.RESYNCS_FULL, "full"),
            _often(info.RESYNCS_PARTIAL, "partial"),
            _often(info.RESYNCS_DENIED, "partial, rejected"),
            unit="locale",
            width=12,
        ),
    ],
    collapsed=True,
)
