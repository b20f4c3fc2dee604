"""One scrape: every target is collected concurrently within a budget; failures get a reason. The only broad `except`.

Overlapping scrapes share a running collection, not its deadline: each waits as long as its own budget allows, counted
from the start of the collection. A late collection keeps running and later scrapes do not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from exporter.clients.backoff import Backoff
from exporter.clients.cancellation import cancellable
from exporter.config.redaction import redacted
from exporter.config.sharding import WHOLE, Shard
from exporter.errors import Reason, SourceError, cause_of, reason_of
from exporter.metrics.metric import Sample
from exporter.scrape.state import RESTARTS, Collection, TargetState, bounded
from exporter.source import Source, Target, is_watched

RETRY_GRACE = 0.1
"""Seconds a scrape waits for a target whose previous collection was late: a recovered backend responds within it."""

WATCHER_GRACE = 2.0
"""Seconds a restarted watcher runs before its source counts as up again."""

HARD_TIMEOUT_FACTOR = 2.0
"""A late collection is cancelled after this many times the target's timeout."""

log = logging.getLogger(__name__)


class TargetResult(NamedTuple):
    """A target's samples for one caller, and why they are missing or outdated."""

    samples: list[Sample]
    failure: SourceError | None
    is_own: bool = False
    """Only this caller's timeout has expired; the failure metric is then not shared with other pages."""


