"""A snapshot as one row per engine, for the API. Pure."""

from __future__ import annotations

import math
from typing import Any

from exporter.sources.vllm.mappings import ENGINE_LABELS
from exporter.sources.vllm.page import VllmSnapshot
from exporter.sources.vllm.series import Key


def _finite(value: float | None) -> float | None:
    """The value, or None for NaN and infinity, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None


def engines(snapshot: VllmSnapshot) -> list[dict[str, Any]]:
    """One row per engine: `metric: value`, or `metric: {label value: value}` if a metric has another label.

    A histogram is its count, sum and mean; the sum is null if the server does not report it.
    """
    found: dict[Key, dict[str, Any]] = {}

    def row_of(key: Key) -> dict[str, Any]:
        who = (snapshot.server, *key)[: len(ENGINE_LABELS)]
        return found.setdefault(who, dict(zip(ENGINE_LABELS, who, strict=True)))

    for mapping, numbers in snapshot.numbers.items():
        for key, value in numbers.items():
            if other := key[len(ENGINE_LABELS) - 1 :]:
                row_of(key).setdefault(mapping.metric.name, {})["/".join(other)] = _finite(value)
            else:
                row_of(key)[mapping.metric.name] = _finite(value)
    for mapping, distributions in snapshot.histograms.items():
        for key, distribution in distributions.items():
            row_of(key)[mapping.metric.name] = {
                "count": _finite(distribution.count),
                "sum": _finite(distribution.total),
                "mean": _finite(distribution.mean),
            }
    return [found[who] for who in sorted(found)]
