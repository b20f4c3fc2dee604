"""A healthy fleet in unusual situations, and restarts of the exporter and Prometheus: no critical alert, no warning."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.fleet.state import Fleet
from exporter.sources.fleet.samples import samples
from exporter.sources.fleet.snapshot import state_of
from tests.alerts.quiet import Scrape, at, firing, skewed, steps
from tests.support.pages import Page, series
from tests.support.story import Story

ROLES = ("DEV", "QA", "ARCHITECT")
UP = 'fleet_exporter_source_up{source="%s",server="127.0.0.1:1"}'
SOURCES = ("fleet", "jetstream", "valkey", "vllm", "neo4j", "rayjob")


class Day:
    """A fleet in simulated time: the exporter's pages are made from the events of each step."""

    def __init__(self) -> None:
        self.story = Story(Fleet())
        self.pages: list[Page] = []
        self._tasks = 0
        self._random = random.Random(1)

    def pass_minutes(self, minutes: float, *, council: int = 3, generation: int = 0) -> Day:
        """Simulate this time, with a deliberation per role in most steps; councils of size 0 do nothing."""
        for _ in range(steps(minutes)):
            now = at(len(self.pages))
            self.story.now = now - 25
            if council and self._random.random() < 0.8:
                for role in ROLES:
                    self._deliberate(role, council, generation)
            self.story.fleet.expire(now)
            page = series(samples(state_of(self.story.fleet, now)))
            self.pages.append(page | dict.fromkeys((UP % source for source in SOURCES), 1.0))
        return self

    def _deliberate(self, role: str, council: int, generation: int) -> None:
        self._tasks += 1
        for number in range(council):
            failed = self._random.random() < 0.01  # the objective allows 0.05
            agent = f"agent-{role.lower()}-{generation}{number}"
            task = f"T{self._tasks}"
            self.story.responds(
                number, role=role, failed=failed, after=0.3, task_id=task, agent_id=agent, num_agents=council
            )


def quiet(promtool: Path, folder: Path, **targets: Sequence[Scrape]) -> None:
    assert firing(promtool, folder, targets) == set()


def test_an_empty_fleet_on_a_sunday(promtool: Path, tmp_path: Path) -> None:
    quiet(promtool, tmp_path, a=Day().pass_minutes(60).pass_minutes(240, council=0).pass_minutes(30).pages)


def test_councils_that_scale_to_zero_and_back_with_other_agents(promtool: Path, tmp_path: Path) -> None:
    day = Day().pass_minutes(60).pass_minutes(20, council=0).pass_minutes(100, generation=1)

    quiet(promtool, tmp_path, a=day.pages)


def test_agents_that_are_restarted_under_new_names(promtool: Path, tmp_path: Path) -> None:
    day = Day().pass_minutes(40)
    for generation in range(1, 4):
        day.pass_minutes(25, generation=generation)

    quiet(promtool, tmp_path, a=day.pages)


def test_councils_that_grow_and_shrink(promtool: Path, tmp_path: Path) -> None:
    quiet(promtool, tmp_path, a=Day().pass_minutes(40).pass_minutes(60, council=5).pass_minutes(100, council=2).pages)


def test_an_exporter_that_is_rolled(promtool: Path, tmp_path: Path) -> None:
    """The new pod starts with counters at 0 and takes over after a minute in which neither is scraped."""
    before, after = Day().pass_minutes(40), Day()
    after.pages = [{}] * (len(before.pages) + 2)
    after.story.fleet.start_counting()
    after.pass_minutes(40)
    old: list[Scrape] = [*before.pages]
    new: list[Scrape] = [None] * (len(before.pages) + 2)

    quiet(promtool, tmp_path, a=old, b=[*new, *after.pages[len(new) :]])


@pytest.mark.parametrize("gap", [1, 4, 7], ids=lambda gap: f"{gap} scrapes")
def test_gaps_between_scrapes_and_a_prometheus_that_restarts(promtool: Path, tmp_path: Path, gap: int) -> None:
    pages: list[Scrape] = [*Day().pass_minutes(90).pages]
    for start in (40, 80, 120):
        pages[start : start + gap] = [None] * gap

    quiet(promtool, tmp_path, a=pages)


@pytest.mark.parametrize("seconds", [-60, 60])
def test_clocks_that_differ_by_a_minute(promtool: Path, tmp_path: Path, seconds: float) -> None:
    quiet(promtool, tmp_path, a=[skewed(page, seconds) for page in Day().pass_minutes(60).pages])


def _reload(page: Page, *, is_up: bool, total: float) -> Page:
    server = 'server="10.0.0.1:8000",model="m",engine="0"'
    found = page | {'vllm_discovered_servers{service="models/vllm:http"}': float(is_up)}
    if is_up:
        found |= {
            f"vllm_requests_waiting{{{server}}}": 0.0,
            f"vllm_kv_cache_usage_ratio{{{server}}}": 0.1,
            f"vllm_generation_tokens_total{{{server}}}": total,
            f'vllm_requests_finished_total{{{server},finished_reason="stop"}}': total / 100,
        }
    return found


def test_a_model_that_reloads_for_ten_minutes(promtool: Path, tmp_path: Path) -> None:
    """Its pod is not ready, so the Service has no endpoint; the agents wait for it."""
    day = Day().pass_minutes(40).pass_minutes(10, council=0).pass_minutes(40)
    down = range(steps(40), steps(50))
    pages = [
        _reload(page, is_up=step not in down, total=1000.0 * (step if step < down.start else step - down.stop))
        for step, page in enumerate(day.pages)
    ]

    quiet(promtool, tmp_path, a=pages)


def test_agents_that_do_not_respond_are_still_reported(promtool: Path, tmp_path: Path) -> None:
    day = Day().pass_minutes(20)
    for _ in range(steps(20)):
        now = at(len(day.pages))
        day.story.now = now - 28
        day.story.responds(0, role="DEV", task_id=f"late-{now}", agent_id="agent-dev-00", num_agents=3)
        day.pages.append(series(samples(state_of(day.story.fleet, now))))

    assert "FleetAgentUnresponsive" in firing(promtool, tmp_path, {"a": day.pages})
