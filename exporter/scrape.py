"""One scrape: every source asked at once under a budget, what failed and why, and the one broad `except`.

A reading that is late is left running, and until it has ended later scrapes do not wait for that source: a hung backend
costs one page its budget, and later pages nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError, reason_of
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, labels, state_set
from exporter.source import Source

UP = gauge("fleet_exporter_source_up", "Whether the last reading of a source succeeded.", "source", "server")
FAILURE = state_set(
    "fleet_exporter_source_failure",
    "Why the last reading of a source failed; all 0 when it succeeded.",
    "source",
    "server",
    states=tuple(Reason),
    state_label="reason",
)
DURATION = gauge(
    "fleet_exporter_source_duration_seconds",
    "Time the last reading took.",
    "source",
    "server",
    unit=Unit.SECONDS,
)
SERIES = gauge("fleet_exporter_source_series", "Series that the last reading gave to the page.", "source", "server")
DROPPED = gauge(
    "fleet_exporter_source_dropped_series",
    "Series of the last reading left out of the page, over the source's max_series or given twice.",
    "source",
    "server",
)
LAST_SUCCESS = gauge(
    "fleet_exporter_source_last_success_timestamp_seconds",
    "When a reading last succeeded; absent until one has.",
    "source",
    "server",
    unit=Unit.TIMESTAMP,
)
RESTARTS = counter(
    "fleet_exporter_follower_restarts_total",
    "Followers that ended unexpectedly and were started again.",
    "source",
)
METRICS: tuple[Metric, ...] = (UP, FAILURE, DURATION, SERIES, DROPPED, LAST_SUCCESS, RESTARTS)

SECOND_LOOK = 0.1
"""Seconds that a page still waits for a source which was late last time: a backend that is well again answers within it."""

PATIENCE = 2.0
"""A late reading is ended when it has taken this many times the source's own timeout."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class State:
    """What is known of one source between scrapes: for the page, the landing page and the log."""

    source: Source
    up: bool | None = None
    reason: Reason | None = None
    message: str = ""
    duration: float = 0.0
    series: int = 0
    dropped: int = 0
    last_success: float | None = None
    reading: asyncio.Task[list[Sample]] | None = field(default=None, repr=False)
    late: bool = False

    @property
    def name(self) -> str:
        """The source, and its server where it has one, as people read it."""
        return f"{self.source.kind} {self.source.server}".rstrip()

    def samples(self) -> Iterable[Sample]:
        """The exporter's own view of this source."""
        if self.up is None:
            return
        who = labels(source=self.source.kind, server=self.source.server)
        yield UP.at(who, self.up)
        yield FAILURE.state_at(who, self.reason)
        yield DURATION.at(who, self.duration)
        yield SERIES.at(who, self.series)
        yield DROPPED.at(who, self.dropped)
        if self.last_success is not None:
            yield LAST_SUCCESS.at(who, self.last_success)


def bounded(samples: Iterable[Sample], metrics: Sequence[Metric], limit: int) -> tuple[list[Sample], int, int]:
    """(samples, series kept, series dropped): at most `limit` series, none twice, none of an undeclared metric."""
    kept: list[Sample] = []
    declared = frozenset(metrics)
    seen: set[tuple[Metric, str]] = set()
    series = dropped = 0
    for sample in samples:
        metric, key, text = sample
        if metric not in declared:
            raise TypeError(f"{metric.name} is not among the source's declared metrics")
        lines = text.count("\n")
        if key is not None:
            if (metric, key) in seen:
                dropped += lines
                continue
            seen.add((metric, key))
        if series + lines > limit:
            room = limit - series if key is None else 0  # a histogram or state set is whole or absent
            dropped += lines - room
            if room <= 0:
                continue
            sample, lines = metric.lines("\n".join(text.split("\n", room)[:room]) + "\n"), room
        series += lines
        kept.append(sample)
    return kept, series, dropped


