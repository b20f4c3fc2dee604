"""Quantities of Kubernetes as numbers."""

from __future__ import annotations

import pytest

from exporter.clients.quantity import quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", 2), ("500m", 0.5), ("16Gi", 16 * 1024**3), ("1e3", 1000), ("1E", 1e18), ("2Ei", 2 * 1024**6), ("3k", 3000),
        (4, 4), (None, None), ("", None), ("many", None), ("1.5G", 1.5e9), (".5", 0.5),
    ],
)  # fmt: skip
def test_quantities(text: str | int | None, expected: float | None) -> None:
    assert quantity(text) == expected
