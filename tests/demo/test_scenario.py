"""The simulated fleet without faults stays within the thresholds of the alerts."""

from __future__ import annotations

import itertools

from alerts.thresholds import LATENCY_SECONDS
from demo.scenario.fleet import SimulatedFleet


def test_no_response_is_slower_than_the_latency_alert_allows() -> None:
    """One is a twentieth of the responses in a short range, and so the p95."""
    steps = itertools.islice(SimulatedFleet().steps(), 5000)
    seconds = [response.seconds for step in steps for response in step.responses]

    assert len(seconds) > 1000
    assert max(seconds) < LATENCY_SECONDS
