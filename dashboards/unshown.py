"""Metrics that no dashboard, alert or recorded query has, each with the reason."""

from __future__ import annotations

from typing import Final

from exporter.metric import Metric
from exporter.sources.jetstream import samples as jetstream

UNSHOWN: Final[dict[Metric, str]] = {
    jetstream.STREAM_FIRST: "The age of a stream's oldest message says what its sequence cannot.",
}
