"""Communications: who publishes what, where it is kept, who consumes it and how far behind, and who answers when called."""

from __future__ import annotations

from collections.abc import Sequence

from alerts import thresholds
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, OK, QUIET, WARN, ApiLink, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, Panel, bars, graph, node_graph, stat, table
from dashboards.grafana.queries import RANGE, RATE, Line, chosen, labelled, raw, shown
from dashboards.rows import consumers, topology
from dashboards.rows.common import STORY_MARKS, alert_marks, coded, source_health
from dashboards.rows.services import SERVICES
from exporter.events.streams import How
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Query, Series
from exporter.sources.fleet import samples as fleet
from exporter.sources.fleet.consumer_samples import FOLLOWED
from exporter.sources.jetstream import account as nats_account
from exporter.sources.jetstream import consumers as nats_consumers
from exporter.sources.jetstream import streams as nats_streams
from exporter.sources.services import probe

_EVENTS = Link("What was published", View.EVENTS)
_FROM = ("producer", "subject")
_OFFLINE = {"0": ("no", QUIET), "1": ("yes", BAD)}
_CURRENT = {"0": ("no", WARN), "1": ("yes", OK)}
_FOLLOWED = {"1": ("in order", OK), "2": ("as it comes", WARN), "3": ("refused", BAD), "4": ("offline", BAD)}


def _stream(metric: Metric, **matchers: str | Matcher) -> Series:
    return shown(metric, stream=chosen("stream"), **matchers)


def _each(metric: Metric) -> Line:
    return Line(_stream(metric).max("stream"))


def _age(metric: Metric) -> Line:
    return Line(_stream(metric).age().max("stream"))


def _worst(
    title: str, description: str, query: Query, limits: Sequence[Limit], *, unit: str = "short", down: Link = _EVENTS
) -> Panel:
    return stat(title, description, Line(query.max()), unit=unit, width=3, sparkline=True, limits=limits, links=[down])


_SETTINGS = ("retention", "storage", "discard", "replicas")
_messages = _stream(nats_streams.INFO).matching("*", shown(nats_streams.MESSAGES), "job", "instance", "stream")
_shares = [
    labelled(_stream(held).share_of(_stream(limit)), "limit", what)
    for what, held, limit in (
        ("messages", nats_streams.MESSAGES, nats_streams.LIMIT_MESSAGES),
        ("bytes", nats_streams.BYTES, nats_streams.LIMIT_BYTES),
    )
]
_full = raw(" or ".join(share.text for share in _shares), "job", "instance", "stream").max("job", "instance", "stream")
_refuses = _full.only_with(_stream(nats_streams.INFO, discard="new"), "job", "instance", "stream")
_expected = raw(
    f"{labelled(_stream(nats_streams.EXPECTED), 'consumer', 'the stream itself').text} or "
    f"{consumers.of_consumers(nats_consumers.EXPECTED).text}",
    *consumers.KEY,
)
_ACCOUNT = (
    ("file storage", nats_account.STORAGE, nats_account.STORAGE_LIMIT),
    ("reserved file storage", nats_account.RESERVED_STORAGE, nats_account.STORAGE_LIMIT),
    ("memory storage", nats_account.MEMORY, nats_account.MEMORY_LIMIT),
    ("reserved memory", nats_account.RESERVED_MEMORY, nats_account.MEMORY_LIMIT),
    ("streams", nats_account.STREAMS, nats_account.STREAM_LIMIT),
    ("consumers", nats_account.CONSUMERS, nats_account.CONSUMER_LIMIT),
)
_TIER = (
    ("file storage", nats_account.TIER_STORAGE, nats_account.TIER_STORAGE_LIMIT),
    ("reserved file storage", nats_account.TIER_RESERVED_STORAGE, nats_account.TIER_STORAGE_LIMIT),
    ("memory storage", nats_account.TIER_MEMORY, nats_account.TIER_MEMORY_LIMIT),
    ("reserved memory", nats_account.TIER_RESERVED_MEMORY, nats_account.TIER_MEMORY_LIMIT),
    ("streams", nats_account.TIER_STREAMS, nats_account.TIER_STREAM_LIMIT),
    ("consumers", nats_account.TIER_CONSUMERS, nats_account.TIER_CONSUMER_LIMIT),
)

