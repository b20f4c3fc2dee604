"""INFO → samples: pure. Every field is found by its name; what is unknown, absent or no number gives no sample.

Durations and fractions are brought to base units; a counter that INFO gives as a running total stays one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from exporter.metrics.metric import Kind, Labels, Metric, Sample, Unit, counter, gauge, info, labels, state_set
from exporter.sources.valkey.fields import parts_of, value_of

SERVER: Final = "server"

FIELDS: Final[dict[str, tuple[Metric, float]]] = {}
"""INFO field → the metric it becomes, and what one of its units is in the metric's."""

Text = Mapping[str, str]


def _field(
    field: str, name: str, meaning: str, *, unit: Unit = Unit.NONE, kind: Kind = Kind.GAUGE, scale: float = 1
) -> Metric:
    metric = Metric(f"valkey_{name}", f"{meaning} (INFO {field}).", kind, unit, (SERVER,))
    FIELDS[field] = (metric, scale)
    return metric


def _total(field: str, name: str, meaning: str, *, unit: Unit = Unit.NONE, scale: float = 1) -> Metric:
    return _field(field, name, meaning, unit=unit, kind=Kind.COUNTER, scale=scale)


def _bytes(field: str, name: str, meaning: str) -> Metric:
    return _field(field, name, meaning, unit=Unit.BYTES)


