"""Grafana's own library (`@grafana/data` of npm) in Node: what a panel shows for the answers to its queries."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import npm

Document = dict[str, Any]

_PACKAGE = Path(__file__).parent / "grafana_data"
_BUNDLE = "grafana-data.cjs"


def prepare() -> Path:
    """The folder with the library in one file. Takes npm and some minutes the first time. Raises ServerMissing."""
    return npm.built(_PACKAGE, _bundle)


def _bundle(folder: Path) -> None:
    entry = "node_modules/@grafana/data/dist/esm/index.mjs"
    options = ("--bundle", "--platform=node", "--format=cjs", "--log-level=error", f"--outfile={_BUNDLE}")
    npm.run(npm.tool("node"), "node_modules/esbuild/bin/esbuild", entry, *options, folder=folder)


@functools.cache
def units() -> frozenset[str]:
    """IDs of all value formats that Grafana offers."""
    return frozenset(_run([])["units"])


def shown(*panels: tuple[Document, Sequence[Document]]) -> list[Document]:
    """For each panel and its data frames: `frames` after transformations, `stats` after reduction, texts of the `legend`."""
    results: list[Document] = _run([{"panel": panel, "frames": list(frames)} for panel, frames in panels])["results"]
    return results


def _run(given: Sequence[Document]) -> Document:
    command = [npm.tool("node"), _PACKAGE / "evaluate.cjs", prepare() / _BUNDLE]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: Document = json.loads(done.stdout)
    return found


def frames(panel: Mapping[str, Any], answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Document]:
    """The data frames that Grafana's Prometheus data source makes of answers of the HTTP API, by the query's refId.

    A query in table format becomes one frame with a field for each label; others become a frame for each series. A field
    is called "Value #A" if several queries of the panel are in table format.

    """
    asked = {target["refId"]: target for target in panel["targets"]}
    tables = [name for name, target in asked.items() if target["format"] == "table" and answers.get(name)]
    made: list[Document] = []
    for name, target in asked.items():
        found = answers.get(name, ())
        if target["format"] == "table":
            made += [_table(name, found, f"Value #{name}" if len(tables) > 1 else "Value")] if found else []
        else:
            made += [_series(name, one, target["legendFormat"]) for one in found]
    return made


def _points(series: Mapping[str, Any]) -> list[tuple[float, float | None]]:
    found = series.get("values") or [series["value"]]
    return [(float(time) * 1000, None if value == "NaN" else float(value)) for time, value in found]


def _table(name: str, found: Sequence[Mapping[str, Any]], value: str) -> Document:
    labels = sorted({label for one in found for label in one["metric"]})
    rows = [(one["metric"], time, number) for one in found for time, number in _points(one)]
    fields = [{"name": "Time", "type": "time", "values": [time for _, time, _ in rows]}]
    fields += [{"name": label, "type": "string", "values": [metric.get(label, "") for metric, _, _ in rows]}
               for label in labels]  # fmt: skip
    fields.append({"name": value, "type": "number", "values": [number for _, _, number in rows]})
    return {"refId": name, "fields": fields}


def _series(name: str, one: Mapping[str, Any], legend: str) -> Document:
    points = _points(one)
    title = legend
    for label, text in one["metric"].items():
        title = title.replace(f"{{{{{label}}}}}", text)
    config = {"displayNameFromDS": title} if legend != "__auto" else {}
    times = {"name": "Time", "type": "time", "values": [time for time, _ in points]}
    values = {"name": "Value", "type": "number", "values": [number for _, number in points]}
    return {"refId": name, "fields": [times, values | {"labels": one["metric"], "config": config}]}