_HEAD = Row(
    "",
    [
        *source_health("jetstream", "NATS", width=3),
        _worst(
            "Round trip",
            "Round-trip time of $JS.API.INFO (nats_rtt_seconds).",
            shown(nats_account.RTT),
            [Limit(thresholds.RTT_SECONDS, WARN)],
            unit="s",
            down=Link("The exporter", View.EXPORTER),
        ),
        stat(
            "Published",
            "Messages a second that the exporter saw on the fleet's subjects (fleet_events_total).",
            Line(shown(fleet.EVENTS).rate(RATE).sum()),
            unit="ops",
            width=3,
            sparkline=True,
            links=[_EVENTS],
        ),
        _worst(
            "Furthest behind",
            "Largest consumer lag: undelivered plus unacked messages (nats_consumer_lag).",
            consumers.of_consumers(nats_consumers.LAG),
            consumers.LAG_LIMITS,
        ),
        _worst(
            "Most not delivered",
            "Most undelivered messages of one consumer (nats_consumer_num_pending).",
            consumers.of_consumers(nats_consumers.PENDING),
            consumers.PENDING_LIMITS,
        ),
        _worst(
            "Most repeated",
            "Highest redelivery rate of one consumer, a lower bound (nats_consumer_delivered_total, "
            "nats_consumer_delivered_stream_sequence).",
            consumers.redeliveries(),
            consumers.REPEATED_LIMITS,
            unit="ops",
        ),
        stat(
            "Missing",
            "Streams and consumers that the configuration expects (jetstream.expected) and NATS does not have; no data "
            "where it expects none.",
            Line((_expected * -1 + 1).sum()),
            width=3,
            limits=[Limit(1, BAD)],
            decimals=0,
            links=[Link("Alerts", View.OVERVIEW)],
        ),
    ],
)

_MAP = Row(
    "Who tells whom",
    [
        node_graph(
            "Publishers, subjects, consumers",
            "From the left: services that publish, subjects, and the services whose consumers take them, with messages a "
            "second (fleet_events_total, nats_consumer_info, nats_consumer_delivered_total). A consumer with several "
            "filters has all its deliveries at each; one without a filter stands at “all of” its stream.",
            topology.nodes(),
            topology.edges(),
            unit="ops",
            width=24,
            height=13,
        ),
    ],
)

