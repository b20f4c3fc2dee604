"""JSON Schemas of dashboards and panels, made from the types that Grafana publishes on npm (`@grafana/schema`)."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from tests.support import npm

_PACKAGE = Path(__file__).parent / "grafana_schema"
_PANELS = {
    "bargauge": "bargauge",
    "heatmap": "heatmap",
    "logs": "logs",
    "nodeGraph": "nodegraph",
    "stat": "stat",
    "state-timeline": "statetimeline",
    "table": "table",
    "text": "text",
    "timeseries": "timeseries",
}
"""Grafana's folder of types for each type of panel that the dashboards use."""
_WITH_FIELDS = ("heatmap", "state-timeline", "table", "timeseries")
UNTYPED = {"alertlist": "Grafana publishes no types of its options"}


def prepare() -> Path:
    """The folder of schemas: `dashboard.json`, `<panel>.options.json`, `<panel>.field.json`. Raises ServerMissing.

    Takes npm and ten seconds the first time.
    """
    return npm.built(_PACKAGE, _build, repr(_PANELS))


def _build(folder: Path) -> None:
    types = folder / "node_modules/@grafana/schema/dist/types/raw"
    wanted = [(types / "dashboard/x/types.gen.d.ts", "Dashboard", "dashboard.json")]
    for panel, source in _PANELS.items():
        file = types / f"composable/{source}/panelcfg/x/types.gen.d.ts"
        wanted.append((file, "Options", f"{panel}.options.json"))
        if panel in _WITH_FIELDS:
            wanted.append((file, "FieldConfig", f"{panel}.field.json"))
    generator = folder / "node_modules/ts-json-schema-generator/bin/ts-json-schema-generator.js"
    for file, name, out in wanted:
        npm.run(
            npm.tool("node"), generator, "--no-type-check", "--path", file, "--type", name, "-o", folder / out, folder=folder
        )


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """One of the schemas, such as `dashboard` or `stat.options`."""
    loaded: dict[str, Any] = json.loads((prepare() / f"{name}.json").read_text())
    return loaded


def has_fields(panel: str) -> bool:
    """Whether Grafana has types for the panel's own part of a field's configuration."""
    return panel in _WITH_FIELDS


def is_typed(panel: str) -> bool:
    """Whether Grafana has types for a panel's options."""
    return panel in _PANELS
