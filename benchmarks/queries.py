"""Every query of every panel on a day of a fleet of 200 agents, in a real Prometheus; reports the slowest."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks import fleet_history
from benchmarks.figure import Figure, median
from dashboards.__main__ import all_dashboards
from dashboards.inventory import Question, questions
from servers import prometheus

BAR = 0.1
POINTS = 500
"""Points of a graph of half the screen width."""

_DAYS = {"1d": 86400}
_WINDOWS = {
    "$__rate_interval": "4m",  # Grafana's values for a day on half a screen: step and rate interval
    "$__interval": "3m",
    "$__range": "24h",
    "$__auto": "4m",
}


def _asked() -> tuple[tuple[str, Question], ...]:
    """The Prometheus queries of all panels, by dashboard title and panel."""
    return tuple(
        (f"{dashboard.title} / {question.where}", question)
        for dashboard in all_dashboards()
        for question in questions(dashboard.document(), _WINDOWS)
        if question.kind == "prometheus"
    )


def figures() -> list[Figure]:
    until = int(time.time()) // 60 * 60
    asked = _asked()
    with tempfile.TemporaryDirectory(prefix="fleet-history-") as folder:
        samples = _blocks(Path(folder), until)
        with (
            prometheus.start(
                config="{}", args=("--storage.tsdb.retention.time=30d",), data=Path(folder) / "blocks"
            ) as server,
            httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client,
        ):
            times = {name: _seconds(client, one, until) for name, one in asked}
    slowest = sorted(times, key=lambda one: times[one], reverse=True)
    over = sum(1 for seconds in times.values() if seconds > BAR)
    for one in slowest[:10]:
        print(f"{times[one] * 1000:7.1f} ms  {one}")
    middle = sorted(times.values())[len(times) // 2]
    return [
        Figure(
            f"slowest of {len(times)} panel queries, a day of {fleet_history.AGENTS} agents",
            f"{times[slowest[0]] * 1000:.0f} ms ({slowest[0]}; median {middle * 1000:.1f} ms)",
            "≤ 100 ms",
            over == 0,
            f"{samples / 1e6:.1f} million samples",
        )
    ]


def _blocks(folder: Path, until: int) -> int:
    """Write the history and create blocks of it. Returns the number of samples."""
    tool = prometheus.promtool()
    samples = 0
    for begin, end in fleet_history.pieces(until):
        text = folder / "piece.txt"
        samples += fleet_history.write(text, begin, end)
        command: list[str | Path] = [tool, "tsdb", "create-blocks-from", "openmetrics", text, folder / "blocks"]
        subprocess.run(command, check=True, capture_output=True)
        text.unlink()
    return samples


def _seconds(client: httpx.Client, one: Question, until: int) -> float:
    """Median seconds of one query over HTTP."""
    begin = until - fleet_history.HOURS * 3600
    step = max((until - begin) // (one.most_points or POINTS), _DAYS.get(one.least_step, 0))
    at = {"time": until - 60} if one.instant else {"start": begin, "end": until - 60, "step": step}
    path = "/api/v1/query" if one.instant else "/api/v1/query_range"

    def ask() -> None:
        response = client.post(path, data={"query": one.text} | {key: str(value) for key, value in at.items()})
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{one.where}: {response.text[:300]}")

    return median(ask, rounds=3)
