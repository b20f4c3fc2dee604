"""What a fleet costs: series, page, memory and Prometheus' disk, from measured costs per object. Pure.

The command line imports it before every other command, so it imports nothing of the exporter.
"""

from __future__ import annotations

import argparse
from typing import Final, NamedTuple


class ObjectCost(NamedTuple):
    """Cost of one object: series and bytes of its page by profile, and bytes of the exporter's memory."""

    series: int
    page: int
    essential_series: int
    essential_page: int
    memory: int


COSTS: Final = {
    "agents": ObjectCost(series=21, page=1_774, essential_series=3, essential_page=235, memory=5_060),
    "consumers": ObjectCost(series=15, page=1_200, essential_series=11, essential_page=791, memory=10_400),
    "rayjobs": ObjectCost(series=23, page=2_015, essential_series=12, essential_page=1_078, memory=3_270),
}
"""Slopes between 2 000 and 10 000 agents with ten responses each, 200 and 2 000 consumers of 20 streams, and 2 000 and
10 000 RayJobs, measured with the functions of `benchmarks/scaling.py`, which measures up to 100 000.
"""

BASE: Final = ObjectCost(series=2_400, page=246_000, essential_series=530, essential_page=45_000, memory=120 * 2**20)
"""An exporter with every source of the demo: what its page has besides agents, consumers and RayJobs."""

GZIP_RATIO: Final = 0.05
"""Bytes of a compressed page for each byte of it, at the compression level of the exporter."""

BYTES_PER_SAMPLE: Final = 1.5
"""Prometheus' documentation gives 1 to 2 bytes on disk for each sample."""

_DAY: Final = 86_400


class Estimate(NamedTuple):
    """Totals of all exporters: bytes, except for series."""

    series: int
    page: int
    memory: int
    disk_per_day: int


def estimate(counts: dict[str, int], *, essential: bool = False, interval: int = 30, shards: int = 1) -> Estimate:
    """The cost of so many objects by kind (the keys of COSTS), scraped every `interval` seconds."""
    costs = [(shards, BASE), *((count, COSTS[kind]) for kind, count in counts.items())]
    series = sum(count * (cost.essential_series if essential else cost.series) for count, cost in costs)
    page = sum(count * (cost.essential_page if essential else cost.page) for count, cost in costs)
    memory = sum(count * cost.memory for count, cost in costs)
    return Estimate(series, page, memory, round(series * _DAY / interval * BYTES_PER_SAMPLE))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _at_least_one(text: str) -> int:
    if not _count(text):
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text!r}")
    return int(text)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `fleet-exporter estimate`."""
    for kind in COSTS:
        parser.add_argument(f"--{kind}", metavar="N", type=_count, default=0, help=f"number of {kind} (default: 0)")
    parser.add_argument("--shards", metavar="N", type=_at_least_one, default=1, help="number of exporters (default: 1)")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=_at_least_one, default=30, help="scrape interval (default: 30)"
    )
    parser.add_argument("--profile", choices=("full", "essential"), default="full", help="series to export (default: full)")


def text(flags: argparse.Namespace) -> str:
    """The estimate for the parsed flags, as lines of `name: value`."""
    counts = {kind: getattr(flags, kind) for kind in COSTS}
    found = estimate(counts, essential=flags.profile == "essential", interval=flags.interval, shards=flags.shards)
    together = f" ({flags.shards} shards together)" if flags.shards > 1 else ""
    rows = {
        "series": f"{found.series:,}",
        "page": f"{found.page / 1e6:,.1f} MB, {found.page * GZIP_RATIO / 1e6:,.1f} MB as gzip",
        "exporter memory": f"{found.memory / 2**20:,.0f} MiB",
        "Prometheus disk per day": f"{found.disk_per_day / 1e9:,.2f} GB",
    }
    return "".join(f"{name}: {value}{together}\n" for name, value in rows.items())
