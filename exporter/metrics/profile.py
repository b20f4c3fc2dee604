"""Profiles: all series, or only those that the alerts and the overview dashboard select. Pure.

The selectors of the essential profile are in `exporter/essential.txt`, derived from the rules and the dashboard by
`make generate`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from importlib import resources
from typing import Final, NamedTuple

from exporter.metrics.metric import Kind, Metric, Sample

SELECTOR: Final = re.compile(r'(?<![\w:"$.])([a-z_][a-z0-9_:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?')
"""A series name in PromQL, and its matchers if there are any; also matches functions and labels."""
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_SERIES = ("_bucket", "_sum", "_count")


def _unquoted(value: str) -> str:
    """The text between quotes of PromQL or of a label in the text format."""
    return str(json.loads(f'"{value}"', strict=False))


class Profile(StrEnum):
    """ESSENTIAL keeps the series of the alerts and the overview."""

    FULL = "full"
    ESSENTIAL = "essential"


class Condition(NamedTuple):
    """A label matcher, with the pattern of its whole value."""

    label: str
    is_equal: bool
    pattern: re.Pattern[str]

    def fits(self, line: str) -> bool:
        """Whether a line of the text format has such a label; a label that it does not have is empty."""
        found = re.search(rf'[{{,]{self.label}="((?:[^"\\]|\\.)*)"', line)
        value = found[1] if found else ""
        return (self.pattern.fullmatch(_unquoted(value) if "\\" in value else value) is not None) is self.is_equal


def matchers(text: str) -> list[tuple[str, str, str]]:
    """(label, operator, quoted value) of a selector, without matchers that every series with the label fits."""
    everything = {("=~", ".*"), ("=~", ".+"), ("!=", "")}
    found = _MATCHER.findall(text)
    return [(label, operator, value) for label, operator, value in found if (operator, value) not in everything]


def conditions(text: str) -> tuple[Condition, ...]:
    """The matchers between the braces of a selector; a histogram's buckets stay together."""
    return tuple(
        Condition(
            label,
            operator[0] == "=",
            re.compile(_unquoted(value) if "~" in operator else re.escape(_unquoted(value)), re.DOTALL),
        )
        for label, operator, value in matchers(text)
        if label != "le"
    )


class Selection:
    """Series that at least one of the selectors fits; a histogram is kept as a whole."""

    def __init__(self, selectors: Iterable[str]) -> None:
        self._wanted: dict[str, list[tuple[Condition, ...]]] = {}
        for text in selectors:
            found = SELECTOR.fullmatch(text)
            if found is None:
                raise ValueError(f"{text!r}: expected a PromQL selector")
            self._wanted.setdefault(found[1], []).append(conditions(found[2] or ""))

    def _conditions(self, metric: Metric) -> list[tuple[Condition, ...]]:
        names = [metric.name]
        if metric.kind is Kind.HISTOGRAM:
            names = [metric.name + suffix for suffix in _SERIES]
        return [each for name in names for each in self._wanted.get(name, ())]

    def kept(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples with their selected lines."""
        by_metric: dict[Metric, list[tuple[Condition, ...]]] = {}
        for sample in samples:
            metric = sample.metric
            wanted = by_metric.get(metric)
            if wanted is None:
                wanted = by_metric[metric] = self._conditions(metric)
            if () in wanted:
                yield sample
            elif wanted:
                lines = sample.text.splitlines(keepends=True)
                selected = [line for line in lines if any(all(one.fits(line) for one in each) for each in wanted)]
                if selected:
                    yield sample if len(selected) == len(lines) else sample._replace(text="".join(selected))


def essential() -> Selection:
    """The series of the alerts and the overview."""
    text = resources.files("exporter").joinpath("essential.txt").read_text(encoding="utf-8")
    return Selection(line for line in text.splitlines() if not line.startswith("#"))
