"""Pages of the exporter as Prometheus stores them over time, evaluated with the production rules by promtool."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from tests.support.pages import Page

RULES = Path(__file__).parents[2] / "deploy/helm/files/alerts.yaml"
STEP = 30
"""Seconds between two scrapes, and between two evaluations."""
EPOCH = 1_800_000_000.0
"""The time of the first scrape, in Unix seconds; promtool starts at 0, so it is subtracted from timestamps."""
JOB = "fleet-exporter"

Scrape = Page | None
"""The page of one scrape; None if Prometheus does not scrape."""

_FIRED = re.compile(r'alertname="(\w+)"')


def steps(minutes: float) -> int:
    """The number of scrapes in that time."""
    return int(minutes * 60 / STEP)


def at(step: int) -> float:
    """The time of a scrape, in Unix seconds."""
    return EPOCH + step * STEP


def aged(page: Page, collected: float, now: float) -> Page:
    """A page of a real server collected at one time as if it had been collected at another: timestamps keep their ages."""
    return {name: value + now - collected if _is_timestamp(name) else value for name, value in page.items()}


def skewed(page: Page, seconds: float) -> Page:
    """The page of an exporter and backends with clocks that are ahead by this much."""
    return {name: value + seconds if _is_timestamp(name) else value for name, value in page.items()}


def firing(promtool: Path, folder: Path, targets: Mapping[str, Sequence[Scrape]]) -> set[str]:
    """Critical alerts and warnings that fire at any evaluation; `targets` are the scrapes of each instance."""
    length = max(len(scrapes) for scrapes in targets.values())
    inputs = [one for instance, scrapes in targets.items() for one in _inputs(instance, scrapes)]
    window = f"{length * STEP}s"
    query = f'count by (alertname) (count_over_time(ALERTS{{alertstate="firing",severity=~"critical|warning"}}[{window}]))'
    step = f"{STEP}s"
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": step,
        "tests": [
            {
                "interval": step,
                "input_series": inputs,
                "promql_expr_test": [{"expr": query, "eval_time": window, "exp_samples": []}],
            }
        ],
    }
    file = folder / "quiet.yaml"
    file.write_text(yaml.dump(test, Dumper=yaml.CSafeDumper, width=1_000_000))
    done = subprocess.run(
        [promtool, "test", "rules", file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    found = set(_FIRED.findall(done.stdout))
    assert found or "SUCCESS" in done.stdout, done.stdout[-2000:]
    return found


def _inputs(instance: str, scrapes: Sequence[Scrape]) -> Iterable[dict[str, str]]:
    """Each series with its values, `stale` where it disappears and `_` where a scrape is missing."""
    names = dict.fromkeys(name for page in scrapes if page is not None for name in page)
    yield {"series": _labeled("up", instance), "values": " ".join("_" if page is None else "1" for page in scrapes)}
    for name in names:
        values, present = [], False
        for page in scrapes:
            if page is None:
                values.append("_")
            elif name in page:
                present = True
                values.append(_number(name, page[name]))
            else:
                values.append("stale" if present else "_")
                present = False
        yield {"series": _labeled(name, instance), "values": " ".join(values)}


def _labeled(name: str, instance: str) -> str:
    metric, _, labels = name.rstrip("}").partition("{")
    return f'{metric}{{{labels}{"," if labels else ""}job="{JOB}",instance="{instance}"}}'


def _number(name: str, value: float) -> str:
    shown = value - EPOCH if _is_timestamp(name) else value
    return "_" if shown != shown else repr(round(shown, 6))


def _is_timestamp(name: str) -> bool:
    return name.partition("{")[0].endswith("_timestamp_seconds")