class Scraper:
    """Asks the sources. `follow()` and `close()` bracket its life; scrapes that overlap share one reading."""

    def __init__(self, sources: Sequence[Source], *, shard: Shard = WHOLE, clock: Callable[[], float] = time.time) -> None:
        self._sources = sources
        self.shard = shard
        """Which part of the fleet the sources were told to show."""
        self._clock = clock
        self._states: dict[int, State] = {}
        self._shared: asyncio.Task[list[Sample]] | None = None
        self._restarts = {source.kind: 0 for source in sources if _follows(source)}

    @property
    def sources(self) -> Sequence[Source]:
        return self._sources

    @property
    def states(self) -> list[State]:
        """One state for each server that is read now."""
        targets = [target for source in self._sources for target in source.targets()]
        self._states = {id(target): self._states.get(id(target)) or State(target) for target in targets}
        return list(self._states.values())

    async def read(self, budget: float) -> list[Sample]:
        """Every source's samples, and the exporter's own about them, within `budget` seconds."""
        if self._shared is None or self._shared.done():
            self._shared = asyncio.create_task(self._read(budget), name="scrape")
        # A client that goes away must not take the reading from the others that share it.
        return await asyncio.shield(self._shared)

    async def _read(self, budget: float) -> list[Sample]:
        states = self.states
        per_source = await asyncio.gather(*[self._ask(state, budget) for state in states])
        samples = [sample for part in per_source for sample in part]
        samples.extend(sample for state in states for sample in state.samples())
        samples.extend(RESTARTS(count, source=kind) for kind, count in self._restarts.items())
        return samples

    async def _ask(self, state: State, budget: float) -> list[Sample]:
        started = time.monotonic()
        if state.reading is not None and not state.reading.done():
            self._failed(state, Reason.TIMEOUT, "an earlier reading still waits for an answer")
            return []
        limit = min(budget, state.source.timeout)
        if state.late and state.reading is not None:
            state.late = state.reading.cancelled() or state.reading.exception() is not None
        reading = asyncio.create_task(self._reading(state.source), name=f"read {state.name}")
        # A reading that nobody waits for any more still has its exception looked at, or asyncio complains about it.
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        state.reading = reading
        await asyncio.wait([reading], timeout=min(SECOND_LOOK, limit) if state.late else limit)
        if not reading.done():
            state.late = True
            state.duration = time.monotonic() - started
            self._failed(state, Reason.TIMEOUT, f"no answer within {limit:.3g} s")
            return []
        state.late = False
        try:
            samples, state.series, state.dropped = bounded(reading.result(), state.source.metrics, state.source.max_series)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever a source does, the page lives
            state.duration = time.monotonic() - started
            self._failed(state, reason_of(error), str(error) or type(error).__name__, error)
            return []
        state.duration = time.monotonic() - started
        self._succeeded(state)
        return samples

    async def _reading(self, source: Source) -> list[Sample]:
        try:
            async with asyncio.timeout(source.timeout * PATIENCE):
                return list(await source.collect())
        except BaseException:
            # A connection that failed or was cut off half-way through a reply must not be used again.
            with contextlib.suppress(Exception):
                await source.close()
            raise

    def _succeeded(self, state: State) -> None:
        if state.up is not True:
            log.info("source is up", extra={"source": state.source.kind, "server": state.source.server})
        state.up, state.reason, state.message = True, None, ""
        state.last_success = self._clock()

    def _failed(self, state: State, reason: Reason, message: str, error: BaseException | None = None) -> None:
        message = " ".join(message.split())
        # One line when a source changes state; a source that stays down says nothing more.
        if state.up is not False or state.reason is not reason:
            bug = error if reason is Reason.BUG else None
            log.warning(
                "source is down",
                extra={
                    "source": state.source.kind,
                    "server": state.source.server,
                    "reason": reason,
                    "error": message,
                },
                exc_info=bug if log.isEnabledFor(logging.DEBUG) else None,
            )
        state.up, state.reason, state.message = False, reason, message
        state.series = state.dropped = 0

    async def follow(self) -> None:
        """Run what the sources follow for as long as this task lives; one that ends early starts again, later each time."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                if _follows(source):
                    group.create_task(self._follow(source), name=f"follow {source.kind}")

    async def _follow(self, source: Source) -> None:
        pause = 0.5
        while True:
            started = time.monotonic()
            try:
                await source.follow()
                return
            except Exception as error:  # noqa: BLE001 - the counterpart of the one in _ask, for tasks
                message = f"{type(error).__name__}: {error}"
            if time.monotonic() - started > 60:
                pause = 0.5
            self._restarts[source.kind] += 1
            log.error(
                "follower ended and starts again",
                extra={"source": source.kind, "server": source.server, "error": message, "pause": pause},
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, 30.0)

    async def close(self) -> None:
        """End what still runs and drop every connection."""
        running = [state.reading for state in self._states.values() if state.reading and not state.reading.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        targets = {id(target): target for source in self._sources for target in source.targets()}
        targets.update({id(source): source for source in self._sources})
        await asyncio.gather(*[target.close() for target in targets.values()], return_exceptions=True)


def _follows(source: Source) -> bool:
    return type(source).follow is not Source.follow


async def read_once(source: Source) -> list[Sample]:
    """One reading of one source for the command line. Raises SourceError with the reason and a sentence."""
    follower = asyncio.create_task(source.follow()) if _follows(source) else None
    samples: list[Sample] = []
    try:
        for target in source.targets():
            try:
                async with asyncio.timeout(target.timeout):
                    await target.settled()
                    samples.extend(bounded(await target.collect(), target.metrics, target.max_series)[0])
            except SourceError:
                raise
            except TimeoutError:
                raise SourceError(Reason.TIMEOUT, f"no answer within {target.timeout:.3g} s") from None
            except Exception as error:
                raise SourceError(reason_of(error), str(error) or type(error).__name__) from error
            finally:
                await target.close()
    finally:
        if follower is not None:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
    return samples
