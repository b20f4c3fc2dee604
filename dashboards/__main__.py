"""`python -m dashboards FOLDER`: write all dashboards; dashboards that need Loki also without it, in `without-loki`.

`python -m dashboards --reference` prints docs/dashboards.md, and `--essential` prints exporter/essential.txt.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

import dashboards
from dashboards import essential
from dashboards.grafana.panels import Dashboard
from dashboards.reference import markdown


def all_dashboards() -> tuple[Dashboard, ...]:
    """All dashboards of this package, sorted by module name."""
    modules = [importlib.import_module(f"dashboards.{found.name}") for found in pkgutil.iter_modules(dashboards.__path__)]
    return tuple(module.DASHBOARD for module in modules if hasattr(module, "DASHBOARD"))


def files() -> dict[str, str]:
    """File contents by relative path."""
    made = {}
    for dashboard in all_dashboards():
        made[f"{dashboard.view}.json"] = _text(dashboard.document())
        if dashboard.needs_loki:
            made[f"without-loki/{dashboard.view}.json"] = _text(dashboard.document(loki=False))
    return made


def _text(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the files; remove JSON files that are no longer generated."""
    parser = argparse.ArgumentParser("python -m dashboards", description="Write the dashboards.")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--reference", action="store_true", help="print docs/dashboards.md")
    parser.add_argument("--essential", action="store_true", help="print exporter/essential.txt")
    chosen = parser.parse_args()
    if chosen.essential:
        sys.stdout.write(essential.text())
        return 0
    if chosen.reference:
        sys.stdout.write(markdown(all_dashboards()))
        return 0
    folder = chosen.folder
    if folder is None:
        parser.error("expected a folder to write to")
    made = files()
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in folder.rglob("*.json"):
        if str(path.relative_to(folder)) not in made:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
