"""Variables at the top of a dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from exporter.config import urls
from exporter.metrics import process
from exporter.metrics.promql import Query


@dataclass(frozen=True)
class Variable:
    """A variable with the values of a label; `query` returns the series that have it."""

    name: str
    label: str
    title: str
    description: str
    query: str
    hidden: bool = False
    """Links and the URL set it; the dashboard does not show it."""
    optional: bool = False
    """Some series lack the label, so "All" must match them too."""

    def document(self) -> dict[str, Any]:
        """The variable in Grafana's JSON."""
        definition = f"label_values({self.query}, {self.label})"
        return {
            "type": "query",
            "name": self.name,
            "label": self.title,
            "description": self.description,
            "datasource": {"type": "prometheus", "uid": "${prometheus_datasource}"},
            "query": {"query": definition, "refId": f"variable-{self.name}"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*" if self.optional else ".+",
            "current": {"text": ["All"], "value": ["$__all"]},
            "options": [],
            "regex": "",
            "hide": 2 if self.hidden else 0,
        }


def of(name: str, label: str, title: str, description: str, series: Query, *, optional: bool = False) -> Variable:
    """A variable with the values of a label. Raises ValueError if the series do not have the label."""
    if label not in series.labels:
        raise ValueError(f"variable {name}: expected a label of {series.text}, got {label}")
    return Variable(name, label, title, description, series.text, optional=optional)


JOB: Final = Variable(
    "job", "job", "Job", "Prometheus jobs that scrape a fleet-exporter.", query=process.BUILD.name
)  # fmt: skip
INSTANCE: Final = Variable(
    "instance", "instance", "Instance", "Exporters of the selected jobs.", query=f'{process.BUILD.name}{{job=~"$job"}}'
)


def data_source(kind: str, title: str) -> dict[str, Any]:
    """The data source variable of a kind: prometheus or loki."""
    return {
        "type": "datasource",
        "name": f"{kind}_datasource",
        "label": title,
        "description": f"{kind.capitalize()} data source.",
        "query": kind,
        "current": {"text": "default", "value": "default"} if kind == "prometheus" else {"text": "", "value": ""},
        "options": [],
        "refresh": 1,
        "regex": "",
        "hide": 0,
        "includeAll": False,
        "multi": False,
    }


def text_box(name: str, title: str, description: str, value: str = "") -> dict[str, Any]:
    """A text box variable with an initial value."""
    return {
        "type": "textbox",
        "name": name,
        "label": title,
        "description": description,
        "query": value,
        "current": {"text": value, "value": value},
        "options": [],
        "hide": 0,
    }


EXPORTER_URL: Final = text_box(
    "exporter_url", "Exporter", "URL of the exporter for links from the browser.", urls.EXPORTER_URL
)
