"""Dashboard "ValKey": availability, keys, memory and commands of the cache."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, OK, QUIET, WARN, ApiLink, FieldOverride, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, stat, table
from dashboards.grafana.queries import RATE, PrometheusTarget, selector
from dashboards.rows import valkey_servers
from dashboards.rows.common import alert_marks, source_health
from dashboards.rows.valkey_servers import LIMIT, USED, at, rate
from exporter.scrape import state as scrape
from exporter.sources.valkey import info, keys

_hits = at(info.HITS).increase("15m").sum("server")
_lookups = _hits + at(info.MISSES).increase("15m").sum("server")

DASHBOARD = Dashboard(
    view=DashboardUid.VALKEY,
    title="ValKey",
    description="Does the cache respond, does it retain its keys, and which commands does it serve?",
    variables=[
        variables.of(
            "server",
            "server",
            "Server",
            "ValKey servers, including those that are down.",
            selector(scrape.UP, source="valkey"),
        ),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("valkey")],
    rows=[
        Row(
            "",
            [
                *source_health("valkey", "ValKey", width=4),
                stat(
                    "Keys",
                    "Keys in all databases (INFO dbN keys).",
                    PrometheusTarget(at(info.DB_KEYS).sum()),
                    width=4,
                    decimals=0,
                ),
                stat(
                    "Memory limit used",
                    "Used memory divided by maxmemory; no data without maxmemory, the usual setting for permanent data.",
                    PrometheusTarget((USED / LIMIT).max()),
                    unit="percentunit",
                    width=4,
                    limits=[Threshold(thresholds.VALKEY_MEMORY_RATIO, BAD)],
                ),
                stat(
                    "Hit ratio",
                    "Share of key lookups in the last 15 minutes that found the key; no data without lookups.",
                    PrometheusTarget((_hits / (_lookups > 0)).min()),
                    unit="percentunit",
                    width=4,
                ),
                stat(
                    "Evicted keys",
                    "Keys evicted in the last hour (INFO evicted_keys). Permanent data must never be evicted.",
                    PrometheusTarget(at(info.EVICTED).increase("1h").sum()),
                    width=4,
                    limits=[Threshold(1, BAD)],
                    decimals=0,
                ),
            ],
        ),
        Row(
            "Usage",
            [
                graph(
                    "Commands",
                    "Calls per second of the ten busiest commands, and of all commands (INFO cmdstat_* calls, "
                    "total_commands_processed).",
                    PrometheusTarget(
                        at(info.COMMAND_CALLS).rate(RATE).sum("command").highest(10),
                        "{{command}}",
                    ),
                    rate(info.COMMANDS, "all"),
                    unit="ops",
                    columns=[FieldOverride("all", color=QUIET)],
                ),
                graph(
                    "Lookups",
                    "Lookups per second that found the key (hits) and did not (misses) (INFO keyspace_hits, "
                    "keyspace_misses).",
                    rate(info.HITS, "hits"),
                    rate(info.MISSES, "misses"),
                    unit="ops",
                    stacked=True,
                    columns=[FieldOverride("hits", color=OK), FieldOverride("misses", color=WARN)],
                ),
                graph(
                    "Command duration",
                    "Mean duration of a call by command (INFO cmdstat_* usec / calls).",
                    PrometheusTarget(
                        at(info.COMMAND_SECONDS).rate(RATE).sum("command")
                        / (at(info.COMMAND_CALLS).rate(RATE).sum("command") > 0),
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
                    "Keys by the first two segments of their names, from SCAN (option valkey.key_groups). The link lists "
                    "the keys and their TTLs.",
                    ["server", "group"],
                    [
                        (FieldOverride("keys", decimals=0), PrometheusTarget(at(keys.GROUP_KEYS).sum("server", "group"))),
                        (
                            FieldOverride("with TTL", unit="percentunit", bar=True),
                            PrometheusTarget(at(keys.GROUP_EXPIRING).max("server", "group")),
                        ),
                        (FieldOverride("mean TTL", unit="s"), PrometheusTarget(at(keys.GROUP_TTL).max("server", "group"))),
                    ],
                    key_columns=[FieldOverride("group", links=[ApiLink("Current keys", path="/api/cache/keys")])],
                    sort="keys",
                    width=12,
                    height=9,
                ),
                graph(
                    "Keys and keys with TTL",
                    "Keys by database (INFO dbN keys, expires), and members of the configured collections (SCARD, LLEN).",
                    PrometheusTarget(at(info.DB_KEYS).sum("db"), "{{db}} keys"),
                    PrometheusTarget(at(info.DB_EXPIRING).sum("db"), "{{db}} with TTL"),
                    PrometheusTarget(at(keys.COLLECTION_SIZE).sum("key"), "{{key}}"),
                    unit="locale",
                    width=12,
                    height=9,
                ),
                graph(
                    "Expired and evicted keys",
                    "Keys per second that expired, and that were evicted to free memory (INFO expired_keys, evicted_keys).",
                    rate(info.EXPIRED, "expired"),
                    rate(info.EVICTED, "evicted"),
                    unit="ops",
                    columns=[FieldOverride("evicted", color=BAD)],
                    width=12,
                ),
                graph(
                    "Mean TTL",
                    "Mean TTL of keys with a TTL (INFO dbN avg_ttl).",
                    PrometheusTarget(at(info.DB_TTL).max("server", "db"), "{{server}} {{db}}"),
                    unit="s",
                    width=12,
                ),
            ],
        ),
        valkey_servers.SERVERS,
        valkey_servers.ERRORS,
        valkey_servers.PERSISTENCE,
    ],
)
