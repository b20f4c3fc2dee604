"""Rows as CSV that is safe for spreadsheets. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def csv_row(values: Iterable[Any]) -> str:
    """One row; formulas are escaped with an apostrophe."""
    line = io.StringIO()
    safe = [f"'{value}" if isinstance(value, str) and value and value[0] in "=+-@\t\r" else value for value in values]
    csv.writer(line).writerow(safe)
    return line.getvalue()


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A table with its headings."""
    return csv_row(columns) + "".join(csv_row([row[name] for name in columns]) for row in rows)
