"""For each alert, series for which it fires (at its threshold), and series for which it does not."""

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