SERVER_INFO = info(
    "valkey_server_info",
    "Engine, version and settings of the server (INFO server_name, valkey_version or redis_version, and others).",
    SERVER, "engine", "version", "mode", "os", "maxmemory_policy", "run_id",
)  # fmt: skip
ROLE = state_set("valkey_role", "Replication role (INFO role).", SERVER, states=("master", "replica"), state_label="role")
START = gauge(
    "valkey_start_timestamp_seconds", "Start time of the server (INFO server_time_usec minus uptime_in_seconds).", SERVER,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
IO_THREADS = _field("io_threads_active", "io_threads_active", "Whether I/O threads are active")

CONNECTED_CLIENTS = _field("connected_clients", "connected_clients", "Client connections, excluding replicas")
MAX_CLIENTS = _field("maxclients", "max_clients", "Max client connections")
BLOCKED_CLIENTS = _field("blocked_clients", "blocked_clients", "Clients waiting in a blocking command")
TRACKING_CLIENTS = _field("tracking_clients", "tracking_clients", "Clients using client-side caching")
PUBSUB_CLIENTS = _field("pubsub_clients", "pubsub_clients", "Clients in pub/sub mode")
WATCHING_CLIENTS = _field("watching_clients", "watching_clients", "Clients watching keys")
INPUT_BUFFER = _bytes("client_recent_max_input_buffer", "client_max_input_buffer_bytes", "Largest recent input buffer")
OUTPUT_BUFFER = _bytes("client_recent_max_output_buffer", "client_max_output_buffer_bytes", "Largest recent output buffer")

MEMORY_USED = _bytes("used_memory", "memory_used_bytes", "Memory allocated")
MEMORY_RSS = _bytes("used_memory_rss", "memory_resident_bytes", "Resident memory")
MEMORY_PEAK = _bytes("used_memory_peak", "memory_peak_bytes", "Highest memory use since the start")
MEMORY_OVERHEAD = _bytes("used_memory_overhead", "memory_overhead_bytes", "Memory not holding data")
MEMORY_STARTUP = _bytes("used_memory_startup", "memory_startup_bytes", "Memory used before any data")
MEMORY_DATASET = _bytes("used_memory_dataset", "memory_dataset_bytes", "Memory holding data")
MEMORY_SCRIPTS = _bytes("used_memory_scripts", "memory_scripts_bytes", "Memory of scripts and functions")
MEMORY_MAX = _bytes("maxmemory", "memory_max_bytes", "Memory limit, 0 if unlimited")
MEMORY_SYSTEM = _bytes("total_system_memory", "memory_system_bytes", "Memory of the host")
FRAGMENTATION = _field(
    "mem_fragmentation_ratio", "memory_fragmentation_ratio", "Ratio of resident to used memory", unit=Unit.RATIO
)
ALLOCATOR_FRAGMENTATION = _field(
    "allocator_frag_ratio", "memory_allocator_fragmentation_ratio", "Fragmentation within the allocator", unit=Unit.RATIO
)
BACKLOG_MEMORY = _bytes("mem_replication_backlog", "memory_replication_backlog_bytes", "Memory of the replication backlog")
AOF_BUFFER = _bytes("mem_aof_buffer", "memory_aof_buffer_bytes", "Memory of the append-only file's buffer")
CLIENT_MEMORY = _bytes("mem_clients_normal", "memory_clients_bytes", "Memory of ordinary clients")
REPLICA_MEMORY = _bytes("mem_clients_slaves", "memory_replica_clients_bytes", "Memory of replicas' connections")
DEFRAG_RUNNING = _field(
    "active_defrag_running",
    "active_defrag_running",
    "CPU percentage that active defragmentation uses, 0 if it is not running",
)
LAZYFREE_PENDING = _field("lazyfree_pending_objects", "lazyfree_pending_objects", "Objects waiting to be freed")

LOADING = _field("loading", "loading", "Whether an RDB or AOF file is being loaded")
RDB_CHANGES = _field("rdb_changes_since_last_save", "rdb_changes_since_last_save", "Changes since the last RDB save")
RDB_RUNNING = _field("rdb_bgsave_in_progress", "rdb_save_in_progress", "Whether an RDB save is in progress")
RDB_LAST_SAVE = _field(
    "rdb_last_save_time",
    "rdb_last_save_timestamp_seconds",
    "Time of the last successful RDB save",
    unit=Unit.TIMESTAMP,
)
RDB_DURATION = _field(
    "rdb_last_bgsave_time_sec", "rdb_last_save_duration_seconds", "Duration of the last RDB save", unit=Unit.SECONDS
)
AOF_ENABLED = _field("aof_enabled", "aof_enabled", "Whether the append-only file is on")
AOF_REWRITING = _field(
    "aof_rewrite_in_progress", "aof_rewrite_in_progress", "Whether the append-only file is being rewritten"
)
AOF_REWRITE_DURATION = _field(
    "aof_last_rewrite_time_sec",
    "aof_last_rewrite_duration_seconds",
    "Duration of the last AOF rewrite",
    unit=Unit.SECONDS,
)
AOF_SIZE = _bytes("aof_current_size", "aof_size_bytes", "Size of the append-only file")
AOF_DELAYED = _total("aof_delayed_fsync", "aof_delayed_fsync_total", "Writes delayed by fsync")

CONNECTIONS = _total("total_connections_received", "connections_received_total", "Connections accepted")
REJECTED = _total("rejected_connections", "rejected_connections_total", "Connections rejected because of maxclients")
COMMANDS = _total("total_commands_processed", "commands_processed_total", "Commands processed")
NET_IN = _total("total_net_input_bytes", "network_input_bytes_total", "Bytes read from clients", unit=Unit.BYTES)
NET_OUT = _total("total_net_output_bytes", "network_output_bytes_total", "Bytes written to clients", unit=Unit.BYTES)
EXPIRED = _total("expired_keys", "expired_keys_total", "Expired keys")
EXPIRED_STALE = _field(
    "expired_stale_perc", "expired_stale_ratio", "Estimated share of keys with a time to live that have expired",
    unit=Unit.RATIO, scale=0.01,
)  # fmt: skip
EVICTED = _total("evicted_keys", "evicted_keys_total", "Keys evicted because of maxmemory")
EVICTED_CLIENTS = _total("evicted_clients", "evicted_clients_total", "Clients evicted because of maxmemory-clients")
OUTPUT_DISCONNECTIONS = _total(
    "client_output_buffer_limit_disconnections",
    "client_output_buffer_disconnections_total",
    "Clients disconnected because of their output buffer's limit",
)
HITS = _total("keyspace_hits", "keyspace_hits_total", "Lookups that found the key")
MISSES = _total("keyspace_misses", "keyspace_misses_total", "Lookups that did not find the key")
PUBSUB_CHANNELS = _field("pubsub_channels", "pubsub_channels", "Channels with a subscriber")
PUBSUB_PATTERNS = _field("pubsub_patterns", "pubsub_patterns", "Patterns with a subscriber")
FORK = _field(
    "latest_fork_usec",
    "latest_fork_duration_seconds",
    "Duration of the last fork",
    unit=Unit.SECONDS,
    scale=1e-6,
)
FORKS = _total("total_forks", "forks_total", "Forks of the server process")
ERROR_REPLIES = _total("total_error_replies", "error_replies_total", "Error replies")
UNEXPECTED_ERRORS = _total("unexpected_error_replies", "unexpected_error_replies_total", "Unexpected error replies")
DENIED_AUTH = _total("acl_access_denied_auth", "acl_denied_auth_total", "Failed authentications")
DENIED_COMMAND = _total("acl_access_denied_cmd", "acl_denied_command_total", "Commands denied by ACL")
DENIED_KEY = _total("acl_access_denied_key", "acl_denied_key_total", "Keys denied by ACL")
DENIED_CHANNEL = _total("acl_access_denied_channel", "acl_denied_channel_total", "Channels denied by ACL")
RESYNCS_FULL = _total("sync_full", "replica_full_resyncs_total", "Full resyncs with replicas")
RESYNCS_PARTIAL = _total("sync_partial_ok", "replica_partial_resyncs_total", "Partial resyncs accepted")
RESYNCS_DENIED = _total("sync_partial_err", "replica_partial_resyncs_denied_total", "Partial resyncs denied")

CONNECTED_REPLICAS = _field("connected_slaves", "connected_replicas", "Replicas connected")
REPLICATION_OFFSET = _field("master_repl_offset", "replication_offset", "Replication offset of the server")
REPLICA_OFFSET = _field("slave_repl_offset", "replica_offset", "Replication offset of this replica")
MASTER_SYNCING = _field(
    "master_sync_in_progress", "master_sync_in_progress", "Whether a full sync from the master is in progress"
)
MASTER_LAST_IO = _field(
    "master_last_io_seconds_ago",
    "master_last_io_age_seconds",
    "Time since the last interaction with the master",
    unit=Unit.SECONDS,
)

CPU = {
    "used_cpu_sys": "system",
    "used_cpu_user": "user",
    "used_cpu_sys_children": "system_children",
    "used_cpu_user_children": "user_children",
}
CPU_SECONDS = counter("valkey_cpu_seconds_total", "CPU time by mode (INFO used_cpu_*).", SERVER, "mode", unit=Unit.SECONDS)
STATUS = {
    "rdb_last_bgsave_status": "rdb_save",
    "aof_last_bgrewrite_status": "aof_rewrite",
    "aof_last_write_status": "aof_write",
}
PERSISTENCE_OK = gauge(
    "valkey_persistence_last_ok",
    "Whether the last RDB save, AOF rewrite or AOF write succeeded (INFO rdb_last_bgsave_status, aof_last_*_status).",
    SERVER, "operation",
)  # fmt: skip
MASTER_LINK_UP = gauge("valkey_master_link_up", "Whether the link to the master is up (INFO master_link_status).", SERVER)
REPLICA_LAG = gauge(
    "valkey_connected_replica_lag_seconds", "Time since the last ack of a replica (INFO slaveN lag).", SERVER, "replica",
    unit=Unit.SECONDS,
)  # fmt: skip
REPLICA_ACKED = gauge(
    "valkey_connected_replica_offset",
    "Replication offset acked by a replica (INFO slaveN offset).",
    SERVER,
    "replica",
)
COMMAND_CALLS = counter("valkey_command_calls_total", "Calls of a command (INFO cmdstat_* calls).", SERVER, "command")
COMMAND_SECONDS = counter(
    "valkey_command_duration_seconds_total", "Time spent in a command (INFO cmdstat_* usec).", SERVER, "command",
    unit=Unit.SECONDS,
)  # fmt: skip
COMMAND_REJECTED = counter(
    "valkey_command_rejected_calls_total",
    "Calls rejected before execution (INFO cmdstat_* rejected_calls).",
    SERVER,
    "command",
)
COMMAND_FAILED = counter(
    "valkey_command_failed_calls_total",
    "Calls that failed during execution (INFO cmdstat_* failed_calls).",
    SERVER,
    "command",
)
COMMAND_LATENCY = gauge(
    "valkey_command_latency_seconds",
    "Latency percentiles of a command since the start or CONFIG RESETSTAT (INFO latency_percentiles_usec_*).",
    SERVER, "command", "percentile", unit=Unit.SECONDS,
)  # fmt: skip
ERRORS = counter("valkey_errors_total", "Error replies by error prefix (INFO errorstat_* count).", SERVER, "error")
DB_KEYS = gauge("valkey_db_keys", "Keys in a database (INFO dbN keys).", SERVER, "db")
DB_EXPIRING = gauge("valkey_db_expiring_keys", "Keys with a time to live (INFO dbN expires).", SERVER, "db")
DB_TTL = gauge(
    "valkey_db_average_ttl_seconds", "Mean time to live of keys that have one (INFO dbN avg_ttl).", SERVER, "db",
    unit=Unit.SECONDS,
)  # fmt: skip

METRICS: Final = (
    SERVER_INFO, ROLE, START, *(metric for metric, _ in FIELDS.values()), CPU_SECONDS, PERSISTENCE_OK, MASTER_LINK_UP,
    REPLICA_LAG, REPLICA_ACKED, COMMAND_CALLS, COMMAND_SECONDS, COMMAND_REJECTED, COMMAND_FAILED, COMMAND_LATENCY, ERRORS,
    DB_KEYS, DB_EXPIRING, DB_TTL,
)  # fmt: skip

_LATENCY = "latency_percentiles_usec_"
_COMMAND_FIELDS = (
    ("calls", COMMAND_CALLS, 1.0),
    ("usec", COMMAND_SECONDS, 1e-6),
    ("rejected_calls", COMMAND_REJECTED, 1.0),
    ("failed_calls", COMMAND_FAILED, 1.0),
)
_DATABASE_FIELDS = (("keys", DB_KEYS, 1.0), ("expires", DB_EXPIRING, 1.0))
_REPLICA_FIELDS = (("lag", REPLICA_LAG, 1.0), ("offset", REPLICA_ACKED, 1.0))
_UNSET = {"rdb_last_bgsave_time_sec": -1, "aof_last_rewrite_time_sec": -1, "master_last_io_seconds_ago": -1}
"""Fields that say -1 for "has not happened"; no sample is truer than a duration of minus one second."""


def samples(fields: Text, server: str) -> Iterable[Sample]:
    """The samples of one INFO reply, as `parsed` gives it, for the server of that name."""
    who = labels(server=server)
    yield from _identity(fields, server, who)
    for field, (metric, scale) in FIELDS.items():
        value = value_of(fields.get(field))
        if value is not None and value != _UNSET.get(field):
            yield metric.at(who, value if scale == 1 else value * scale)
    for field, mode in CPU.items():
        if (value := value_of(fields.get(field))) is not None:
            yield CPU_SECONDS(value, server=server, mode=mode)
    for field, operation in STATUS.items():
        if field in fields:
            yield PERSISTENCE_OK(fields[field] == "ok", server=server, operation=operation)
    if "master_link_status" in fields:
        yield MASTER_LINK_UP.at(who, fields["master_link_status"] == "up")
    for field, text in fields.items():
        yield from _named(field, text, who)


def _identity(fields: Text, server: str, who: Labels) -> Iterable[Sample]:
    valkey = "valkey_version" in fields
    yield SERVER_INFO(
        1,
        server=server,
        engine=fields.get("server_name", "valkey" if valkey else "redis"),
        version=fields.get("valkey_version", fields.get("redis_version", "")),
        mode=fields.get("server_mode", fields.get("redis_mode", "")),
        os=fields.get("os", ""),
        maxmemory_policy=fields.get("maxmemory_policy", ""),
        run_id=fields.get("run_id", ""),
    )
    if "role" in fields:
        yield ROLE.state_at(who, {"slave": "replica"}.get(fields["role"], fields["role"]))
    now, uptime = value_of(fields.get("server_time_usec")), value_of(fields.get("uptime_in_seconds"))
    if now is not None and uptime is not None:
        yield START.at(who, now // 1_000_000 - uptime)


def _named(field: str, text: str, who: Labels) -> Iterable[Sample]:
    """Samples of the fields whose names carry a command, an error, a database or a replica."""
    if field.startswith("cmdstat_"):
        yield from _figures(parts_of(text), _COMMAND_FIELDS, who.with_label("command", field.removeprefix("cmdstat_")))
    elif field.startswith(_LATENCY):
        named = who.with_label("command", field.removeprefix(_LATENCY))
        for percentile, part in parts_of(text).items():
            if (value := value_of(part)) is not None:
                yield COMMAND_LATENCY.at(named.with_label("percentile", percentile), value / 1e6)
    elif field.startswith("errorstat_"):
        if (value := value_of(parts_of(text).get("count"))) is not None:
            yield ERRORS.at(who.with_label("error", field.removeprefix("errorstat_")), value)
    elif field.startswith("db") and field[2:].isdecimal():
        parts, named = parts_of(text), who.with_label("db", field[2:])
        yield from _figures(parts, _DATABASE_FIELDS, named)
        if ttl := value_of(parts.get("avg_ttl")):  # 0 means that no key has one
            yield DB_TTL.at(named, ttl / 1000)
    elif field.startswith("slave") and field[5:].isdecimal():
        parts = parts_of(text)
        named = who.with_label("replica", f"{parts.get('ip', '')}:{parts.get('port', '')}")
        yield from _figures(parts, _REPLICA_FIELDS, named)


def _figures(parts: Mapping[str, str], fields: Iterable[tuple[str, Metric, float]], who: Labels) -> Iterable[Sample]:
    """Samples of the parts that are present, each multiplied by its scale."""
    for part, metric, scale in fields:
        if (value := value_of(parts.get(part))) is not None:
            yield metric.at(who, value if scale == 1 else value * scale)
