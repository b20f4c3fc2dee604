"""Message topology: publishers, subjects and consuming services as nodes and edges.

No label has the stream of a received event, so publishers and consumers are joined at the subject: a filter that equals
the subject, or a wildcard ending in `>` or `*` that matches it. Both ends of every edge are nodes, because both come from
the same two metrics: received events (fleet_events_total) and consumer configuration (nats_consumer_info).
"""

from __future__ import annotations

from dashboards.grafana.fields import ACCENT, OK, QUIET, WARN
from dashboards.grafana.queries import NOW, PrometheusTarget, labelled, raw, selector, variable
from exporter.metrics.promql import Matcher, Query, Series, like, unlike
from exporter.sources.fleet import samples as fleet
from exporter.sources.jetstream import consumers as nats_consumers

_MOST_FILTERS = 4
"""Max. filters drawn per consumer."""
_WILDCARDS = (
    (r"([^.]+)\..+", "$1.>"),
    (r"([^.]+\.[^.]+)\..+", "$1.>"),
    (r"([^.]+\.[^.]+\.[^.]+)\..+", "$1.>"),
    (r"([^.]+\.[^.]+)\.[^.]+", "$1.*"),
)
"""The wildcards that match a subject, as label_replace templates."""


def _set_to(filters: Matcher | str) -> Series:
    return selector(nats_consumers.INFO, stream=variable("stream"), consumer=variable("consumer"), filter=filters)


def _filters() -> Query:
    """Consumer configuration, once per filter, with the filter as label subject."""
    parts = []
    for place in range(_MOST_FILTERS):
        before = f"(?:[^,]+,){{{place}}}"
        parts.append(
            labelled(_set_to(like(f"{before}[^,]+(?:,.*)?")), "subject", "$1", "filter", f"{before}([^,]+)(?:,.*)?")
        )
    parts.append(labelled(_set_to(""), "subject", "all of $1", "stream", "(.+)"))
    return raw(f"({' or '.join(part.text for part in parts)})", *parts[0].labels)


_CONSUMER = ("job", "instance", "stream", "consumer")
_PUBLISHED = selector(fleet.EVENTS).rate(NOW)
_CONSUMED = _filters().matching("*", selector(nats_consumers.DELIVERED).rate(NOW), *_CONSUMER).sum("subject", "service")
"""Deliveries per second. A consumer with several filters has an edge from each, with all its deliveries on each edge."""

_REDELIVERED = _filters().matching("*", selector(nats_consumers.REDELIVERED) > 0, *_CONSUMER).sum("service")


def _circle(query: Query, kind: str, label: str, subtitle: str, color: str) -> Query:
    made = labelled(labelled(query, "id", f"{kind} $1", label, "(.+)"), "title", "$1", label, "(.+)")
    return labelled(labelled(made, "subtitle", subtitle), "color", color).sum("id", "title", "subtitle", "color")


def _arrow(query: Query, kinds: tuple[str, str], ends: tuple[str, str]) -> Query:
    made = labelled(query, "source", f"{kinds[0]} $1", ends[0], "(.+)")
    made = labelled(made, "target", f"{kinds[1]} $1", ends[1], "(.+)")
    text = f'label_join({made.text}, "id", " to ", "source", "target")'
    return raw(text, *made.labels, "id").sum("id", "source", "target")


def _covered() -> Query:
    """From each subject to the consumed wildcards that match it."""
    parts = []
    for pattern, wildcard in _WILDCARDS:
        # agent.results.* stands for subjects with IDs, and would match itself
        seen = selector(fleet.EVENTS, subject=unlike(r".*[*]")) if wildcard.endswith("*") else selector(fleet.EVENTS)
        parts.append(labelled(seen.rate(NOW).sum("subject"), "wildcard", wildcard, "subject", pattern))
    covers = raw(" or ".join(part.text for part in parts), "subject", "wildcard")
    consumed = labelled(_CONSUMED, "wildcard", "$1", "subject", "(.+)").by("group", "wildcard")
    return _arrow(covers.matching("*", consumed, "wildcard"), ("subject", "subject"), ("subject", "wildcard"))


def nodes() -> PrometheusTarget:
    """Nodes with messages per second: published or delivered. Consumers with unacked redeliveries are amber."""
    published = _circle(_PUBLISHED.sum("subject"), "subject", "subject", "subject", QUIET)
    filters = _circle(_CONSUMED.sum("subject"), "subject", "subject", "subject", QUIET)
    consumed = _CONSUMED.sum("service")
    parts = [
        _circle(_PUBLISHED.sum("producer"), "publisher", "producer", "publishes", ACCENT),
        raw(f"({published.text} or {filters.text})", *published.labels),
        _circle(consumed.only_with(_REDELIVERED, "service"), "consumer", "service", "redelivers", WARN),
        _circle(consumed.unless(_REDELIVERED), "consumer", "service", "consumes", OK),
    ]
    return PrometheusTarget(raw(" or ".join(part.text for part in parts), *published.labels))


def edges() -> PrometheusTarget:
    """Edges with messages per second: published, matched by a wildcard, or delivered."""
    parts = [
        _arrow(_PUBLISHED.sum("producer", "subject"), ("publisher", "subject"), ("producer", "subject")),
        _covered(),
        _arrow(_CONSUMED, ("subject", "consumer"), ("subject", "service")),
    ]
    return PrometheusTarget(raw(" or ".join(part.text for part in parts), "id", "source", "target"))
