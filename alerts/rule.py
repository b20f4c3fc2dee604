"""Alerting rules (AlertingRule) and recording rules (RecordingRule), validated on creation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from exporter.config.urls import GRAFANA_URL, RUNBOOK_URL
from exporter.metrics.promql import REPLICA_LABELS, Query, Series

PRODUCT: Final = "fleet-exporter"
"""Value of the `product` label, which Alertmanager routes by."""

COUNT: Final = '{{ $value | printf "%.0f" }}'
"""`$value` as a whole number: a bare value is 1.5e+06, and increase() extrapolates 3 to 3.07."""

VARIABLES: Final = frozenset(
    {
        "namespace", "story", "role", "agent", "model", "server", "stream", "consumer", "rayjob", "service", "workload"
    }
)  # fmt: skip
"""Dashboard variables; each has the name of the label that it filters by."""

_NAME = re.compile(r"[A-Z][A-Za-z0-9]+")
_RECORD = re.compile(r"fleet:[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_LABEL = re.compile(r"\$labels\.(\w+)")


class Severity(StrEnum):
    """CRITICAL pages, WARNING is for working hours, INFO is not sent; NONE is for the Watchdog only."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    NONE = "none"


class Component(StrEnum):
    """Affected component; alerts are grouped and inhibited by it."""

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
class AlertingRule:
    """One alerting rule. Raises ValueError if it is incomplete, or uses an unknown label, variable or threshold.

    `summary` is the same for all alerts of a name, because a notification of several alerts shows it once; `description`
    has the object and the value, with `{{ $labels.x }}` and `{{ $value }}`. `catches` is an example of a fault that this
    alert reports before any other, without labels: an alert without one is not needed. `for_` and `keep_firing_for` are
    Prometheus' fields. `variables` are the labels that filter the dashboard `view`. `down` marks an alert that means that
    a whole component is down or cannot be read. `limits` are the names of its constants in `alerts.thresholds`.
    `by_instance` keeps the labels of the exporter instance, which all other alerts drop.
    """

    name: str
    query: Query
    severity: Severity
    component: Component
    summary: str
    description: str
    catches: str
    view: DashboardUid
    variables: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    for_: str = "0m"
    keep_firing_for: str = ""
    down: bool = False
    by_instance: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no alert name: expected CamelCase, such as NatsDown")
        if not self.summary or not self.description.endswith("."):
            raise ValueError(f"{self.name}: the summary is missing, or the description does not end with a period")
        if not self.catches.endswith(".") or "{{" in self.catches:
            raise ValueError(
                f"{self.name}: expected one sentence without labels about the fault that only this alert catches"
            )
        if "{{" in self.summary:
            raise ValueError(
                f"{self.name}: the summary must be the same for all alerts; move labels and values to the description"
            )
        known = self.query.labels.union(self.labels)
        for label in (*_LABEL.findall(self.description), *self.variables):
            if label not in known or (label in REPLICA_LABELS and not self.by_instance):
                raise ValueError(f"{self.name}: its text or link uses the label {label}, which its query does not have")
        for variable in self.variables:
            if variable not in VARIABLES:
                raise ValueError(f"{self.name}: no dashboard has a variable {variable}")
        for limit in self.limits:
            if not hasattr(thresholds, limit):
                raise ValueError(f"{self.name}: alerts.thresholds has no {limit}")

    @property
    def expression(self) -> str:
        """The query without instance labels: several exporters or a restarted pod make one alert, not several."""
        if self.by_instance or not self.query.labels.intersection(REPLICA_LABELS):
            return self.query.text
        return self.query.without("max").text

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK_URL}/{self.name}.md"

    @property
    def dashboard(self) -> str:
        """Dashboard link; Prometheus fills in the variables."""
        filled = "&".join(f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in self.variables)
        return f"{GRAFANA_URL}/d/{self.view}{'?' if filled else ''}{filled}"

    @property
    def document(self) -> dict[str, Any]:
        """The rule in Prometheus' rule file format."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.for_,
            **({"keep_firing_for": self.keep_firing_for} if self.keep_firing_for else {}),
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
class RecordingRule:
    """One recording rule, for a query that is slow or used more than once: `fleet:<object>:<operation>`."""

    name: str
    query: Query
    meaning: str

    def __post_init__(self) -> None:
        if not _RECORD.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no recording rule name: expected fleet:<object>:<operation>")
        if self.query.labels.intersection(REPLICA_LABELS):
            raise ValueError(f"{self.name}: expected no instance labels; aggregate with `without`")
        if not self.meaning.endswith("."):
            raise ValueError(f"{self.name}: its meaning does not end with a period")

    @property
    def series(self) -> Series:
        """The recorded series, for use in alerts and dashboards."""
        return Series(self.name, self.query.labels, name=self.name)

    @property
    def document(self) -> dict[str, Any]:
        """The rule in Prometheus' rule file format."""
        return {"record": self.name, "expr": self.query.text}
