"""A cost ledger: what the table holds now, and what was added since the start. No I/O.

Sums of the table are kept by ranges of rows, so that rows that were deleted or corrected change only their range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from exporter.metrics.histogram import Histogram
from exporter.metrics.metric import OTHER
from exporter.metrics.timestamps import instant

TABLE: Final = "invocations"
RANGE_ROWS: Final = 5000
"""Rows of one range, which is also read at once: some 10 ms, as long as a writer may have to wait."""
LATENCIES: Final = (
    0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
_RECENT = 300
_COMBINATIONS = 500
_DAYS = 400
_DAY = 86400
_LARGEST = 1e12
"""Largest plausible number of tokens, milliseconds or dollars of one invocation."""
_STATUSES = ("success", "error", "timeout")
_COLUMNS = (
    "timestamp", "model_name", "tool_name", "agent_name", "status",
    "prompt_tokens", "completion_tokens", "cost_usd", "latency_ms",
)  # fmt: skip

Who = tuple[str, str, str, str]
"""Model, tool, agent, status."""


def query(columns: Collection[str]) -> str:
    """The next rows after a rowid up to another one; columns that an older schema lacks are null."""
    named = ", ".join(name if name in columns else "NULL" for name in _COLUMNS)
    return f"SELECT rowid, {named} FROM {TABLE} WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"  # noqa: S608 - constants of this program


class Sums(NamedTuple):
    """Of some invocations; cost in US dollars."""

    invocations: float
    prompt_tokens: float
    completion_tokens: float
    cost: float

    def plus(self, other: Sums) -> Sums:
        return Sums(
            self.invocations + other.invocations,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )


NOTHING: Final = Sums(0, 0, 0, 0)


class Invocation(NamedTuple):
    """One row; `at` in seconds since 1970, latency in seconds."""

    row: int
    at: float | None
    who: Who
    sums: Sums
    latency: float | None


def invocation(row: Sequence[Any], unreadable: Counter[str]) -> Invocation:
    """A row of `query`; values that cannot be read are 0 and counted by column."""
    number, timestamp, model, tool, agent, status, prompt, completion, cost, latency = row
    at = instant(timestamp)[0]
    if at is None:
        unreadable["timestamp"] += 1
    numbers = Sums(
        1,
        _number(prompt, "prompt_tokens", unreadable) or 0,
        _number(completion, "completion_tokens", unreadable) or 0,
        _number(cost, "cost_usd", unreadable, lowest=-_LARGEST) or 0.0,
    )
    milliseconds = _number(latency, "latency_ms", unreadable)
    return Invocation(
        number,
        at,
        (_name(model), _name(tool), _name(agent), _name(status)),
        numbers,
        None if milliseconds is None else milliseconds / 1000,
    )


@dataclass(slots=True)
class Range:
    """Totals of the rows after the previous range, up to `last`."""

    first: int = 0
    last: int = 0
    rows: int = 0
    days: dict[tuple[int | None, str], Sums] = field(default_factory=dict)
    """By day since 1970, None for undated rows, and model."""
    recent: list[float] = field(default_factory=list)
    latest: float | None = None
    unreadable: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Iterable[Sequence[Any]], now: float) -> list[Invocation]:
        found = [invocation(row, self.unreadable) for row in rows]
        for one in found:
            day = None if one.at is None else int(one.at // _DAY)
            key = (day, one.who[0])
            known = self.days.get(key)
            self.days[key] = one.sums if known is None else known.plus(one.sums)
            if one.at is not None:
                if one.at > now - _RECENT:
                    self.recent.append(one.at)
                if self.latest is None or one.at > self.latest:
                    self.latest = one.at
        if found:
            self.first = self.first or found[0].row
            self.last = found[-1].row
            self.rows += len(found)
        return found


@dataclass(slots=True)
class Added:
    """Invocations since the start, which only rise; the rows that were there before give their labels and count 0."""

    by: dict[Who, Sums] = field(default_factory=dict)
    latencies: dict[str, Histogram] = field(default_factory=dict)

    _new: set[Who] = field(default_factory=set)
    _held: list[Invocation] = field(default_factory=list)

    def add(self, one: Invocation, *, counts: bool) -> None:
        """Count an invocation; of labels that are new from the next reading on, as `increase()` needs a 0 before it."""
        who = one.who
        if who not in self.by and len(self.by) >= _COMBINATIONS:
            who = (OTHER, OTHER, OTHER, who[3] if who[3] in _STATUSES else OTHER)
        is_new = who in self._new or who not in self.by
        known = self.by.setdefault(who, NOTHING)
        if one.latency is not None and who[0] not in self.latencies:
            self.latencies[who[0]] = Histogram(LATENCIES)
            is_new = True
        if not counts:
            return
        if is_new:
            self._new.add(who)
            self._held.append(one)
            return
        if one.latency is not None:
            self.latencies[who[0]].observe(one.latency)
        # A refund lowers what was spent, and no counter may fall.
        self.by[who] = known.plus(one.sums._replace(cost=max(one.sums.cost, 0.0)))

    def release(self) -> None:
        """Count the deferred invocations: their labels have been exported."""
        held, self._held = self._held, []
        self._new.clear()
        for one in held:
            self.add(one, counts=True)


@dataclass(frozen=True, slots=True)
class CostsSnapshot:
    """A ledger now; see Added for `by` and `latencies`, Range for `days`."""

    now: datetime
    by: dict[Who, Sums]
    latencies: dict[str, Histogram]
    days: dict[tuple[int | None, str], Sums]
    recent: int
    latest: float | None
    unreadable: dict[str, int]

    def spent(self) -> dict[str, float]:
        """US dollars by period: day and month (UTC), all."""
        today = int(self.now.timestamp() // _DAY)
        first = int(self.now.replace(day=1).timestamp() // _DAY)
        costs = [(day, sums.cost) for (day, _), sums in self.days.items()]
        return {
            "day": sum(cost for day, cost in costs if day == today),
            "month": sum(cost for day, cost in costs if day is not None and first <= day <= today),
            "all": sum(cost for _, cost in costs),
        }

    def by_day(self, days: int) -> list[dict[str, Any]]:
        """One row for each day and model of the last days, newest first."""
        oldest = int(self.now.timestamp() // _DAY) - days
        found = [(day, model, sums) for (day, model), sums in self.days.items() if day is not None and day > oldest]
        return [
            {
                "day": datetime.fromtimestamp(day * _DAY, UTC).date().isoformat(),
                "model": model,
                "invocations": sums.invocations,
                "prompt_tokens": sums.prompt_tokens,
                "completion_tokens": sums.completion_tokens,
                "cost_usd": sums.cost,
            }
            for day, model, sums in sorted(found, reverse=True)
        ]


Read = Callable[[int, int, int], Sequence[Sequence[Any]]]
"""Rows after one rowid up to another one, and how many at most."""


class Ledger:
    """Everything read from one table."""

    def __init__(self) -> None:
        self.added = Added()
        self._ranges: list[Range] = []
        self._baseline: int | None = None
        self._next = 0

    def begin(self) -> None:
        """Read the table from its start again, because the file was replaced; counters keep their values."""
        self._ranges, self._baseline = [], None

    def read(self, read: Read, first: int, last: int, now: float) -> None:
        """Bring the ledger up to date with a table whose rows have the rowids `first` to `last`."""
        self.added.release()
        if self._ranges and last < self._ranges[-1].last:
            self.begin()  # rows were deleted from the end: their numbers may come again
        if self._baseline is None:
            self._baseline = last
        while self._ranges and self._ranges[0].last < first:
            del self._ranges[0]
        if self._ranges and self._ranges[0].first < first:
            self._reread(read, 0, now)
        while (done := self._ranges[-1].last if self._ranges else 0) < last:
            if not self._ranges or self._ranges[-1].rows >= RANGE_ROWS:
                self._ranges.append(Range(last=done))
            current = self._ranges[-1]
            rows = read(done or first - 1, last, RANGE_ROWS - current.rows)
            if not rows:
                break
            for one in current.add(rows, now):
                self.added.add(one, counts=one.row > self._baseline)

    def check(self, read: Read, now: float) -> None:
        """Read one range again, the next one each time: rows may have been corrected or deleted."""
        if self._ranges:
            self._next = (self._next + 1) % len(self._ranges)
            self._reread(read, self._next, now)

    def _reread(self, read: Read, index: int, now: float) -> None:
        old = self._ranges[index]
        new = Range(last=old.last)
        new.add(read(old.first - 1, old.last, 2 * RANGE_ROWS), now)
        new.first, new.last = new.first or old.first, old.last
        self._ranges[index] = new

    def snapshot(self, now: datetime) -> CostsSnapshot:
        """The current state; days beyond the last 400 are in the total only."""
        moment = now.timestamp()
        oldest = int(moment // _DAY) - _DAYS
        days: dict[tuple[int | None, str], Sums] = {}
        unreadable: Counter[str] = Counter()
        for one in self._ranges:
            one.recent = [at for at in one.recent if at > moment - _RECENT]
            unreadable.update(one.unreadable)
            for (day, model), sums in one.days.items():
                key = (None, model) if day is None or day < oldest else (day, model)
                known = days.get(key)
                days[key] = sums if known is None else known.plus(sums)
        return CostsSnapshot(
            now=now,
            by=dict(self.added.by),
            latencies={model: found.copy() for model, found in self.added.latencies.items()},
            days=days,
            recent=sum(at <= moment for one in self._ranges for at in one.recent),
            latest=max((one.latest for one in self._ranges if one.latest is not None), default=None),
            unreadable=dict(unreadable),
        )


def _number(value: Any, column: str, unreadable: Counter[str], *, lowest: float = 0.0) -> float | None:
    """A plausible number; None for null, and for anything else, which is counted."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, int | float) and lowest <= value <= _LARGEST:
        return value
    unreadable[column] += 1
    return None


def _name(value: Any) -> str:
    return value[:100] if isinstance(value, str) and value else "unknown"
