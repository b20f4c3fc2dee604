"""Rows about NATS consumers: lag, redelivery, acks and configuration."""

from __future__ import annotations

from typing import Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from alerts.rules.nats_consumers import ACK_DURATION
from dashboards.grafana.fields import BAD, QUIET, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Panel, graph, table
from dashboards.grafana.queries import NOW, RATE, PrometheusTarget, recorded, selector, variable
from exporter.fleet import delivery
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Query, Series
from exporter.sources.jetstream import consumers as nats_consumers
from exporter.sources.jetstream.ack_estimate import ACK_ESTIMATE

KEY: Final = ("stream", "consumer")
LAG_LIMITS: Final = (Threshold(thresholds.CONSUMER_LAG, WARN),)
PENDING_LIMITS: Final = (Threshold(thresholds.CONSUMER_PENDING, WARN),)
REPEATED_LIMITS: Final = (Threshold(thresholds.REDELIVERIES_A_SECOND, WARN),)
LINKS: Final = (
    Link("Only this consumer", DashboardUid.COMMUNICATIONS, {"stream": "stream", "consumer": "consumer"}),
    Link("Events", DashboardUid.EVENTS),
)
_WHICH = "{{stream}} {{consumer}}"


def of_consumers(metric: Metric) -> Series:
    """The series of the selected consumers."""
    return selector(metric, stream=variable("stream"), consumer=variable("consumer"))


def redeliveries(window: str = RATE) -> Query:
    """Redeliveries per second (lower bound), as the alert computes them."""
    deliveries = of_consumers(nats_consumers.DELIVERED)
    first = of_consumers(nats_consumers.DELIVERED_SEQUENCE).delta(window).clamp_min(0)
    made = deliveries.increase(window)
    return deliveries.rate(window) * (made - first).clamp_min(0).share_of(made)


def _each(metric: Metric, legend: str = _WHICH) -> PrometheusTarget:
    return PrometheusTarget(of_consumers(metric).max(*KEY), legend)


def _age(metric: Metric) -> PrometheusTarget:
    return PrometheusTarget(of_consumers(metric).age().max(*KEY))


def _rate(metric: Metric, legend: str = _WHICH, window: str = RATE) -> PrometheusTarget:
    return PrometheusTarget(of_consumers(metric).rate(window).max(*KEY), legend)


_settings = of_consumers(nats_consumers.INFO)
_lag_with_settings = _settings.matching("*", selector(nats_consumers.LAG), "job", "instance", *KEY)

BEHIND: Final = Row(
    "Consumers",
    [
        table(
            "Consumers",
            "Durable consumers with their service and lag, which is undelivered plus unacked messages (CONSUMER.LIST). "
            "Colors match the alert thresholds.",
            KEY,
            [
                (
                    FieldOverride("lag", limits=LAG_LIMITS, decimals=0),
                    PrometheusTarget(_lag_with_settings.max(*KEY, "service")),
                ),
                (FieldOverride("undelivered", limits=PENDING_LIMITS, decimals=0), _each(nats_consumers.PENDING)),
                (FieldOverride("unacked", decimals=0), _each(nats_consumers.ACK_PENDING)),
                (FieldOverride("redelivered", decimals=0), _each(nats_consumers.REDELIVERED)),
                (
                    FieldOverride("redelivery", unit="mps", limits=REPEATED_LIMITS),
                    PrometheusTarget(redeliveries(NOW).max(*KEY)),
                ),
                (FieldOverride("last ack", unit="s"), _age(nats_consumers.LAST_ACK)),
            ],
            key_columns=[FieldOverride("consumer", links=LINKS)],
            labels={"service": "service"},
            sort="lag",
            width=24,
            height=10,
        ),
        graph(
            "Lag",
            "Undelivered plus unacked messages by consumer (nats_consumer_lag); the line is the alert threshold.",
            _each(nats_consumers.LAG),
            unit="locale",
            width=12,
            limits=LAG_LIMITS,
            links=LINKS,
        ),
        graph(
            "Redelivery",
            "Redeliveries per second, a lower bound: deliveries that do not advance the stream sequence "
            "(nats_consumer_delivered_total, nats_consumer_delivered_stream_sequence); the line is the alert threshold.",
            PrometheusTarget(redeliveries().max(*KEY), _WHICH),
            unit="mps",
            width=12,
            limits=REPEATED_LIMITS,
            links=LINKS,
        ),
        graph(
            "Ack duration (p95)",
            "p95 of the time from delivery to ack where the server samples acks "
            "(fleet:nats_consumer_ack_duration_seconds:p95_5m); the exporter's estimate otherwise.",
            PrometheusTarget(
                recorded(ACK_DURATION, stream=variable("stream"), consumer=variable("consumer")).max("stream", "consumer"),
                "{{consumer}} p95",
            ),
            _each(ACK_ESTIMATE, "{{consumer}} estimate"),
            unit="s",
            width=12,
        ),
        graph(
            "Naks and terminations",
            "Naks, terminations, and messages that reached max_deliver, per second (advisories).",
            _rate(delivery.NAKS, "{{consumer}} naks"),
            _rate(delivery.TERMINATIONS, "{{consumer}} terminated"),
            _rate(delivery.MAX_DELIVERIES, "{{consumer}} max deliveries"),
            unit="mps",
            width=12,
        ),
    ],
)


def _details(
    title: str, description: str, sort: str, labels: dict[str, str], *columns: tuple[FieldOverride, PrometheusTarget]
) -> Panel:
    info = (FieldOverride("info", hidden=True), PrometheusTarget(_settings.max(*KEY, *labels)))
    return table(
        title,
        description,
        KEY,
        [info, *columns],
        labels=labels,
        key_columns=[FieldOverride("consumer", links=LINKS)],
        sort=sort,
        width=24,
        height=9,
    )


_full = selector(nats_consumers.ACK_PENDING).share_of(selector(nats_consumers.MAX_ACK_PENDING))

DETAILS: Final = (
    _details(
        "Consumer state",
        "Filter, settled messages per second, and ages of each consumer (CONSUMER.LIST).",
        "oldest unacked",
        {"filter": "filter", "deliver_group": "queue group"},
        (FieldOverride("settled", unit="mps"), _rate(nats_consumers.SETTLED, window=NOW)),
        (FieldOverride("paused", states={"0": ("no", QUIET), "1": ("yes", WARN)}), _each(nats_consumers.PAUSED)),
        (FieldOverride("offline", states={"0": ("no", QUIET), "1": ("yes", BAD)}), _each(nats_consumers.OFFLINE)),
        (FieldOverride("oldest unacked", unit="s"), _age(nats_consumers.OLDEST)),
        (FieldOverride("last delivery", unit="s"), _age(nats_consumers.LAST_DELIVERY)),
    ),
    _details(
        "Consumer configuration",
        "Policies and limits of each consumer (config); full is the share of max_ack_pending. No data without a limit.",
        "full",
        {"kind": "kind", "ack_policy": "ack policy", "deliver_policy": "deliver policy"},
        (
            FieldOverride("full", unit="percentunit", limits=[Threshold(1, BAD)], bar=True),
            PrometheusTarget(_settings.matching("*", _full, "job", "instance", *KEY).max(*KEY)),
        ),
        (FieldOverride("max ack pending"), _each(nats_consumers.MAX_ACK_PENDING)),
        (FieldOverride("ack wait", unit="s"), _each(nats_consumers.ACK_WAIT)),
        (FieldOverride("max deliver"), _each(nats_consumers.MAX_DELIVER)),
    ),
)
