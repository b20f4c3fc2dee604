"""Rows about NATS consumers: how far behind each is, whether it gets the same again and again, and what it is set to."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.rules import nats
from alerts.view import View
from dashboards.grafana.fields import BAD, OK, QUIET, WARN, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, Line, chosen, kept, shown
from exporter.fleet import delivery
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Query, Series
from exporter.sources.jetstream import samples as jetstream
from exporter.sources.jetstream.ack_estimate import ACK_ESTIMATE

KEY: Final = ("stream", "consumer")
LAG_LIMITS: Final = (Limit(thresholds.CONSUMER_LAG, WARN),)
PENDING_LIMITS: Final = (Limit(thresholds.CONSUMER_PENDING, WARN),)
REPEATED_LIMITS: Final = (Limit(thresholds.REDELIVERIES_A_SECOND, WARN),)
LINKS: Final = (
    Link("Only this consumer", View.COMMUNICATIONS, {"stream": "stream", "consumer": "consumer"}),
    Link("What was published", View.EVENTS),
)
_WHICH = "{{stream}} {{consumer}}"


def of_consumers(metric: Metric) -> Series:
    """The series of the consumers that are chosen."""
    return shown(metric, stream=chosen("stream"), consumer=chosen("consumer"))


def redeliveries() -> Query:
    """Deliveries a second that brought the stream's sequence no further, at least; as the alert counts them."""
    first = of_consumers(jetstream.DELIVERED_SEQUENCE).slope(RATE).clamp_min(0)
    return (of_consumers(jetstream.DELIVERED).rate(RATE) - first).clamp_min(0)


def _each(metric: Metric, legend: str = _WHICH) -> Line:
    return Line(of_consumers(metric).max(*KEY), legend)


def _age(metric: Metric) -> Line:
    return Line(of_consumers(metric).age().max(*KEY))


def _rate(metric: Metric, legend: str = _WHICH) -> Line:
    return Line(of_consumers(metric).rate(RATE).max(*KEY), legend)


_settings = of_consumers(jetstream.CONSUMER_INFO)
_lag_with_settings = _settings.matching("*", shown(jetstream.LAG), "job", "instance", *KEY)
_unacknowledged = of_consumers(jetstream.ACK_PENDING)

BEHIND: Final = Row(
    "Consumers",
    [
        table(
            "Consumers",
            "Each durable consumer, its service by its name, and how far behind it is (CONSUMER.LIST). Lag is what is not "
            "delivered and what is not acknowledged; colours begin where the alerts do.",
            KEY,
            [
                (
                    Column("lag", limits=LAG_LIMITS, decimals=0),
                    Line(_lag_with_settings.max(*KEY, "service", "filter", "deliver_group")),
                ),
                (Column("not delivered", limits=PENDING_LIMITS, decimals=0), _each(jetstream.PENDING)),
                (Column("not acknowledged", decimals=0), _each(jetstream.ACK_PENDING)),
                (Column("delivered again", decimals=0), _each(jetstream.REDELIVERED)),
                (Column("acknowledged a second", unit="ops"), _rate(jetstream.ACKNOWLEDGED)),
                (Column("repeated a second", unit="ops", limits=REPEATED_LIMITS), Line(redeliveries().max(*KEY))),
                (Column("oldest unacknowledged", unit="s"), _age(jetstream.OLDEST)),
                (Column("last delivery", unit="s"), _age(jetstream.LAST_DELIVERY)),
                (Column("last acknowledgement", unit="s"), _age(jetstream.LAST_ACK)),
            ],
            key_columns=[Column("consumer", links=LINKS)],
            labels={"service": "service", "filter": "filter", "deliver_group": "queue group"},
            sort="lag",
            width=24,
            height=10,
        ),
        graph(
            "Lag",
            "Messages not delivered or not acknowledged, by consumer (nats_consumer_lag); the line is the alert's.",
            _each(jetstream.LAG),
            unit="short",
            width=8,
            limits=LAG_LIMITS,
            links=LINKS,
        ),
        graph(
            "Redelivery",
            "Deliveries a second of messages that were delivered before: those that bring the stream's sequence no further "
            "(num_redelivered is a number of messages, not a rate); the line is the alert's.",
            Line(redeliveries().max(*KEY), _WHICH),
            unit="ops",
            width=8,
            limits=REPEATED_LIMITS,
            links=LINKS,
        ),
        graph(
            "Delivered and acknowledged",
            "Deliveries and acknowledgements a second, by consumer (delivered.consumer_seq, ack_floor.consumer_seq).",
            _rate(jetstream.DELIVERED, "{{consumer}} delivered"),
            _rate(jetstream.ACKNOWLEDGED, "{{consumer}} acknowledged"),
            unit="ops",
            width=8,
            links=LINKS,
        ),
        graph(
            "Time to acknowledge",
            "95th percentile of the time from delivery to acknowledgement, where the server samples it "
            "(fleet:nats_consumer_ack_duration_seconds:p95_5m); elsewhere the exporter's estimate from the last one.",
            Line(
                kept(nats.TIME_TO_ACKNOWLEDGE, stream=chosen("stream"), consumer=chosen("consumer")).max(
                    "stream", "consumer"
                ),
                "{{consumer}} p95",
            ),
            _each(ACK_ESTIMATE, "{{consumer}} estimate"),
            unit="s",
            width=12,
        ),
        graph(
            "Refused and given up",
            "Deliveries a second that a consumer refused, gave up for good, or had as often as it allows (advisories).",
            _rate(delivery.NAKS, "{{consumer}} refused"),
            _rate(delivery.TERMINATIONS, "{{consumer}} given up"),
            _rate(delivery.MAX_DELIVERIES, "{{consumer}} delivered too often"),
            unit="ops",
            width=12,
        ),
    ],
)

SETTINGS_TABLE: Final = table(
    "Consumers' settings",
    "What each consumer is set to (config), and where it stands in its stream by sequence; no data where there is no limit.",
    KEY,
    [
        (
            Column("full", unit="percentunit", limits=[Limit(1, BAD)], bar=True),
            Line(
                _settings.matching(
                    "*",
                    shown(jetstream.ACK_PENDING).share_of(shown(jetstream.MAX_ACK_PENDING)),
                    "job",
                    "instance",
                    *KEY,
                ).max(*KEY, "kind")
            ),
        ),
        (Column("unacknowledged at most"), _each(jetstream.MAX_ACK_PENDING)),
        (Column("acknowledged within", unit="s"), _each(jetstream.ACK_WAIT)),
        (Column("deliveries at most"), _each(jetstream.MAX_DELIVER)),
        (Column("waiting pulls"), _each(jetstream.WAITING)),
        (Column("delivered up to", decimals=0), _each(jetstream.DELIVERED_SEQUENCE)),
        (Column("acknowledged up to", decimals=0), _each(jetstream.ACK_FLOOR_SEQUENCE)),
        (Column("sampled", states={"0": ("no", QUIET), "1": ("yes", OK)}), _each(jetstream.SAMPLING)),
    ],
    key_columns=[Column("consumer", links=LINKS)],
    labels={"kind": "kind"},
    width=24,
    height=9,
)
