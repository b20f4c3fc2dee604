"""The text of a page → its series, and series merged by the labels they keep. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from exporter.errors import Reason, SourceError
from exporter.sources.vllm.mappings import Merge

LabelValues = Mapping[str, str]
Series = tuple[LabelValues, float]
Page = dict[str, list[Series]]
"""The label sets and values of each series name."""
Key = tuple[str, ...]
"""Values of a metric's labels after `server`."""


@dataclass(frozen=True)
class HistogramValue:
    """(upper bound, cumulative count) pairs in rising order, the last bound +Inf; the sum if the server reports it."""

    buckets: tuple[tuple[float, float], ...]
    total: float | None

    @property
    def count(self) -> float:
        return self.buckets[-1][1]

    @property
    def mean(self) -> float | None:
        return None if self.total is None or not self.count else self.total / self.count


def parsed(text: str) -> Page:
    """The page's series by name, without `_created`; of a repeated series the first, as Prometheus does.

    Raises SourceError(MALFORMED) if the text is not such a page or was cut short. The error does not repeat the text.
    """
    if text and not text.endswith("\n"):
        raise SourceError(Reason.MALFORMED, "expected a line feed at the end of the page, got none; the page was cut short")
    page: dict[str, dict[frozenset[tuple[str, str]], Series]] = defaultdict(dict)
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    identity = frozenset(sample.labels.items())
                    page[sample.name].setdefault(identity, (sample.labels, float(sample.value)))
    except (ValueError, KeyError, IndexError, TypeError):
        raise SourceError(
            Reason.MALFORMED, "expected the Prometheus text format, got an invalid line; check the path of the address"
        ) from None
    return {name: list(series.values()) for name, series in page.items()}


def merged(series: Iterable[Series], key: Callable[[LabelValues], Key], merge: Merge, *, is_gauge: bool) -> dict[Key, float]:
    """One value per key.

    Several API servers may repeat a gauge under their `pid`, all but one of them with 0: the largest is the true one.
    """
    processes: dict[tuple[Key, frozenset[tuple[str, str]]], list[float]] = defaultdict(list)
    for values, value in series:
        ignored = ("pid",) if is_gauge else ()
        identity = frozenset(item for item in values.items() if item[0] not in ignored)
        processes[key(values), identity].append(value)
    found: dict[Key, list[float]] = defaultdict(list)
    for (owner, _), numbers in processes.items():
        found[owner].append(_extreme(max, numbers))
    return {owner: _merged(numbers, merge) for owner, numbers in found.items()}


def _merged(numbers: Sequence[float], merge: Merge) -> float:
    if merge is Merge.SUM:
        return sum(numbers)
    return _extreme(max if merge is Merge.MAX else min, numbers)


def _extreme(choose: Callable[[Iterable[float]], float], numbers: Sequence[float]) -> float:
    """The largest or smallest number; NaN only if all are NaN."""
    return choose([number for number in numbers if not math.isnan(number)] or [math.nan])


def histograms(page: Page, name: str, key: Callable[[LabelValues], Key]) -> dict[Key, HistogramValue]:
    """One histogram per key: the bounds that all its series have, and the sum if all of them report one."""
    buckets: dict[frozenset[tuple[str, str]], dict[float, float]] = defaultdict(dict)
    owners: dict[frozenset[tuple[str, str]], Key] = {}
    for values, value in page.get(f"{name}_bucket", ()):
        try:
            bound = float(values.get("le", ""))
        except ValueError:
            continue
        identity = frozenset(item for item in values.items() if item[0] != "le")
        buckets[identity][bound] = value
        owners[identity] = key(values)
    totals = {frozenset(values.items()): value for values, value in page.get(f"{name}_sum", ())}
    parts: dict[Key, list[tuple[dict[float, float], float | None]]] = defaultdict(list)
    for identity, counts in buckets.items():
        if math.inf in counts:
            parts[owners[identity]].append((counts, totals.get(identity)))
    return {owner: _joined(found) for owner, found in parts.items()}


def _joined(parts: Sequence[tuple[dict[float, float], float | None]]) -> HistogramValue:
    bounds = sorted(set.intersection(*[set(counts) for counts, _ in parts]))
    totals = [total for _, total in parts if total is not None]
    return HistogramValue(
        tuple((bound, sum(counts[bound] for counts, _ in parts)) for bound in bounds),
        sum(totals) if len(totals) == len(parts) else None,
    )
