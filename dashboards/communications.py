"""Dashboard "Communications": publishers, streams, consumers and their lag, and service calls."""

from __future__ import annotations

from collections.abc import Sequence

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, OK, QUIET, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, Panel, bars, graph, node_graph, stat, table
from dashboards.grafana.queries import NOW, RATE, PrometheusTarget, labelled, raw, selector, variable
from dashboards.rows import consumers, topology
from dashboards.rows.common import STORY_MARKS, alert_marks, coded, source_health
from dashboards.rows.services import SERVICES
from exporter.events.streams import DeliveryMode
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Query, Series
from exporter.sources.fleet import samples as fleet
from exporter.sources.fleet.consumer_samples import STREAM_MODE
from exporter.sources.jetstream import account as nats_account
from exporter.sources.jetstream import consumers as nats_consumers
from exporter.sources.jetstream import streams as nats_streams
from exporter.sources.services import probe

_EVENTS = Link("Events", DashboardUid.EVENTS)
_ONLY_STREAM = Link("Only this stream", DashboardUid.COMMUNICATIONS, {"stream": "stream"})
_OFFLINE = {"0": ("no", QUIET), "1": ("yes", BAD)}
_CURRENT = {"0": ("no", WARN), "1": ("yes", OK)}
_FOLLOWED = {"1": ("in order", OK), "2": ("plain", WARN), "3": ("refused", BAD), "4": ("offline", BAD)}


def _stream(metric: Metric, **matchers: str | Matcher) -> Series:
    return selector(metric, stream=variable("stream"), **matchers)


def _each(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(_stream(metric).max("stream"))


def _age(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(_stream(metric).age().max("stream"))


def _worst(
    title: str, description: str, query: Query, limits: Sequence[Threshold], *, unit: str = "locale", down: Link = _EVENTS
) -> Panel:
    return stat(title, description, PrometheusTarget(query.max()), unit=unit, width=3, limits=limits, links=[down])


_SETTINGS = ("retention", "storage", "discard", "replicas")
_messages = _stream(nats_streams.INFO).matching("*", selector(nats_streams.MESSAGES), "job", "instance", "stream")
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
    f"{labelled(_stream(nats_streams.EXPECTED), 'consumer', '(stream)').text} or "
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
            selector(nats_account.RTT),
            [Threshold(thresholds.RTT_SECONDS, WARN)],
            unit="s",
            down=Link("Exporter", DashboardUid.EXPORTER),
        ),
        stat(
            "Published",
            "Messages per second received by the exporter on the fleet's subjects (fleet_events_total).",
            PrometheusTarget(selector(fleet.EVENTS).rate(NOW).sum()),
            unit="mps",
            width=3,
            links=[_EVENTS],
        ),
        _worst(
            "Max lag",
            "Largest consumer lag: undelivered plus unacked messages (nats_consumer_lag).",
            consumers.of_consumers(nats_consumers.LAG),
            consumers.LAG_LIMITS,
        ),
        _worst(
            "Undelivered",
            "Most undelivered messages of one consumer (nats_consumer_num_pending).",
            consumers.of_consumers(nats_consumers.PENDING),
            consumers.PENDING_LIMITS,
        ),
        _worst(
            "Redelivery",
            "Highest redelivery rate of one consumer, a lower bound (nats_consumer_delivered_total, "
            "nats_consumer_delivered_stream_sequence).",
            consumers.redeliveries(NOW),
            consumers.REPEATED_LIMITS,
            unit="mps",
        ),
        stat(
            "Missing",
            "Expected streams and consumers (jetstream.expected) that do not exist; no data if none are configured.",
            PrometheusTarget((_expected * -1 + 1).sum()),
            width=3,
            limits=[Threshold(1, BAD)],
            decimals=0,
            links=[Link("Alerts", DashboardUid.OVERVIEW)],
        ),
    ],
)

_MAP = Row(
    "Message topology",
    [
        node_graph(
            "Publishers, subjects, consumers",
            "From left to right: publishers, subjects, and consuming services, with messages per second "
            "(fleet_events_total, nats_consumer_info, nats_consumer_delivered_total). A consumer with several filters "
            'shows all its deliveries at each filter; a consumer without a filter is connected to "all of" its stream. '
            "Deliveries include redeliveries: an amber consumer has messages that were delivered more than once and not "
            "acked (nats_consumer_num_redelivered).",
            topology.nodes(),
            topology.edges(),
            unit="msg/s",
            links=[_EVENTS, Link("Exporter", DashboardUid.EXPORTER)],
            width=24,
            height=18,
        ),
    ],
)

