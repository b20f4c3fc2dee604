"""`make bench`: run all measurements and write the table of `benchmarks/README.md`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

PARTS = (
    "rendering",
    "jetstream",
    "valkey",
    "rayjob",
    "workloads",
    "neo4j",
    "whole",
    "start",
    "event_consumer",
    "fleet",
    "files",
    "queries",
    "scaling",
    "live_page",
    "floods",
)
_README = Path(__file__).parent / "README.md"
_HEADINGS = "| measurement | result | reference | limit | met |\n|---|---|---|---|---|"
_START, _END = "<!-- figures -->", "<!-- end of figures -->"


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="parts to run; default: all")
    chosen = parser.parse_args().parts or PARTS
    figures = []
    for name in chosen:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        figures += importlib.import_module(f"benchmarks.{name}").figures()
    table = "\n".join([_HEADINGS, *(figure.row for figure in figures)])
    print(table)
    if tuple(chosen) == PARTS:
        before, _, rest = _README.read_text().partition(_START)
        _README.write_text(f"{before}{_START}\n{table}\n{_END}{rest.partition(_END)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
