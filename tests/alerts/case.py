"""Series for which an alert fires, and series below its threshold or of other objects for which it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.alerts.firing import Given


@dataclass(frozen=True)
class Case:
    """`fires` and `silent` by description: two hours of values, one per minute, evaluated after two hours."""

    fires: Mapping[str, Given]
    silent: Mapping[str, Given] = field(default_factory=dict)


def case(fires: Given, silent: Given, *, enough: Given | None = None, **others: Given) -> Case:
    """A common case: at the threshold, below it, with the minimum of samples, and other series that must not fire."""
    barely = {"barely enough": enough} if enough else {}
    return Case({"at the threshold": fires, **barely}, {"just below it": silent, **others})


def unread(source: str, because: str = "") -> Case:
    up = f'fleet_exporter_source_up{{source="{source}",server="s",instance="i",job="j"}}'
    other = f'fleet_exporter_source_up{{source="{because}",server="t",instance="i",job="j"}}'
    shared = {"whose backend is reported down itself": {up: "0x120", other: "0x120"}} if because else {}
    return Case(
        {"down": {up: "0x120", other: "1x120"} if because else {up: "0x120"}, "just now": {up: "1x115 0x5"}},
        {"up": {up: "1x120"}, "one failed reading": {up: "1x119 0"}, **shared},
    )
