"""Who tells whom: publishers, subjects and the services that consume them, as circles and arrows.

No label says which stream a followed event came from, so publishers and consumers meet at the subject: a filter that is
the subject itself, or a wildcard that ends in `>` or `*` and covers it. Every end of an arrow is a circle, because both
are made of the same two metrics: what was seen (fleet_events_total), and what consumers are set to (nats_consumer_info).
"""

from __future__ import annotations

from dashboards.grafana.queries import RATE, Line, chosen, labelled, raw, shown
from exporter.metrics.promql import Matcher, Query, Series, like, unlike
from exporter.sources.fleet import samples as fleet
from exporter.sources.jetstream import consumers as nats_consumers

_MOST_FILTERS = 4
"""Filters of one consumer that are drawn."""
_WILDCARDS = (
    (r"([^.]+)\..+", "$1.>"),
    (r"([^.]+\.[^.]+)\..+", "$1.>"),
    (r"([^.]+\.[^.]+\.[^.]+)\..+", "$1.>"),
    (r"([^.]+\.[^.]+)\.[^.]+", "$1.*"),
)
"""The wildcards that cover a subject, as what to make of it."""


def _set_to(filters: Matcher | str) -> Series:
    return shown(nats_consumers.INFO, stream=chosen("stream"), consumer=chosen("consumer"), filter=filters)


def _filters() -> Query:
    """What consumers are set to, once for each of their filters, which is the subject then."""
    parts = []
    for place in range(_MOST_FILTERS):
        before = f"(?:[^,]+,){{{place}}}"
        parts.append(
            labelled(_set_to(like(f"{before}[^,]+(?:,.*)?")), "subject", "$1", "filter", f"{before}([^,]+)(?:,.*)?")
        )
    parts.append(labelled(_set_to(""), "subject", "all of $1", "stream", "(.+)"))
    return raw(f"({' or '.join(part.text for part in parts)})", *parts[0].labels)


_CONSUMER = ("job", "instance", "stream", "consumer")
_PUBLISHED = shown(fleet.EVENTS).rate(RATE)
_CONSUMED = _filters().matching("*", shown(nats_consumers.DELIVERED).rate(RATE), *_CONSUMER).sum("subject", "service")
"""Deliveries a second. A consumer with several filters has an arrow from each, and all its deliveries on every one."""


def _circle(query: Query, kind: str, label: str, subtitle: str) -> Query:
    made = labelled(query, "id", f"{kind} $1", label, "(.+)")
    return labelled(labelled(made, "title", "$1", label, "(.+)"), "subtitle", subtitle).sum("id", "title", "subtitle")


def _arrow(query: Query, kinds: tuple[str, str], ends: tuple[str, str]) -> Query:
    made = labelled(query, "source", f"{kinds[0]} $1", ends[0], "(.+)")
    made = labelled(made, "target", f"{kinds[1]} $1", ends[1], "(.+)")
    text = f'label_join({made.text}, "id", " to ", "source", "target")'
    return raw(text, *made.labels, "id").sum("id", "source", "target")


def _covered() -> Query:
    """From each subject to the wildcards that cover it and that somebody consumes."""
    parts = []
    for pattern, wildcard in _WILDCARDS:
        # agent.results.* stands for subjects with identifiers, and would cover itself
        seen = shown(fleet.EVENTS, subject=unlike(r".*[*]")) if wildcard.endswith("*") else shown(fleet.EVENTS)
        parts.append(labelled(seen.rate(RATE).sum("subject"), "wildcard", wildcard, "subject", pattern))
    covers = raw(" or ".join(part.text for part in parts), "subject", "wildcard")
    consumed = labelled(_CONSUMED, "wildcard", "$1", "subject", "(.+)").by("group", "wildcard")
    return _arrow(covers.matching("*", consumed, "wildcard"), ("subject", "subject"), ("subject", "wildcard"))


def nodes() -> Line:
    """Circles, each with messages a second: published, or delivered."""
    published = _circle(_PUBLISHED.sum("subject"), "subject", "subject", "subject")
    filters = _circle(_CONSUMED.sum("subject"), "subject", "subject", "subject")
    parts = [
        _circle(_PUBLISHED.sum("producer"), "publisher", "producer", "publishes"),
        raw(f"({published.text} or {filters.text})", *published.labels),
        _circle(_CONSUMED.sum("service"), "consumer", "service", "consumes"),
    ]
    return Line(raw(" or ".join(part.text for part in parts), "id", "title", "subtitle"))


def edges() -> Line:
    """Arrows, each with messages a second: published, covered by a wildcard, or delivered."""
    parts = [
        _arrow(_PUBLISHED.sum("producer", "subject"), ("publisher", "subject"), ("producer", "subject")),
        _covered(),
        _arrow(_CONSUMED, ("subject", "consumer"), ("subject", "service")),
    ]
    return Line(raw(" or ".join(part.text for part in parts), "id", "source", "target"))
