"""The rules and routes of the demo: as in production, with shorter durations, so that an alert fires within seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from alerts.alertmanager.options import Pace, Route

SCRAPE_SECONDS: Final = 2
EVALUATION_SECONDS: Final = 1

_RANGES, _FOR = 30, 60
"""Divisors of ranges and of `for`."""
_SHORTEST_WINDOW = 8 * SCRAPE_SECONDS
"""A rate needs several scrapes in its range, else a late one leaves it without a value."""
_SHORTEST_FOR = 4 * SCRAPE_SECONDS
"""The first scrape comes some seconds after Prometheus starts; until then its target looks down."""
_SHORTEST_KEPT = 3 * SCRAPE_SECONDS
_SHORTEST_STEP = SCRAPE_SECONDS

PACES: Final[Mapping[Route, Pace]] = {
    Route.CRITICAL: Pace("1s", "2s", "1h"),
    Route.WARNING: Pace("1s", "2s", "1h"),
    Route.HEARTBEAT: Pace("0s", "2s", "10s"),
}

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_RANGE = re.compile(rf"\[(?P<window>{_DURATION})(?P<subquery>:(?P<step>{_DURATION})?)?\]")
_OFFSET = re.compile(rf"\boffset (?P<back>{_DURATION})")


def seconds(duration: str) -> float:
    """A Prometheus duration such as 1h30m, in seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def faster(rules: str) -> str:
    """A rule file with shorter ranges, `for` and `keep_firing_for`. Thresholds stay, also those in seconds."""
    document = yaml.safe_load(rules)
    for group in document["groups"]:
        group.pop("interval", None)
        group["rules"] = [_rule(rule) for rule in group["rules"]]
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    changed = rule | {"expr": _OFFSET.sub(_offset, _RANGE.sub(_range, rule["expr"]))}
    if "for" in rule:
        changed["for"] = _shorter(rule["for"], _FOR, _SHORTEST_FOR)
    if "keep_firing_for" in rule:
        changed["keep_firing_for"] = _shorter(rule["keep_firing_for"], _RANGES, _SHORTEST_KEPT)
    return changed


def _range(found: re.Match[str]) -> str:
    window = _shorter(found["window"], _RANGES, _SHORTEST_WINDOW)
    step = _shorter(found["step"], _RANGES, _SHORTEST_STEP) if found["step"] else ""
    return f"[{window}{':' if found['subquery'] else ''}{step}]"


def _offset(found: re.Match[str]) -> str:
    return f"offset {_shorter(found['back'], _RANGES, _SHORTEST_STEP)}"


def _shorter(duration: str, times: int, shortest: float) -> str:
    """Divided by `times`, but at least `shortest` and never longer than it was."""
    now = seconds(duration)
    return f"{round(min(now, max(now / times, shortest)) * 1000)}ms"
