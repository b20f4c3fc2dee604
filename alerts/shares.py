"""Shares of failures, defined once for rules and dashboards."""

from __future__ import annotations

from collections.abc import Callable

from exporter.metrics.promql import Series, like
from exporter.sources.fleet import samples as fleet
from exporter.sources.vllm import mappings as vllm


def responses(select: Callable[..., Series]) -> tuple[Series, Series]:
    """Failed agent responses, and all counted ones: completed or failed, not approvals, rejections and questions.

    `select` returns the series of a metric that match further labels.

    """
    return select(fleet.RESPONSES, outcome="failed"), select(fleet.RESPONSES, outcome=like("completed|failed"))


def requests(select: Callable[..., Series]) -> tuple[Series, Series]:
    """Requests to vLLM that ended in an error or were aborted, and all that finished; `select` takes a mapping."""
    return select(vllm.FINISHED, finished_reason=like("error|abort")), select(vllm.FINISHED)
