"""Kubernetes quantities (`500m`, `16Gi`, `2e3`) as numbers. Pure."""

from __future__ import annotations

import re
from typing import Final

_QUANTITY: Final = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE]?)")
_SCALES: Final = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3} | {
    unit: float(1000**power) for power, unit in enumerate("MGTPE", start=2)
} | {f"{unit}i": float(1024**power) for power, unit in enumerate("KMGTPE", start=1)}  # fmt: skip


def quantity(value: str | float | None) -> float | None:
    """A Kubernetes quantity (`500m`, `16Gi`, `2`) as a number; None if absent or invalid."""
    if value is None or isinstance(value, int | float):
        return value
    match = _QUANTITY.fullmatch(value.strip())
    if match is None:
        return None
    number, suffix = match.groups()
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix != "Ei":
        return float(number + suffix)
    return float(number) * _SCALES[suffix]
