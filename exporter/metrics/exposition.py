"""Samples → a page, in the two formats Prometheus asks for, by joining: a sample is text already (`metric.py`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from exporter.metrics.metric import EXEMPLAR_MARK, Kind, Metric, Sample, Unit


class Format(StrEnum):
    """A page's format; the value is its Content-Type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiated(accept: str) -> Format:
    """The format that a client asked for; text for anything that OpenMetrics 1.0 would not satisfy.

    A client that prefers text by its q-values gets text: Prometheus and curl both mean what they send.
    """
    quality = {Format.TEXT: 0.0, Format.OPENMETRICS: 0.0}
    for part in accept.lower().split(","):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        try:
            weight = float(given.get("q", 1.0))
        except ValueError:
            continue
        if media == "application/openmetrics-text" and given.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            quality[Format.OPENMETRICS] = max(quality[Format.OPENMETRICS], weight)
        elif media in ("text/plain", "text/*", "*/*"):
            quality[Format.TEXT] = max(quality[Format.TEXT], weight)
    return Format.OPENMETRICS if quality[Format.OPENMETRICS] > quality[Format.TEXT] else Format.TEXT


def _header(metric: Metric, page_format: Format) -> str:
    if page_format is Format.TEXT:
        return f"# HELP {metric.name} {metric.help_text}\n# TYPE {metric.name} {metric.kind}\n"
    family = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    unit = Unit.SECONDS if metric.unit is Unit.TIMESTAMP else metric.unit
    unit_line = f"# UNIT {family} {unit}\n" if unit and family.endswith(f"_{unit}") else ""
    return f"# HELP {family} {metric.help_text}\n# TYPE {family} {metric.kind}\n{unit_line}"


_SUFFIX = re.compile(r"_(bucket|sum|count)$")


def _wanted(metric: Metric, names: Collection[str]) -> bool:
    """Whether `name[]` asks for this metric, by its own name or by that of one of a histogram's series."""
    if metric.name in names:
        return True
    return metric.kind is Kind.HISTOGRAM and any(_SUFFIX.sub("", name) == metric.name for name in names)


def grouped(samples: Iterable[Sample]) -> dict[Metric, list[str]]:
    """The lines of each metric together, as both formats demand, metrics in the order of their first sample."""
    groups: dict[Metric, list[str]] = {}
    for metric, _, text in samples:
        try:
            groups[metric].append(text)
        except KeyError:
            groups[metric] = [text]
    return groups


_EXEMPLAR = re.compile(f"{EXEMPLAR_MARK}[^\n]*")


def _exemplars_for(page_format: Format, text: str) -> str:
    """Lines with their exemplars as the format has them: OpenMetrics after the value, the text format not at all."""
    return _EXEMPLAR.sub("", text) if page_format is Format.TEXT else text.replace(EXEMPLAR_MARK, "")


def rendered(groups: Mapping[Metric, list[str]], page_format: Format, names: Collection[str] = ()) -> bytes:
    """The page as UTF-8; a lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    parts: list[str] = []
    for metric, texts in groups.items():
        if names and not _wanted(metric, names):
            continue
        parts.append(_header(metric, page_format))
        if metric.kind is Kind.HISTOGRAM:
            texts = [_exemplars_for(page_format, text) if EXEMPLAR_MARK in text else text for text in texts]
        parts.extend(texts)
    if page_format is Format.OPENMETRICS:
        parts.append("# EOF\n")
    return "".join(parts).encode("utf-8", "replace")
