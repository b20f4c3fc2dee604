"""Exposition: joins samples into a page in the two formats of Prometheus; samples are rendered in `metric.py`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from exporter.metrics.metric import Kind, Metric, Sample, Unit


class ExpositionFormat(StrEnum):
    """A page's format; the value is its Content-Type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiated(accept: str) -> ExpositionFormat:
    """The format from the Accept header; text unless OpenMetrics 1.0 is accepted.

    The q-values of Prometheus and curl are honored.

    """
    quality = {ExpositionFormat.TEXT: 0.0, ExpositionFormat.OPENMETRICS: 0.0}
    for part in accept.lower().split(","):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        try:
            weight = float(given.get("q", 1.0))
        except ValueError:
            continue
        if media == "application/openmetrics-text" and given.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            quality[ExpositionFormat.OPENMETRICS] = max(quality[ExpositionFormat.OPENMETRICS], weight)
        elif media in ("text/plain", "text/*", "*/*"):
            quality[ExpositionFormat.TEXT] = max(quality[ExpositionFormat.TEXT], weight)
    return (
        ExpositionFormat.OPENMETRICS
        if quality[ExpositionFormat.OPENMETRICS] > quality[ExpositionFormat.TEXT]
        else ExpositionFormat.TEXT
    )


def _header(metric: Metric, page_format: ExpositionFormat) -> str:
    if page_format is ExpositionFormat.TEXT:
        return f"# HELP {metric.name} {metric.help_text}\n# TYPE {metric.name} {metric.kind}\n"
    family = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    unit = Unit.SECONDS if metric.unit is Unit.TIMESTAMP else metric.unit
    unit_line = f"# UNIT {family} {unit}\n" if unit and family.endswith(f"_{unit}") else ""
    return f"# HELP {family} {metric.help_text}\n# TYPE {family} {metric.kind}\n{unit_line}"


_SUFFIX = re.compile(r"_(bucket|sum|count)$")


def _wanted(metric: Metric, names: Collection[str]) -> bool:
    """Whether `name[]` selects this metric, by its name or by the name of a histogram series."""
    if metric.name in names:
        return True
    return metric.kind is Kind.HISTOGRAM and any(_SUFFIX.sub("", name) == metric.name for name in names)


def grouped(samples: Iterable[Sample]) -> dict[Metric, list[Sample]]:
    """Samples grouped by metric, as both formats require, in the order of each metric's first sample."""
    groups: dict[Metric, list[Sample]] = {}
    for sample in samples:
        try:
            groups[sample[0]].append(sample)
        except KeyError:
            groups[sample[0]] = [sample]
    return groups


def _with_exemplars(sample: Sample) -> str:
    """The lines of a histogram, its buckets first, each with its exemplar."""
    lines = sample.text.split("\n")
    for index, exemplar in enumerate(sample.exemplars):
        if exemplar is not None:
            lines[index] += exemplar.text
    return "\n".join(lines)


def rendered(groups: Mapping[Metric, Iterable[Sample]], page_format: ExpositionFormat, names: Collection[str] = ()) -> bytes:
    """The page as UTF-8; lone surrogates become question marks."""
    parts: list[str] = []
    for metric, samples in groups.items():
        if names and not _wanted(metric, names):
            continue
        parts.append(_header(metric, page_format))
        if metric.kind is Kind.HISTOGRAM and page_format is ExpositionFormat.OPENMETRICS:
            parts.extend([_with_exemplars(sample) if sample.exemplars else sample.text for sample in samples])
        else:
            parts.extend([sample[2] for sample in samples])
    if page_format is ExpositionFormat.OPENMETRICS:
        parts.append("# EOF\n")
    return "".join(parts).encode("utf-8", "replace")
