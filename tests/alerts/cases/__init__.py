"""For each alert, series at its threshold that make it fire, and series just below it, or beside it, that do not."""

from __future__ import annotations

from tests.alerts.case import Case
from tests.alerts.cases import board, fleet, nats, ray, self_monitoring, stores, vllm, workloads

CASES: dict[str, Case] = {
    **self_monitoring.CASES,
    **fleet.CASES,
    **nats.CASES,
    **ray.CASES,
    **vllm.CASES,
    **stores.CASES,
    **workloads.CASES,
    **board.CASES,
}
