"""Python files have one subject each, which a reader sees at once: none is long."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 320


def python_files() -> Iterator[Path]:
    """The project's own files, as configured for mypy."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
    for package in packages:
        yield from (ROOT / package).rglob("*.py")


def test_no_python_file_is_long() -> None:
    lines = {str(file.relative_to(ROOT)): file.read_text().count("\n") for file in python_files()}
    long = {file: count for file, count in lines.items() if count > MAX_LINES}

    assert len(lines) > 400
    assert long == {}, f"split by subject what has more than {MAX_LINES} lines"
