"""`python -m tests.chaos` (make chaos): an exporter with real backends behind faulty networks, and hostile clients.

The seed determines the schedule, which is printed first: the same seed and length give the same faults again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys

from tests.chaos.backends import BACKENDS
from tests.chaos.invariants import Broken
from tests.chaos.run import chaos


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="How long (default: 600).")
    parser.add_argument("--seed", type=int, help="Seed of an earlier run; default: a random one.")
    parser.add_argument(
        "--backends", nargs="+", choices=sorted(BACKENDS), default=sorted(BACKENDS), help="Backends; default: all."
    )
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    try:
        pages = asyncio.run(chaos(random.Random(seed), seed, given.seconds, given.backends, say=print))
    except Broken as broken:
        print(f"FAILED: {broken}\nRun it again: python -m tests.chaos --seconds {given.seconds:g} --seed {seed}")
        return 1
    print(f"{pages} pages, every invariant held (seed {seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
