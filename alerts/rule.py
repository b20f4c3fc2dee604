"""A Rule is one alert, a Recording one recorded query; each is refused where it is made when it would help nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from alerts import thresholds
from alerts.view import View
from exporter.metrics.promql import REPLICA_LABELS, Query, Series
from exporter.urls import GRAFANA_URL, RUNBOOK_URL

PRODUCT: Final = "fleet-exporter"
"""The label by which Alertmanager tells our alerts from others."""

COUNT: Final = '{{ $value | printf "%.0f" }}'
"""A description's number of things: a bare value is 1.5e+06 for many, and 3.07 for three that a window stretches."""

VARIABLES: Final = frozenset(
    {
        "namespace", "story", "role", "agent", "model", "server", "stream", "consumer", "rayjob", "service", "workload"
    }
)  # fmt: skip
"""Variables that dashboards have, each named like the label it filters by."""

_NAME = re.compile(r"[A-Z][A-Za-z0-9]+")
_RECORD = re.compile(r"fleet:[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_LABEL = re.compile(r"\$labels\.(\w+)")


class Severity(StrEnum):
    """CRITICAL wakes somebody, WARNING is for working hours, INFO is never sent; NONE is the Watchdog's alone."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    NONE = "none"


class Component(StrEnum):
    """What is wrong, or may be: alerts are grouped and inhibited by it."""

    FLEET = "fleet"
    NATS = "nats"
    RAY = "ray"
    VLLM = "vllm"
    NEO4J = "neo4j"
    VALKEY = "valkey"
    KUBERNETES = "kubernetes"
    SERVICES = "services"
    BOARD = "board"
    COSTS = "costs"
    BROKER = "broker"
    EXPORTER = "exporter"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One alert. Raises ValueError for one that is not complete, or that names what is not there.

    `summary` is one sentence that is the same for all alerts of the name, since a notification of several shows it once;
    `description` says which one and how much, with `{{ $labels.x }}` and `{{ $value }}`. `lasting` is how long the query
    must hold before anyone is told, `kept` how long the alert goes on after it does no longer. `variables` are labels
    that the dashboard `view` is opened with. `down` marks an alert that says of a whole component that it is down or
    cannot be read. `limits` names the constants of `alerts.thresholds` that it has. `told_by_replica` keeps the labels
    that tell one exporter from another, which all other alerts drop.
    """

    name: str
    query: Query
    severity: Severity
    component: Component
    summary: str
    description: str
    view: View
    variables: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    lasting: str = "0m"
    kept: str = ""
    down: bool = False
    told_by_replica: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of an alert: words with capitals and nothing between are")
        if not self.summary or not self.description.endswith("."):
            raise ValueError(f"{self.name}: the summary is missing, or the description is no sentence")
        if "{{" in self.summary:
            raise ValueError(
                f"{self.name}: the summary is one for all of its alerts; labels and values go to the description"
            )
        known = self.query.labels.union(self.labels)
        for label in (*_LABEL.findall(self.description), *self.variables):
            if label not in known or (label in REPLICA_LABELS and not self.told_by_replica):
                raise ValueError(f"{self.name}: its text or link names the label {label}, which its query does not have")
        for variable in self.variables:
            if variable not in VARIABLES:
                raise ValueError(f"{self.name}: no dashboard has a variable {variable}")
        for limit in self.limits:
            if not hasattr(thresholds, limit):
                raise ValueError(f"{self.name}: alerts.thresholds has no {limit}")

    @property
    def expression(self) -> str:
        """The query, told once however many exporters tell it: a restarted pod does not make another alert of it."""
        if self.told_by_replica or not self.query.labels.intersection(REPLICA_LABELS):
            return self.query.text
        return self.query.without("max").text

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK_URL}/{self.name}.md"

    @property
    def dashboard(self) -> str:
        """The link, its variables filled in by Prometheus."""
        filled = "&".join(f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in self.variables)
        return f"{GRAFANA_URL}/d/{self.view}{'?' if filled else ''}{filled}"

    @property
    def document(self) -> dict[str, Any]:
        """The rule as Prometheus has it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasting,
            **({"keep_firing_for": self.kept} if self.kept else {}),
            "labels": {
                "severity": str(self.severity),
                "component": str(self.component),
                "product": PRODUCT,
                **({"kind": "down"} if self.down else {}),
                **self.labels,
            },
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": self.runbook,
                "dashboard_url": self.dashboard,
            },
        }


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A query that is slow or used twice, kept as a series of its own: `fleet:<what>:<how>`."""

    name: str
    query: Query
    meaning: str

    def __post_init__(self) -> None:
        if not _RECORD.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a recorded series: fleet:<what>:<how> is")
        if self.query.labels.intersection(REPLICA_LABELS):
            raise ValueError(f"{self.name}: it is recorded for each exporter by itself; aggregate with `without`")
        if not self.meaning.endswith("."):
            raise ValueError(f"{self.name}: its meaning is no sentence")

    @property
    def series(self) -> Series:
        """What is recorded, to be asked for by alerts and dashboards."""
        return Series(self.name, self.query.labels, name=self.name)

    @property
    def document(self) -> dict[str, Any]:
        """The rule as Prometheus has it."""
        return {"record": self.name, "expr": self.query.text}
