"""Clocks of agents, the server or the exporter that are wrong by a day do not affect expiry."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.clients.clock import ServerClock, WallClock
from exporter.events.model import Message, parsed
from exporter.fleet.agents import AgentTimeouts
from exporter.fleet.state import Caps, Fleet
from tests.support.story import NOW, Story

DAY = 86_400.0
SKEWS = (-DAY, DAY)


def response(agent: str, stored: float, **more: object) -> Message:
    body = {"task_id": f"T-{agent}", "agent_id": agent, "role": "DEV", "num_agents": 3, **more}
    return Message("agent.response.completed", json.dumps(body).encode(), stored, "S", 1)


def agents(fleet: Fleet) -> set[str]:
    return {agent.id for agent in fleet.agents.known}


def test_an_agent_with_a_future_time_does_not_prevent_expiry() -> None:
    fleet = Fleet()
    fleet.apply(parsed(response("tomorrow", NOW + DAY)), NOW)
    for number in range(300):
        fleet.apply(parsed(response(f"a{number}", NOW)), NOW)

    fleet.expire(NOW + 3500)
    assert len(agents(fleet)) == 301
    fleet.expire(NOW + 3601)
    assert agents(fleet) == set()


def test_agents_with_future_times_block_no_slot() -> None:
    fleet = Fleet(Caps(agents=3), AgentTimeouts())
    for number in range(3):
        fleet.apply(parsed(response(f"tomorrow{number}", NOW + DAY)), NOW)
    fleet.apply(parsed(response("today", NOW + 301)), NOW + 301)

    assert "today" in agents(fleet)
    assert fleet.refused()["agent"] == 0


def test_replayed_events_with_future_times_are_current_at_most() -> None:
    fleet = Fleet()
    fleet.apply(parsed(response("a", NOW + DAY)))
    fleet.expire(NOW)
    assert agents(fleet) == {"a"}
    fleet.expire(NOW + 3601)

    assert agents(fleet) == set()


@pytest.mark.parametrize("skew", SKEWS)
def test_a_servers_clock_changes_no_expiry(skew: float) -> None:
    fleet = Fleet()
    fleet.apply(parsed(response("back", NOW - 600 + skew)), ahead=skew)
    fleet.apply(parsed(response("live", NOW + skew)), NOW, ahead=skew)

    assert agents(fleet) == {"back", "live"}
    fleet.expire(NOW + 3001)
    assert agents(fleet) == {"live"}
    fleet.expire(NOW + 3601)
    assert agents(fleet) == set()


@pytest.mark.parametrize("skew", [*SKEWS, -250.0, 250.0])
def test_an_agents_clock_changes_no_timeout(skew: float) -> None:
    fleet = Fleet()
    fleet.apply(parsed(response("a", NOW, timestamp=NOW + skew)), NOW)
    fleet.expire(NOW + 299)
    assert len(fleet.deliberations.open) == 1
    fleet.expire(NOW + 301)

    assert len(fleet.deliberations.open) == 0
    assert {ending.value: count for (_, ending), count in fleet.deliberations.ended.items()} == {"timeout": 1}


@pytest.mark.parametrize("skew", [*SKEWS, -250.0, 250.0])
def test_an_agents_clock_blocks_no_deliberation(skew: float) -> None:
    fleet = Fleet(Caps(deliberations=2))
    for number in range(10):
        fleet.apply(parsed(response(f"a{number}", NOW + number, timestamp=NOW + number + skew, num_agents=1)), NOW + number)

    recent = [found.task for found in fleet.deliberations.recent]
    assert recent == ["T-a8", "T-a9"]
    assert fleet.refused()["deliberation"] == 0


@pytest.mark.parametrize("step", SKEWS)
def test_setting_the_exporters_clock_changes_no_expiry(step: float) -> None:
    story = Story().responds(1)
    story.fleet.shift(step)
    story.now += step

    assert story.states() == {"agent-dev-1": "completed"}
    story.fleet.expire(story.now + 299)
    assert len(story.fleet.deliberations.open) == 1
    story.fleet.expire(story.now + 301)
    assert len(story.fleet.deliberations.open) == 0
    assert story.states(301) == {"agent-dev-1": "idle"}
    story.fleet.expire(story.now + 3601)
    assert story.states() == {}


@given(
    events=st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.floats(-2 * DAY, 2 * DAY), st.floats(-DAY, DAY), st.floats(0, 1000)),
        max_size=30,
    )
)
def test_everything_expires_in_time_with_any_clocks(events: list[tuple[str, float, float, float]]) -> None:
    fleet = Fleet(Caps(agents=4, deliberations=4))
    now = NOW
    for name, server, agent, after in events:
        now += after
        fleet.apply(parsed(response(name, now + server, timestamp=now + agent)), now)
        fleet.expire(now)
    fleet.expire(now + 3601)

    assert agents(fleet) == set()
    assert len(fleet.deliberations.open) == 0


class Hands:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall, self.steady = NOW, 100.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_a_clock_change_is_detected_once() -> None:
    hands = Hands()
    clock = WallClock(lambda: hands.wall, lambda: hands.steady)
    hands.pass_by(500)
    assert clock.read() == (NOW + 500, 0)
    hands.wall += DAY

    assert clock.read() == (NOW + 500 + DAY, DAY)
    assert clock.read() == (NOW + 500 + DAY, 0)


def test_the_server_clock_offset_survives_a_local_clock_change() -> None:
    hands = Hands()
    clock = ServerClock(lambda: hands.wall, lambda: hands.steady)
    assert clock.ahead == 0
    clock.record(hands.wall + 0.2)
    assert clock.ahead == 0
    clock.record(hands.wall + DAY)
    hands.pass_by(500)
    assert clock.ahead == DAY
    hands.wall -= 3600

    assert clock.ahead == DAY + 3600
