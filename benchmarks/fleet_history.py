"""A day of a fleet of 200 agents as OpenMetrics text: all metrics and recording rules, with a realistic number of series.

Written in pieces of two hours, the block size of Prometheus, to limit memory. Values change realistically: counters
increase, and one state of each state set is 1 at a time.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from alerts.rules import RECORDINGS
from exporter.metrics.metric import Kind, Metric, number
from exporter.metrics.promql import SCRAPE_LABELS
from exporter.reference import metric_groups

AGENTS = 200
STEP = 30
HOURS = 24
PIECE = 2 * 3600

_ROLES = ("DEV", "QA", "ARCHITECT", "DEVOPS", "DATA", "PM")
_BOUNDS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, math.inf)
_SCRAPED = 'instance="exporter:9847",job="fleet-exporter"'

_ENTITIES: tuple[tuple[str, Sequence[Mapping[str, str]]], ...] = (
    ("model tool agent status", [
        {"model": f"model-{index % 3}", "tool": "edit", "agent": f"agent-{index:03}", "status": "success"}
        for index in range(AGENTS)
    ]),
    ("agent status type mode", [
        {"agent": f"agent-{index:03}", "status": "online", "type": "claude", "mode": "async"} for index in range(AGENTS)
    ]),
    ("agent type", [{"agent": f"agent-{index:03}", "type": "TimeoutError"} for index in range(AGENTS)]),
    ("column agent priority status", [
        {"column": "assigned", "agent": f"agent-{index:03}", "priority": "high", "status": "assigned"}
        for index in range(AGENTS)
    ]),
    ("agent role", [{"agent": f"agent-{index:03}", "role": _ROLES[index % 6]} for index in range(AGENTS)]),
    ("agent", [{"agent": f"agent-{index:03}"} for index in range(AGENTS)]),
    ("stream consumer", [{"stream": f"STREAM_{index % 9}", "consumer": f"service-consumer-{index}"} for index in range(40)]),
    ("stream", [{"stream": f"STREAM_{index}"} for index in range(9)]),
    ("namespace rayjob raycluster role", [
        {"namespace": "fleet", "rayjob": f"deliberation-{index}", "raycluster": "ray-0", "role": _ROLES[index % 6]}
        for index in range(100)
    ]),
    ("namespace rayjob", [{"namespace": "fleet", "rayjob": f"deliberation-{index}"} for index in range(100)]),
    ("namespace raycluster", [{"namespace": "fleet", "raycluster": f"ray-{index}"} for index in range(2)]),
    (
        "namespace kind workload",
        [{"namespace": "fleet", "kind": "Deployment", "workload": f"workload-{index}"} for index in range(20)],
    ),
    ("namespace workload", [{"namespace": "fleet", "workload": f"workload-{index}"} for index in range(20)]),
    ("server model engine", [{"server": f"vllm-{index}:8000", "model": "Qwen3", "engine": "0"} for index in range(4)]),
    ("service address", [{"service": f"service-{index}", "address": f"10.0.0.{index}:50051"} for index in range(7)]),
    ("source server", [{"source": f"source-{index}", "server": f"server-{index}"} for index in range(12)]),
    ("family subject producer outcome", [
        {"family": f"family{index % 7}", "subject": f"family{index % 7}.subject{index}", "producer": f"service-{index % 7}",
         "outcome": "completed" if index % 5 else "failed"} for index in range(80)
    ]),
    ("database start type end", [
        {"database": "neo4j", "start": f"Label{index % 12}", "type": f"TYPE_{index}", "end": f"Label{index % 11}"}
        for index in range(40)
    ]),
)  # fmt: skip
_VALUES: Mapping[str, Sequence[str]] = {
    "role": _ROLES,
    "source": [f"source-{index}" for index in range(12)],
    "command": [f"command{index}" for index in range(20)],
    "label": [f"Label{index}" for index in range(12)],
    "type": [f"TYPE_{index}" for index in range(10)],
    "from_stage": ("draft", "design", "build", "test"),
    "to_stage": ("draft", "design", "build", "test"),
    "stage": ("draft", "design", "build", "test", "docs", "done"),
    "outcome": ("completed", "failed"),
    "column": ("inbox", "assigned", "done"),
    "period": ("day", "month", "total"),
    "concept": [f"concept{index}" for index in range(6)],
}


def pieces(until: int) -> Iterator[tuple[int, int]]:
    """Start and end, in seconds since 1970, of each two-hour block of the day before `until`, aligned as Prometheus
    blocks.
    """
    begin = until - HOURS * 3600
    for start in range(begin - begin % PIECE, until, PIECE):
        yield max(start, begin), min(start + PIECE, until)


def write(path: Path, begin: int, end: int) -> int:
    """Write the samples of that time. Returns their number."""
    times = range(begin - begin % STEP + STEP, end, STEP)
    written = 0
    seen = set()
    with path.open("w") as file:
        for metric in itertools.chain.from_iterable(metric_groups().values()):
            if metric in seen:
                continue
            seen.add(metric)
            kind = "counter" if metric.kind is Kind.COUNTER else str(metric.kind)
            family = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
            file.write(f"# TYPE {family} {kind}\n")
            states = metric.labels[-1:] if metric.states else ()
            for place, labels in enumerate(_label_sets(set(metric.labels).difference(states))):
                for head, tails in _series(metric, labels, place, times):
                    file.write(head + head.join(tails))
                    written += len(tails)
        for recording in RECORDINGS:
            file.write(f"# TYPE {recording.name} gauge\n")
            for place, labels in enumerate(_label_sets(recording.series.labels - SCRAPE_LABELS)):
                own = "".join(f'{label}="{value}",' for label, value in labels.items())
                head, tails = f'{recording.name}{{{own}job="fleet-exporter"}} ', _waving(1 + place % 9, times)
                file.write(head + head.join(tails))
                written += len(tails)
        file.write("# EOF\n")
    return written


def _label_sets(names: Collection[str]) -> Iterator[dict[str, str]]:
    """Label sets for these label names; labels of one object stay together."""
    open_labels = sorted(names)
    parts: list[Sequence[Mapping[str, str]]] = []
    for thing, entities in _ENTITIES:
        if set(thing.split()) <= set(open_labels):
            parts.append(entities)
            open_labels = [label for label in open_labels if label not in thing.split()]
    parts += [[{label: value} for value in _VALUES.get(label, (f"{label}-0", f"{label}-1"))] for label in open_labels]
    for combined in itertools.product(*parts):
        yield {label: value for part in combined for label, value in part.items()}


def _series(metric: Metric, labels: Mapping[str, str], place: int, times: range) -> Iterator[tuple[str, list[str]]]:
    """The text before the value, and "value time" of each scrape, for each series of a label set."""
    own = "".join(f'{label}="{value}",' for label, value in labels.items())
    if metric.states:
        for index, state in enumerate(metric.states):
            turn = (place - index) % len(metric.states)
            yield f'{metric.name}{{{own}{metric.labels[-1]}="{state}",{_SCRAPED}}} ', _turns(turn, len(metric.states), times)
    elif metric.kind is Kind.HISTOGRAM:
        for index, bound in enumerate(_BOUNDS):
            share = (index + 1) / len(_BOUNDS)
            yield f'{metric.name}_bucket{{{own}le="{number(bound)}",{_SCRAPED}}} ', _rising(share, times)
        yield f"{metric.name}_sum{{{own}{_SCRAPED}}} ", _rising(2.0, times)
        yield f"{metric.name}_count{{{own}{_SCRAPED}}} ", _rising(1.0, times)
    elif metric.kind is Kind.COUNTER:
        yield f"{metric.name}{{{own}{_SCRAPED}}} ", _rising(1 + place % 7, times)
    elif metric.name.endswith("_info"):
        yield f"{metric.name}{{{own}{_SCRAPED}}} ", _constant(times)
    elif metric.name.endswith("_timestamp_seconds"):
        yield f"{metric.name}{{{own}{_SCRAPED}}} ", _recent(60 * (1 + place % 9), times)
    else:
        yield f"{metric.name}{{{own}{_SCRAPED}}} ", _waving(1 + place % 9, times)


@functools.lru_cache(maxsize=512)
def _rising(pace: float, times: range) -> list[str]:
    return [f"{int((at % 10_000_000) * pace * (1 + 0.1 * math.sin(at / 7000)))} {at}\n" for at in times]


@functools.lru_cache(maxsize=512)
def _waving(size: int, times: range) -> list[str]:
    return [f"{size * (1 + 0.5 * math.sin(at / 900 + size)):.3f} {at}\n" for at in times]


@functools.lru_cache(maxsize=512)
def _turns(turn: int, states: int, times: range) -> list[str]:
    return [f"{int((at // 600 + turn) % states == 0)} {at}\n" for at in times]


@functools.lru_cache(maxsize=64)
def _recent(age: int, times: range) -> list[str]:
    return [f"{at - age} {at}\n" for at in times]


@functools.lru_cache(maxsize=4)
def _constant(times: range) -> list[str]:
    return [f"1 {at}\n" for at in times]
