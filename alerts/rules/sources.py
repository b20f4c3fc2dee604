"""When a source cannot be read: one alert for each backend, and none for what fails only because another one does."""

from __future__ import annotations

from typing import Final

from alerts.rule import Component, Rule, Severity
from alerts.view import View
from exporter import scrape
from exporter.metrics.promql import REPLICA_LABELS, Query, series

ELSEWHERE: Final = ("source", "server", *REPLICA_LABELS)
"""Labels in which two sources of one fleet may differ; with shards another exporter may read the other."""

UNREAD_FOR: Final = "2m"
"""No reading has succeeded for so long. A failed scrape between two leaves the look at these minutes as it is."""

_DESCRIPTION: Final = (
    "{{ $labels.source }} {{ $labels.server }} could not be read for two minutes; "
    "fleet_exporter_source_failure names the reason."
)


def unread(source: str) -> Query:
    """A source that is configured and of which no reading succeeded."""
    return series(scrape.UP, source=source).max_over(UNREAD_FOR).equals(0)


def down(
    name: str, source: str, component: Component, summary: str, view: View,
    *, because: str = "", severity: Severity = Severity.CRITICAL, variables: tuple[str, ...] = (),
) -> Rule:  # fmt: skip
    """The alert of one source; silent while `because`, the source whose backend it shares, cannot be read either."""
    query = unread(source)
    if because:
        query = query.unless(unread(because), ignoring=ELSEWHERE)
    return Rule(
        name=name,
        query=query,
        severity=severity,
        component=component,
        summary=summary,
        description=_DESCRIPTION,
        view=view,
        variables=variables,
        lasting="1m",
        kept="2m",
        down=True,
    )
