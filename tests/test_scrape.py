"""Scrapes of working, slow and failing sources, with a minimal source as the example."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Iterable
from typing import ClassVar

import pytest

from exporter.errors import Reason, SourceError
from exporter.metrics.metric import Metric, Sample, gauge, labels
from exporter.scrape import Scraper
from exporter.source import Source, SourceOptions, Target
from tests.support.pages import series

DEPTH = gauge("toy_depth", "Depth of the toy.", "queue")
OTHER = gauge("toy_other", "Not declared by the toy.")


class Toy(Source, Target[list[Sample]]):
    """A source of one file: its options, its metrics, collect() and samples()."""

    kind: ClassVar[str] = "toy"
    metrics: ClassVar[tuple[Metric, ...]] = (DEPTH,)

    def __init__(self, name: str = "toy:1", **options: float) -> None:
        super().__init__(SourceOptions.model_validate(options))
        self.name = name

    @property
    def server(self) -> str:
        return self.name

    async def collect(self) -> list[Sample]:
        return [DEPTH(1, queue="a")]

    def samples(self, snapshot: list[Sample]) -> Iterable[Sample]:
        return snapshot


class Failing(Toy):
    error: ClassVar[BaseException] = SourceError(Reason.UNAUTHORIZED, "no key")

    async def collect(self) -> list[Sample]:
        raise self.error


class Hung(Toy):
    async def collect(self) -> list[Sample]:
        await asyncio.Event().wait()
        return []


class Late(Toy):
    responds: ClassVar[asyncio.Event]

    async def collect(self) -> list[Sample]:
        await self.responds.wait()
        return [DEPTH(2, queue="late")]


class Many(Toy):
    async def collect(self) -> list[Sample]:
        return [DEPTH.column([(labels(queue=str(number)), number) for number in range(300_000)])]


class Doubled(Toy):
    async def collect(self) -> list[Sample]:
        return [DEPTH(1, queue="a"), DEPTH(2, queue="a"), DEPTH(3, queue="b")]


class Undeclared(Toy):
    async def collect(self) -> list[Sample]:
        return [OTHER(1)]


async def scraped(*sources: Source, budget: float = 5.0) -> dict[str, float]:
    scraper = Scraper(sources)
    try:
        return series(await scraper.read(budget))
    finally:
        await scraper.close()


def about(name: str, server: str = "toy:1", **more: str) -> str:
    extra = "".join(f',{label}="{value}"' for label, value in more.items())
    return f'fleet_exporter_source_{name}{{source="toy",server="{server}"{extra}}}'


async def test_every_source_has_self_metrics() -> None:
    page = await scraped(Toy())

    assert page['toy_depth{queue="a"}'] == 1
    assert page[about("up")] == 1
    assert page[about("series")] == 1
    assert page[about("dropped_series")] == 0
    assert abs(page[about("last_success_timestamp_seconds")] - time.time()) < 3600
    assert all(page[about("failure", reason=reason)] == 0 for reason in Reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SourceError(Reason.UNAUTHORIZED, "no key"), Reason.UNAUTHORIZED),
        (ConnectionRefusedError(), Reason.UNREACHABLE),
        (TimeoutError(), Reason.TIMEOUT),
        (asyncio.IncompleteReadError(b"", 4), Reason.MALFORMED),
        (PermissionError(), Reason.UNAUTHORIZED),
        (KeyError("x"), Reason.BUG),
        (asyncio.CancelledError(), Reason.TIMEOUT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
async def test_a_failure_has_a_reason_and_does_not_affect_other_sources(error: BaseException, reason: Reason) -> None:
    failing = type("Raising", (Failing,), {"error": error})
    page = await scraped(failing(name="bad:1"), Toy())

    assert page[about("up", "bad:1")] == 0
    assert page[about("failure", "bad:1", reason=reason)] == 1
    assert sum(page[about("failure", "bad:1", reason=other)] for other in Reason) == 1
    assert page['toy_depth{queue="a"}'] == 1


async def test_a_hung_source_delays_only_the_first_scrape() -> None:
    scraper = Scraper([Hung(name="hung:1"), Toy()])
    began = time.monotonic()
    await scraper.read(0.3)
    first = time.monotonic() - began
    began = time.monotonic()
    page = series(await scraper.read(0.3))
    later = time.monotonic() - began
    await scraper.close()

    assert page['toy_depth{queue="a"}'] == 1
    assert page[about("failure", "hung:1", reason="timeout")] == 1
    assert later < first  # the first waited out its budget, the second did not wait for the hung one at all


async def test_a_late_source_is_exported_again_after_its_response() -> None:
    Late.responds = asyncio.Event()
    scraper = Scraper([Late()])
    pages = [series(await scraper.read(0.1)), series(await scraper.read(0.1))]
    Late.responds.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    pages.append(series(await scraper.read(5)))
    await scraper.close()
    first, second, third = pages

    assert (first[about("up")], second[about("up")], third[about("up")]) == (0, 0, 1)
    assert third['toy_depth{queue="late"}'] == 2


async def test_overlapping_scrapes_share_one_collection() -> None:
    class Counting(Toy):
        readings: ClassVar[int] = 0

        async def collect(self) -> list[Sample]:
            type(self).readings += 1
            await asyncio.sleep(0)
            return [DEPTH(self.readings, queue="a")]

    scraper = Scraper([Counting()])
    await asyncio.gather(*[scraper.read(5) for _ in range(10)])
    await scraper.close()

    assert Counting.readings == 1


async def test_a_short_timeout_does_not_affect_a_concurrent_scrape() -> None:
    Late.responds = asyncio.Event()
    scraper = Scraper([Late()])
    long = asyncio.create_task(scraper.read(5))
    short = series(await scraper.read(0.05))
    states = [copy.copy(state) for state in scraper.states]
    Late.responds.set()
    whole = series(await long)
    await scraper.close()

    assert short[about("up")] == 0
    assert short[about("failure", reason="timeout")] == 1
    assert whole[about("up")] == 1
    assert whole['toy_depth{queue="late"}'] == 2
    assert [state.up for state in states] == [None]  # the collection was still running


async def test_a_snapshot_is_the_result_of_the_last_collection() -> None:
    scraper = Scraper([Toy(), Failing(name="bad:1")])
    both = await scraper.snapshots("toy", 5), [state.snapshot for state in scraper.states]
    await scraper.close()
    found, kept = both

    assert found == [[DEPTH(1, queue="a")]]
    assert kept == [*found, None]


async def test_snapshots_of_a_source_that_fails_raise_its_reason() -> None:
    async def read() -> None:
        scraper = Scraper([Failing(name="bad:1")])
        try:
            await scraper.snapshots("toy", 5)
        finally:
            await scraper.close()

    with pytest.raises(SourceError, match="no key"):
        await read()


async def test_series_over_the_limit_are_dropped_and_counted() -> None:
    page = await scraped(Many(max_series=1000))

    assert page[about("series")] == 1000
    assert page[about("dropped_series")] == 299_000
    assert sum(name.startswith("toy_depth") for name in page) == 1000


async def test_a_duplicate_series_is_exported_once() -> None:
    page = await scraped(Doubled())

    assert (page['toy_depth{queue="a"}'], page['toy_depth{queue="b"}']) == (1, 3)
    assert page[about("dropped_series")] == 1


async def test_a_metric_that_the_source_does_not_declare_is_a_bug() -> None:
    page = await scraped(Undeclared())

    assert page[about("failure", reason="bug")] == 1
    assert "toy_other" not in page


async def test_one_log_line_when_a_source_changes_state(caplog: pytest.LogCaptureFixture) -> None:
    scraper = Scraper([Failing()])
    for _ in range(3):
        await scraper.read(5)
    await scraper.close()

    assert [(record.message, vars(record)["reason"]) for record in caplog.records] == [("source is down", "unauthorized")]