_STREAMS = Row(
    "Publishers and streams",
    [
        table(
            "Streams",
            "Each stream's contents, limits and replicas, and its origin if it is a copy (STREAM.LIST). A stream that "
            "discards old messages is meant to be full; one that rejects new ones loses them. Followed is how the exporter "
            "itself reads it.",
            ["stream"],
            [
                (Column("messages", decimals=0), Line(_messages.max("stream", *_SETTINGS))),
                (Column("size", unit="bytes"), _each(nats_streams.BYTES)),
                (Column("stored a second", unit="ops"), Line(_stream(nats_streams.LAST).slope(RATE).max("stream"))),
                (Column("full", unit="percentunit", bar=True), Line(_full.max("stream"))),
                (
                    Column("refuses when full", unit="percentunit", limits=[Limit(thresholds.STREAM_FULL_RATIO, BAD)]),
                    Line(_refuses.max("stream")),
                ),
                (Column("kept for", unit="s"), _each(nats_streams.LIMIT_AGE)),
                (Column("oldest", unit="s"), _age(nats_streams.FIRST_TIME)),
                (Column("newest", unit="s"), _age(nats_streams.LAST_TIME)),
                (Column("subjects", decimals=0), _each(nats_streams.SUBJECTS)),
                (Column("deleted", decimals=0), _each(nats_streams.DELETED)),
                (Column("consumers", decimals=0), _each(nats_streams.CONSUMERS)),
                (Column("offline", states=_OFFLINE), _each(nats_streams.OFFLINE)),
                (Column("replicas current", states=_CURRENT), Line(_stream(nats_streams.REPLICA_CURRENT).min("stream"))),
                (Column("replica lag", decimals=0), _each(nats_streams.REPLICA_LAG)),
                (
                    Column("behind origin", limits=[Limit(thresholds.SOURCE_LAG, WARN)], decimals=0),
                    _each(nats_streams.SOURCE_LAG),
                ),
                (Column("origin contact", unit="s"), _age(nats_streams.SOURCE_ACTIVE)),
                (Column("origin error", states=_OFFLINE), _each(nats_streams.SOURCE_ERROR)),
                (Column("ephemeral", decimals=0), _each(nats_consumers.EPHEMERAL)),
                (Column("their lag", decimals=0), _each(nats_consumers.EPHEMERAL_LAG)),
                (
                    Column("followed", states=_FOLLOWED),
                    Line(coded(FOLLOWED, tuple(How), "stream", label="how")),
                ),
            ],
            key_columns=[
                Column("stream", links=[Link("Only this stream", View.COMMUNICATIONS, {"stream": "stream"}), _EVENTS])
            ],
            labels={"retention": "retention", "storage": "storage", "discard": "discards", "replicas": "replicas"},
            sort="messages",
            width=24,
            height=9,
        ),
        table(
            "Publishers",
            "Who published what in the time shown, and how much of it now (fleet_events_total). A publisher is told by the "
            "message, or known by its subject.",
            _FROM,
            [
                (
                    Column("in the time shown", decimals=0),
                    Line(shown(fleet.EVENTS).increase(RANGE).sum(*_FROM, "family")),
                ),
                (Column("a second", unit="ops"), Line(shown(fleet.EVENTS).rate(RATE).sum(*_FROM))),
            ],
            key_columns=[Column("subject", links=[ApiLink("The last events", path="/api/events"), _EVENTS])],
            labels={"family": "family"},
            sort="a second",
            width=14,
            height=9,
        ),
        table(
            "Designed against present",
            "Streams and consumers that the configuration names (jetstream.expected), and whether NATS has them; empty "
            "where it names none.",
            consumers.KEY,
            [(Column("is", states={"0": ("missing", BAD), "1": ("there", OK)}), Line(_expected.max(*consumers.KEY)))],
            key_columns=[Column("stream", links=[Link("Only this stream", View.COMMUNICATIONS, {"stream": "stream"})])],
            sort="is",
            descending=False,
            width=10,
            height=9,
        ),
    ],
)

_ACCOUNT_ROW = Row(
    "Settings and the account",
    [
        consumers.SETTINGS_TABLE,
        bars(
            "Share of the account's limits",
            "Usage as a share of the account's limits, and of each tier's (JetStream account info). No data without limits.",
            *(Line(shown(used).share_of(shown(limit)).max(), what) for what, used, limit in _ACCOUNT),
            *(Line(shown(used).share_of(shown(limit)).max("tier"), f"{{{{tier}}}} {what}") for what, used, limit in _TIER),
            unit="percentunit",
            limits=[Limit(thresholds.ACCOUNT_FULL_RATIO, WARN)],
            maximum=1,
        ),
        graph(
            "JetStream API",
            "Requests a second of the account, and those refused (api.total, api.errors).",
            Line(shown(nats_account.API_REQUESTS).rate(RATE).sum(), "requests"),
            Line(shown(nats_account.API_ERRORS).rate(RATE).sum(), "refused"),
            unit="reqps",
            columns=[Column("refused", colour=BAD)],
        ),
        stat(
            "Server",
            "The NATS server the exporter is connected to, and its version (nats_server_info).",
            Line(shown(nats_account.SERVER).max("server", "version"), "{{server}} {{version}}"),
            text=True,
            height=8,
            links=[Link("The exporter", View.EXPORTER)],
        ),
    ],
    collapsed=True,
)

DASHBOARD = Dashboard(
    view=View.COMMUNICATIONS,
    title="Communications",
    description="Whether what services publish reaches those who consume it, and whether services answer when called.",
    variables=[
        variables.of("stream", "stream", "Stream", "Streams of JetStream.", shown(nats_streams.INFO)),
        variables.of("consumer", "consumer", "Consumer", "Consumers of those streams.", _stream(nats_consumers.INFO)),
        variables.of("service", "service", "Service", "Services that are asked over gRPC or HTTP.", shown(probe.UP)),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("nats|services"), STORY_MARKS],
    rows=[_HEAD, _MAP, consumers.BEHIND, _STREAMS, SERVICES, _ACCOUNT_ROW],
)