class Scraper:
    """Collects the sources. Call `run()` first and `close()` last."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        shard: Shard = WHOLE,
        kept: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sources = sources
        self.kept = kept
        """The samples that the exporter's profile keeps."""
        self.shard = shard
        """The shard of the sources."""
        self._clock = clock
        self._states: dict[int, TargetState] = {}
        self._restarts = {source.kind: 0 for source in sources if is_watched(source)}
        self._crashes: dict[str, SourceError] = {}
        """Why a source's watcher exited; its state is outdated until it runs again."""
        self._left: list[TargetState] = []
        """Targets that are gone, such as undiscovered servers; each is closed after its last collection."""
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def sources(self) -> Sequence[Source]:
        return self._sources

    @property
    def states(self) -> list[TargetState]:
        """One state per current target."""
        targets = [target for source in self._sources for target in source.targets()]
        before = self._states
        self._states = {id(target): before.get(id(target)) or TargetState(target) for target in targets}
        self._left += [state for key, state in before.items() if key not in self._states]
        return list(self._states.values())

    def _close_left(self) -> None:
        """Close the connections of targets that are gone, without delaying a page."""
        idle = [state for state in self._left if state.task is None or state.task.done()]
        self._left = [state for state in self._left if state not in idle]
        for state in idle:
            closing = asyncio.create_task(_closed(state.source), name=f"close {state.name}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def read(self, budget: float) -> list[Sample]:
        """Every target's samples, and the exporter's own about them, within `budget` seconds."""
        states = self.states
        self._close_left()
        found = await asyncio.gather(*[self._collected(state, budget) for state in states])
        samples = [sample for outcome in found for sample in outcome.samples]
        for state, outcome in zip(states, found, strict=True):
            samples.extend(self.kept(state.samples(outcome.failure if outcome.is_own else None)))
        samples.extend(self.kept(RESTARTS(count, source=kind) for kind, count in self._restarts.items()))
        return samples

    async def snapshots(self, kind: str, budget: float) -> list[Any]:
        """The current snapshot of every target of a source, collected within `budget` seconds.

        Raises SourceError if there are targets and none of them has a snapshot.
        """
        states = [state for state in self.states if state.source.kind == kind]
        found = await asyncio.gather(*[self._collected(state, budget) for state in states])
        pairs = list(zip(states, found, strict=True))
        current = [state.snapshot for state, outcome in pairs if not outcome.is_own and state.snapshot is not None]
        failures = [outcome.failure for outcome in found if outcome.failure is not None]
        if failures and not current:
            raise SourceError(failures[0].reason, str(failures[0]))
        return current

    async def _collected(self, state: TargetState, budget: float) -> TargetResult:
        is_new = state.task is None or state.task.done()
        if is_new:
            state.started = time.monotonic()
            state.task = asyncio.create_task(self._collection(state), name=f"collect {state.name}")
            state.task.add_done_callback(lambda task: self._finished(state, task))
        task = state.task
        assert task is not None
        limit = min(budget, state.source.timeout)
        if state.late:
            limit = min(limit, RETRY_GRACE if is_new else 0.0)
        remaining = state.started + limit - time.monotonic()
        if remaining > 0 and not task.done():
            await asyncio.wait([task], timeout=remaining)
        if task.done():
            failure = SourceError(state.reason, state.message) if state.reason is not None else None
            has_figures = not task.cancelled() and task.exception() is None
            return TargetResult(task.result().samples if has_figures else [], failure)
        if state.late and not is_new:
            failure = self._pending(state, "an earlier collection is still waiting for a response")
            return TargetResult([], failure, is_own=state.up is not False)
        failure = self._pending(state, f"no response within {limit:.3g} s")
        if limit < state.source.timeout and not state.late:
            return TargetResult([], failure, is_own=True)
        state.late = True
        self._failed(state, failure.reason, str(failure))
        return TargetResult([], failure)

    def _pending(self, state: TargetState, text: str) -> SourceError:
        """Why a collection has no result yet: what ended the watcher whose data it waits for, or only that it takes long."""
        crash = self._crashes.get(state.source.kind)
        return crash.again() if crash is not None else SourceError(Reason.TIMEOUT, text)

    async def _collection(self, state: TargetState) -> Collection:
        target = state.source
        try:
            async with asyncio.timeout(target.timeout * HARD_TIMEOUT_FACTOR):
                snapshot: Any = await target.collect()
            found = bounded(self.kept(target.samples(snapshot)), target.metrics, target.max_series)
            return Collection(snapshot, *found, target.failure(snapshot))
        except BaseException:
            await _closed(target)  # a connection that failed or was interrupted during a reply must not be reused
            raise

    def _finished(self, state: TargetState, task: asyncio.Task[Collection]) -> None:
        state.duration = time.monotonic() - state.started
        try:
            collection = task.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever a source does, the page lives
            reason = reason_of(error)
            crash = self._crashes.get(state.source.kind)
            if crash is not None and reason is Reason.TIMEOUT:  # waits for the watcher's data
                self._failed(state, crash.reason, str(crash))
                return
            state.late = state.late or (reason is Reason.TIMEOUT and state.duration >= state.source.timeout)
            self._failed(state, reason, str(error) or type(error).__name__, error)
            return
        state.late = False
        failure = self._crashes.get(state.source.kind) or collection.failure
        if failure is not None:
            self._failed(state, failure.reason, str(failure))
            state.snapshot, state.series, state.dropped = collection.snapshot, collection.series, collection.dropped
            return
        if state.up is not True:
            log.info("source is up", extra={"source": state.source.kind, "server": state.source.server})
        state.up, state.reason, state.message = True, None, ""
        state.snapshot, state.series, state.dropped = collection.snapshot, collection.series, collection.dropped
        state.last_success = self._clock()

    def _failed(self, state: TargetState, reason: Reason, message: str, error: BaseException | None = None) -> None:
        message = " ".join(redacted(message).split())
        # One line per state change; a source that stays down is not logged again.
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
        state.snapshot = None
        state.series = state.dropped = 0
        if state.task is not None and not state.task.done():
            state.duration = time.monotonic() - state.started

    async def run(self) -> None:
        """Run the watchers of all sources until cancelled; restart a watcher that exits, with backoff."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                if is_watched(source):
                    group.create_task(self._watch(source), name=f"watch {source.kind}")

    async def _watch(self, source: Source) -> None:
        backoff = Backoff(first=0.5, longest=30.0)
        while True:
            started = time.monotonic()
            recovery = asyncio.get_running_loop().call_later(WATCHER_GRACE, self._crashes.pop, source.kind, None)
            try:
                await cancellable(source.run())
                return
            except Exception as error:  # noqa: BLE001 - the counterpart of the one in _finished, for tasks
                cause = cause_of(error)
                text = str(cause) if isinstance(cause, SourceError) else f"watcher exited: {type(cause).__name__}: {cause}"
                crash = SourceError(reason_of(cause), redacted(text))
                trace = error if log.isEnabledFor(logging.DEBUG) else None
            finally:
                recovery.cancel()
            is_known = str(self._crashes.get(source.kind)) == str(crash)
            self._crashes[source.kind] = crash
            if time.monotonic() - started > 60:
                backoff.reset()
            self._restarts[source.kind] += 1
            pause = backoff.next()
            log.log(
                logging.DEBUG if is_known else logging.ERROR,
                "watcher exited; restarting",
                extra={"source": source.kind, "server": source.server, "error": str(crash), "pause": round(pause, 2)},
                exc_info=trace,
            )
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Cancel running collections and close all connections."""
        known = [*self._states.values(), *self._left]
        running = [state.task for state in known if state.task and not state.task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, *self._closing, return_exceptions=True)
        targets: dict[int, Source | Target[Any]] = {id(state.source): state.source for state in known}
        targets.update({id(target): target for source in self._sources for target in source.targets()})
        targets.update({id(source): source for source in self._sources})
        await asyncio.gather(*[target.close() for target in targets.values()], return_exceptions=True)


async def _closed(target: Target[Any]) -> None:
    """Close the target's connection, whatever its client raises."""
    with contextlib.suppress(Exception):
        await target.close()


async def read_once(source: Source) -> list[Sample]:
    """One collection of one source for the command line. Raises SourceError with the reason and a sentence."""
    watcher = asyncio.create_task(source.run()) if is_watched(source) else None
    samples: list[Sample] = []
    try:
        for target in source.targets():
            try:
                async with asyncio.timeout(target.timeout):
                    await _synced(source, watcher)
                    snapshot: Any = await target.collect()
                    if (failure := target.failure(snapshot)) is not None:
                        raise failure
                    samples.extend(bounded(target.samples(snapshot), target.metrics, target.max_series)[0])
            except SourceError:
                raise
            except TimeoutError:
                raise SourceError(Reason.TIMEOUT, f"no response within {target.timeout:.3g} s") from None
            except Exception as error:
                cause = cause_of(error)
                raise SourceError(reason_of(cause), str(cause) or type(cause).__name__) from error
            finally:
                await target.close()
    finally:
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
    return samples


async def _synced(source: Source, watcher: asyncio.Task[None] | None) -> None:
    """Wait for the watcher's first data. Raises what ended the watcher before."""
    synced = asyncio.ensure_future(source.wait_synced())
    try:
        await asyncio.wait({synced, *([watcher] if watcher is not None else [])}, return_when=asyncio.FIRST_COMPLETED)
        if watcher is not None and watcher.done():
            watcher.result()
        await synced
    finally:
        synced.cancel()
