"""Pages of an exporter as one Prometheus scrapes them, next to what really happened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.pages import Page
from tests.support.remote_write import write

INTERVAL = 15


class Backend(Protocol):
    """What a source reads, and an exporter that reads it."""

    async def page(self) -> Page:
        """The page of the exporter that runs now, with everything that `work` did."""

    async def work(self) -> Mapping[str, float]:
        """Do something that counters count; how much each series must rise, by `name{labels}`."""


@dataclass
class Recording:
    """The pages of each scrape, and how much each series rose after the first."""

    pages: list[Page] = field(default_factory=list)
    truth: dict[str, float] = field(default_factory=dict)

    async def scrape(self, backend: Backend) -> None:
        self.pages.append(await backend.page())

    async def work(self, backend: Backend) -> None:
        """Scrape before and after; the first work only makes the series known, as no Prometheus sees what was before."""
        rises = await backend.work()
        if self.pages:
            self.truth = {name: self.truth.get(name, 0) + rise for name, rise in rises.items()}
        await self.scrape(backend)
        await self.scrape(backend)

    def increases(self, url: str, recording: str) -> dict[str, float]:
        """What Prometheus says about each series of the truth, over the time of all scrapes."""
        end = time.time()
        times = [end - INTERVAL * age for age in reversed(range(len(self.pages)))]
        samples: dict[str, list[tuple[float, float]]] = {}
        for at, page in zip(times, self.pages, strict=True):
            for name in self.truth.keys() & page.keys():
                samples.setdefault(name, []).append((at, page[name]))
        write(url, [(_labels(name) | {"recording": recording}, points) for name, points in samples.items()])
        # One millisecond more than the scrapes, because later versions leave out the beginning of a range.
        window = f"{(len(times) - 1) * INTERVAL * 1000 + 1}ms"
        return {name: _increase(url, _labels(name) | {"recording": recording}, window, end) for name in self.truth}


def _labels(series: str) -> dict[str, str]:
    """The labels of `name{labels}`, the name as `__name__`."""
    [family] = text_string_to_metric_families(f"{series} 0\n")
    [sample] = family.samples
    return {"__name__": sample.name, **sample.labels}


def _increase(url: str, labels: Mapping[str, str], window: str, at: float) -> float:
    matchers = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    asked = {"query": f"increase({{{matchers}}}[{window}])", "time": f"{at:.3f}"}
    reply = httpx.get(f"{url}/api/v1/query", params=asked, trust_env=False).raise_for_status()
    [found] = reply.json()["data"]["result"] or [{"value": (at, "nan")}]
    return float(found["value"][1])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def families(series: Sequence[str] | Mapping[str, float]) -> Iterator[str]:
    """The metrics of series: a histogram by its own name."""
    for name in series:
        bare = name.partition("{")[0]
        for suffix in ("_count", "_sum", "_bucket"):
            bare = bare.removesuffix(suffix)
        yield bare