_STREAMS = Row(
    "Streams",
    [
        table(
            "Streams",
            "Contents, fill level and consumers of each stream (STREAM.LIST). Streams that discard old messages are usually "
            "full. Further rows: configuration and replication.",
            ["stream"],
            [
                (FieldOverride("messages", decimals=0), PrometheusTarget(_messages.max("stream"))),
                (FieldOverride("size", unit="bytes"), _each(nats_streams.BYTES)),
                (
                    FieldOverride("stored per second", unit="mps"),
                    PrometheusTarget(_stream(nats_streams.LAST).slope(NOW).max("stream")),
                ),
                (FieldOverride("full", unit="percentunit", bar=True), PrometheusTarget(_full.max("stream"))),
                (FieldOverride("oldest", unit="s"), _age(nats_streams.FIRST_TIME)),
                (FieldOverride("newest", unit="s"), _age(nats_streams.LAST_TIME)),
                (FieldOverride("consumers", decimals=0), _each(nats_streams.CONSUMERS)),
                (FieldOverride("offline", states=_OFFLINE), _each(nats_streams.OFFLINE)),
            ],
            key_columns=[
                FieldOverride(
                    "stream", links=[Link("Only this stream", DashboardUid.COMMUNICATIONS, {"stream": "stream"}), _EVENTS]
                )
            ],
            sort="messages",
            width=24,
            height=9,
        ),
        table(
            "Expected vs actual",
            "Expected streams and consumers (jetstream.expected), and whether they exist; no data if none are configured.",
            consumers.KEY,
            [
                (
                    FieldOverride("state", states={"0": ("missing", BAD), "1": ("present", OK)}),
                    PrometheusTarget(_expected.max(*consumers.KEY)),
                )
            ],
            key_columns=[
                FieldOverride("stream", links=[Link("Only this stream", DashboardUid.COMMUNICATIONS, {"stream": "stream"})])
            ],
            sort="state",
            descending=False,
            width=24,
            height=6,
        ),
    ],
)

_ACCOUNT_ROW = Row(
    "Configuration and account",
    [
        table(
            "Stream configuration",
            'Limits and policies of each stream (STREAM.LIST). "read" is how the exporter reads the stream.',
            ["stream"],
            [
                (FieldOverride("info", hidden=True), PrometheusTarget(_messages.max("stream", *_SETTINGS))),
                (FieldOverride("max age", unit="s"), _each(nats_streams.LIMIT_AGE)),
                (FieldOverride("subjects", decimals=0), _each(nats_streams.SUBJECTS)),
                (FieldOverride("deleted", decimals=0), _each(nats_streams.DELETED)),
                (
                    FieldOverride("read", states=_FOLLOWED),
                    PrometheusTarget(coded(STREAM_MODE, tuple(DeliveryMode), "stream", label="mode")),
                ),
            ],
            key_columns=[FieldOverride("stream", links=[_ONLY_STREAM])],
            labels={"retention": "retention", "storage": "storage", "discard": "discard", "replicas": "replicas"},
            sort="stream",
            descending=False,
            width=24,
            height=8,
        ),
        table(
            "Stream replication",
            "Replicas, origin and ephemeral consumers of each stream, and the fill level of streams that discard new "
            "messages, and lose them when full (STREAM.LIST, STREAM.INFO).",
            ["stream"],
            [
                (
                    FieldOverride("full", unit="percentunit", limits=[Threshold(thresholds.STREAM_FULL_RATIO, BAD)]),
                    PrometheusTarget(_refuses.max("stream")),
                ),
                (
                    FieldOverride("replicas current", states=_CURRENT),
                    PrometheusTarget(_stream(nats_streams.REPLICA_CURRENT).min("stream")),
                ),
                (FieldOverride("replica lag", decimals=0), _each(nats_streams.REPLICA_LAG)),
                (
                    FieldOverride("behind origin", limits=[Threshold(thresholds.SOURCE_LAG, WARN)], decimals=0),
                    _each(nats_streams.SOURCE_LAG),
                ),
                (FieldOverride("origin contact", unit="s"), _age(nats_streams.SOURCE_ACTIVE)),
                (FieldOverride("origin error", states=_OFFLINE), _each(nats_streams.SOURCE_ERROR)),
                (FieldOverride("ephemeral", decimals=0), _each(nats_consumers.EPHEMERAL)),
                (FieldOverride("ephemeral lag", decimals=0), _each(nats_consumers.EPHEMERAL_LAG)),
            ],
            key_columns=[FieldOverride("stream", links=[_ONLY_STREAM])],
            sort="replicas current",
            descending=False,
            width=24,
            height=8,
        ),
        *consumers.DETAILS,
        bars(
            "Account limits used",
            "Usage as a share of the account's limits, and of each tier's (JetStream account info). No data without limits.",
            *(PrometheusTarget(selector(used).share_of(selector(limit)).max(), what) for what, used, limit in _ACCOUNT),
            *(
                PrometheusTarget(selector(used).share_of(selector(limit)).max("tier"), f"{{{{tier}}}} {what}")
                for what, used, limit in _TIER
            ),
            unit="percentunit",
            limits=[Threshold(thresholds.ACCOUNT_FULL_RATIO, WARN)],
            maximum=1,
        ),
        graph(
            "JetStream API",
            "Requests per second of the account, and failed requests (api.total, api.errors).",
            PrometheusTarget(selector(nats_account.API_REQUESTS).rate(RATE).sum(), "requests"),
            PrometheusTarget(selector(nats_account.API_ERRORS).rate(RATE).sum(), "refused"),
            unit="reqps",
            columns=[FieldOverride("refused", color=BAD)],
        ),
    ],
    collapsed=True,
)

DASHBOARD = Dashboard(
    view=DashboardUid.COMMUNICATIONS,
    title="Communications",
    description="Do messages reach their consumers, and do services respond to calls?",
    variables=[
        variables.of("stream", "stream", "Stream", "JetStream streams.", selector(nats_streams.INFO)),
        variables.of("consumer", "consumer", "Consumer", "Consumers of the selected streams.", _stream(nats_consumers.INFO)),
        variables.of("service", "service", "Service", "Services checked over gRPC or HTTP.", selector(probe.UP)),
        variables.EXPORTER_URL,
    ],
    annotations=[alert_marks("nats|services"), STORY_MARKS],
    rows=[_HEAD, consumers.BEHIND, _STREAMS, SERVICES, _MAP, _ACCOUNT_ROW],
)
