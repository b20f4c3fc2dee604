"""Invariants of every page during faults."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

_COUNTER = re.compile(r"[a-zA-Z0-9_:]+(_total|_count|_bucket)(\{|$)")
_UP = re.compile(r'fleet_exporter_source_up\{source="([^"]+)"')
_FAILURE = re.compile(r'fleet_exporter_source_failure\{source="([^"]+)".*reason="([^"]+)"\}')
_MEMORY = "process_resident_memory_bytes"
_FILES = re.compile(r"^process_open_fds (\S+)$", re.MULTILINE)
MEMORY_FACTOR, MEMORY_BYTES = 1.5, 60e6
"""Tolerated growth of the resident memory since the first pages."""


class Broken(AssertionError):
    """An invariant that does not hold; the message names the page."""


@dataclass
class Pages:
    """The pages of one exporter, in order."""

    last: dict[str, float] = field(default_factory=dict)
    memory: float = 0.0
    seen: int = 0
    allowed_down: int = 0
    """Pages in a row on which a healthy source may be down."""
    allowed_unrecovered: int = 0
    """As `allowed_down`, for a source that was not up yet since its last fault."""
    down: Counter[str] = field(default_factory=Counter)
    """Pages in a row on which each healthy source was down."""
    recovered: set[str] = field(default_factory=set)
    """Sources that were up since their last fault."""

    def check(self, text: str, healthy: Collection[str], faulty: Collection[str] = ()) -> None:
        """Raise Broken unless the page is whole, no counter went back, and the `healthy` sources are up.

        The backends of `faulty` sources have a fault now; other sources may still be recovering.

        """
        page: dict[str, float] = {}
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            name, _, value = line.rpartition(" ")
            if name in page:
                raise Broken(f"{name} is on the page twice")
            page[name] = float(value)
        for name, now in page.items():
            before = self.last.get(name)
            if before is not None and now < before and _COUNTER.match(name) and not math.isnan(now):
                raise Broken(f"{name} went back from {before} to {now}")
        states = {found[1]: up for name, up in page.items() if (found := _UP.match(name))}
        self.recovered = {kind for kind, up in states.items() if up == 1 or kind in self.recovered} - {*faulty}
        self.down = Counter({kind: self.down[kind] + 1 for kind in healthy if states.get(kind) != 1})
        allowed = {kind: self.allowed_down if kind in self.recovered else self.allowed_unrecovered for kind in self.down}
        if down := sorted(kind for kind, pages in self.down.items() if pages > allowed[kind]):
            reasons = {found[1]: found[2] for name, on in page.items() if on and (found := _FAILURE.match(name))}
            named = ", ".join(f"{kind} ({reasons[kind]})" if kind in reasons else kind for kind in down)
            raise Broken(f"not up although their backends respond: {named}")
        self._check_process(page)
        self.last |= page
        self.seen += 1

    def _check_process(self, page: dict[str, float]) -> None:
        memory = page.get(_MEMORY, 0.0)
        if self.seen < 5:
            self.memory = max(self.memory, memory)
        elif memory > self.memory * MEMORY_FACTOR + MEMORY_BYTES:
            raise Broken(f"resident memory grew from {self.memory:.0f} to {memory:.0f} bytes")


def open_files(text: str) -> float:
    """The number of open file descriptors on a page. Raises Broken if it is absent."""
    if (found := _FILES.search(text)) is None:
        raise Broken("process_open_fds is not on the page")
    return float(found[1])
