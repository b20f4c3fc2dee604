"""ValKey: does the cache answer, does it keep what it should keep, and who asks it for what?"""

from __future__ import annotations

from alerts import thresholds
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, OK, QUIET, WARN, ApiLink, Column, Limit
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, stat, table
from dashboards.grafana.queries import RATE, Line, shown
from dashboards.rows import valkey_servers
from dashboards.rows.common import alert_marks, source_health
from dashboards.rows.valkey_servers import LIMIT, USED, at, rate
from exporter import scrape
from exporter.sources.valkey import info, keys

_hits = at(info.HITS).increase("15m").sum("server")
_lookups = _hits + at(info.MISSES).increase("15m").sum("server")

DASHBOARD = Dashboard(
    view=View.VALKEY,
    title="ValKey",
    description="Whether the cache answers, keeps what it should keep, and who asks it for what.",
    variables=[
        variables.of(
            "server", "server", "Server", "ValKey servers, those that are down too.", shown(scrape.UP, source="valkey")
        ),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("valkey")],
    rows=[
        Row(
            "",
            [
                *source_health("valkey", "ValKey", width=3),
                stat(
                    "Keys",
                    "Keys of all databases (INFO dbN keys).",
                    Line(at(info.DB_KEYS).sum()),
                    width=3,
                    sparkline=True,
                    decimals=0,
                ),
                stat(
                    "Memory",
                    "Memory the allocator holds (INFO used_memory).",
                    Line(at(info.MEMORY_USED).sum()),
                    unit="bytes",
                    width=3,
                    sparkline=True,
                ),
                stat(
                    "Share of the limit",
                    "Memory over maxmemory; no data where no limit is set, which a cache of permanent data wants.",
                    Line((USED / LIMIT).max()),
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
                    Line(at(info.EVICTED).increase("1h").sum()),
                    width=3,
                    limits=[Limit(1, BAD)],
                    decimals=0,
                ),
                stat(
                    "Clients",
                    "Client connections (INFO connected_clients).",
                    Line(at(info.CONNECTED_CLIENTS).sum()),
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
                    "Calls a second by command, the ten busiest, and all together (INFO cmdstat_* calls, "
                    "total_commands_processed).",
                    Line(
                        at(info.COMMAND_CALLS).rate(RATE).sum("command").highest(10),
                        "{{command}}",
                    ),
                    rate(info.COMMANDS, "all"),
                    unit="ops",
                    columns=[Column("all", colour=QUIET)],
                ),
                graph(
                    "Lookups",
                    "Lookups a second that found their key, and that did not (INFO keyspace_hits, keyspace_misses).",
                    rate(info.HITS, "hits"),
                    rate(info.MISSES, "misses"),
                    unit="ops",
                    stacked=True,
                    columns=[Column("hits", colour=OK), Column("misses", colour=WARN)],
                ),
                graph(
                    "Time in a command",
                    "Mean time of a call by command (INFO cmdstat_* usec over calls).",
                    Line(
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
                    "Keys by the first two segments of their names, as SCAN gives them (option valkey.key_groups); the "
                    "link lists them with their times to live.",
                    ["server", "group"],
                    [
                        (Column("keys", decimals=0), Line(at(keys.GROUP_KEYS).sum("server", "group"))),
                        (
                            Column("with a time to live", unit="percentunit", bar=True),
                            Line(at(keys.GROUP_EXPIRING).max("server", "group")),
                        ),
                        (Column("mean time to live", unit="s"), Line(at(keys.GROUP_TTL).max("server", "group"))),
                    ],
                    key_columns=[Column("group", links=[ApiLink("Keys now", path="/api/cache/keys")])],
                    sort="keys",
                    width=12,
                    height=9,
                ),
                graph(
                    "Keys, and those with a time to live",
                    "Keys by database (INFO dbN keys, expires), and members of the named collections (SCARD, LLEN).",
                    Line(at(info.DB_KEYS).sum("db"), "{{db}} keys"),
                    Line(at(info.DB_EXPIRING).sum("db"), "{{db}} with a time to live"),
                    Line(at(keys.COLLECTION_SIZE).sum("key"), "{{key}}"),
                    unit="short",
                    width=12,
                    height=9,
                ),
                graph(
                    "Keys lost",
                    "Keys a second whose time was up, and that were thrown out for lack of memory "
                    "(INFO expired_keys, evicted_keys).",
                    rate(info.EXPIRED, "expired"),
                    rate(info.EVICTED, "evicted"),
                    unit="ops",
                    columns=[Column("evicted", colour=BAD)],
                    width=12,
                ),
                graph(
                    "Time to live",
                    "Mean time to live of keys that have one (INFO dbN avg_ttl).",
                    Line(at(info.DB_TTL).max("server", "db"), "{{server}} {{db}}"),
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
