"""What events add up to: agents, councils, deliberations, stories, tasks, counts; and that nothing grows without end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.event import Message, parsed
from exporter.fleet.agents import AgentState, Patience
from exporter.fleet.deliberations import Ending
from exporter.fleet.samples import samples
from exporter.fleet.stages import story_move_is_legal, task_move_is_legal
from exporter.fleet.state import Caps, Fleet
from tests.fleet.test_event import BODIES, SUBJECTS
from tests.reading import series

NOW = 1_763_632_800.0


class Story:
    """A fleet that is told of events, a second apart unless said otherwise."""

    def __init__(self, fleet: Fleet | None = None) -> None:
        self.fleet = fleet or Fleet()
        self.now = NOW

    def tells(self, subject: str, after: float = 1.0, **body: Any) -> Story:
        self.now += after
        self.fleet.apply(parsed(Message(subject, json.dumps(body).encode(), self.now, "S", 1)), self.now)
        return self

    def answers(self, number: int, *, role: str = "DEV", failed: bool = False, **more: Any) -> Story:
        agent = {"task_id": "T", "agent_id": f"agent-{role.lower()}-{number}", "role": role}
        body: dict[str, Any] = {"num_agents": 3, "duration_ms": 500, **agent, **more}
        return self.tells(f"agent.response.{'failed' if failed else 'completed'}", **body)

    def states(self, later: float = 0.0) -> dict[str, str]:
        agents = self.fleet.agents
        return {agent.id: agents.state_of(agent, self.now + later)[0].value for agent in agents.known}

    @property
    def page(self) -> dict[str, float]:
        return series(samples(self.fleet, self.now))


def test_an_agent_goes_from_answer_to_idle_to_gone() -> None:
    story = Story().answers(1)

    assert story.states() == {"agent-dev-1": "completed"}
    assert story.states(later=301) == {"agent-dev-1": "idle"}
    story.fleet.expire(story.now + 3601)
    assert story.states() == {}


def test_the_first_answer_says_that_the_rest_of_the_council_is_at_it() -> None:
    story = Story().answers(1).answers(2).answers(3, failed=True)
    story.answers(1, task_id="T2")

    assert story.states() == {"agent-dev-1": "completed", "agent-dev-2": "deliberating", "agent-dev-3": "deliberating"}
    assert story.states(later=31)["agent-dev-2"] == "unresponsive"
    story.answers(2, task_id="T2")
    assert story.states()["agent-dev-2"] == "completed"


def test_more_tasks_for_its_council_do_not_end_an_agents_silence() -> None:
    story = Story().answers(1).answers(2).answers(3)
    for number in range(20):
        story.answers(1, task_id=f"T{number}").answers(2, task_id=f"T{number}")

    assert story.states() == {"agent-dev-1": "completed", "agent-dev-2": "completed", "agent-dev-3": "unresponsive"}
    story.answers(3, task_id="T0")
    assert story.states()["agent-dev-3"] == "completed"


def test_of_a_council_larger_than_was_asked_nobody_knows_who_is_at_it() -> None:
    story = Story().answers(1).answers(2).answers(3)
    story.answers(1, task_id="T2", num_agents=2)

    assert "deliberating" not in story.states().values()


def test_a_dispatched_task_and_its_progress_are_deliberation() -> None:
    story = Story().tells("orchestration.task.dispatched", task_id="T", agent_id="agent-qa-1", role="QA")
    story.tells("agent.response.progress", after=20, task_id="T", agent_id="agent-qa-1", progress_pct=50)

    assert story.states() == {"agent-qa-1": "deliberating"}
    assert story.states(later=11) == {"agent-qa-1": "unresponsive"}


def test_an_agent_that_others_speak_of_is_unknown() -> None:
    story = Story().tells(
        "planning.backlog_review.deliberations.complete",
        story_id="US-1",
        agent_deliberations=[
            {"agent_id": "agent-architect-001", "role": "ARCHITECT", "proposal": "{}"},
            None,
            {"agent_id": {}},
        ],
    )

    assert story.states() == {"agent-architect-001": "unknown"}
    assert story.page['fleet_agents{system="fleet",role="ARCHITECT",state="unknown"}'] == 1


def test_a_council_has_a_size_and_an_expected_size() -> None:
    story = Story().tells("orchestration.council.created", council_id="council-dev", role="DEV", num_agents=3).answers(1)

    assert story.page['fleet_council_agents{role="DEV"}'] == 1
    assert story.page['fleet_council_ready_agents{role="DEV"}'] == 1
    assert story.page['fleet_council_expected_agents{role="DEV"}'] == 3


def test_an_agent_remembers_its_last_ten_tasks() -> None:
    story = Story()
    for number in range(14):
        story.answers(1, task_id=f"T{number}", failed=number % 7 == 0)

    agent = story.fleet.agents.known.get("agent-dev-1")
    assert agent is not None
    assert [done.task for done in agent.history] == [f"T{number}" for number in range(4, 14)]
    assert (agent.completed, agent.failed, agent.success_ratio, agent.mean_seconds) == (12, 2, 12 / 14, 0.5)


def ended(story: Story) -> dict[tuple[str, Ending], int]:
    return {key: count for key, count in story.fleet.deliberations.ended.items() if count}


def test_a_deliberation_runs_from_its_first_answer_to_its_last() -> None:
    story = Story().answers(1, duration_ms=2000).answers(2)
    [deliberation] = story.fleet.deliberations.open
    assert (deliberation.inferred, deliberation.asked, deliberation.started) == (True, 3, NOW + 1 - 2)

    story.answers(3, failed=True)

    assert ended(story) == {("DEV", Ending.COMPLETED): 1}
    assert story.page['fleet_deliberation_duration_seconds_sum{role="DEV"}'] == 4
    assert story.page['fleet_open_deliberations{role="DEV"}'] == 0
    assert story.page['fleet_deliberation_agents_total{role="DEV",answer="failed"}'] == 1


def test_a_deliberation_that_was_announced_began_then() -> None:
    story = Story().tells("orchestration.deliberation.started", task_id="T", role="DEV", num_agents=2)
    story.answers(1, num_agents=2, duration_ms=9000).answers(2, num_agents=2)

    assert story.page['fleet_deliberation_duration_seconds_sum{role="DEV"}'] == 2


def test_one_that_only_failures_answer_has_failed() -> None:
    story = Story().answers(1, failed=True).answers(2, failed=True).answers(3, failed=True)

    assert ended(story) == {("DEV", Ending.FAILED): 1}


def test_one_that_is_not_answered_in_time_ends_by_timeout_or_unknown() -> None:
    story = Story().answers(1).answers(1, task_id="E1", num_agents=None)
    story.fleet.expire(story.now + 298)
    assert len(story.fleet.deliberations.open) == 1 + 1
    story.fleet.expire(story.now + 301)

    assert ended(story) == {("DEV", Ending.TIMEOUT): 1, ("DEV", Ending.UNKNOWN): 1}


def test_the_event_of_its_end_counts_once_whoever_sends_it_and_however_often() -> None:
    story = Story().answers(1).answers(2).answers(3)
    for subject in ("deliberation.completed", "orchestration.deliberation.completed"):
        story.tells(subject, task_id="T", status="completed", duration_ms=100)

    assert ended(story) == {("DEV", Ending.COMPLETED): 1}


def test_the_event_of_its_end_closes_it_for_every_role() -> None:
    story = Story().answers(1).answers(1, role="QA")
    story.tells("deliberation.failed", task_id="T", status="failed", error="Timeout after 300s")

    assert ended(story) == {("DEV", Ending.FAILED): 1, ("QA", Ending.FAILED): 1}


def test_an_end_of_what_was_never_heard_of_counts_too() -> None:
    story = Story().tells("deliberation.completed", task_id="T", role="QA", total_agents=3, duration_ms=1500)

    assert ended(story) == {("QA", Ending.COMPLETED): 1}
    assert story.page['fleet_deliberation_duration_seconds_sum{role="QA"}'] == 1.5


def test_an_answer_that_comes_late_or_twice_opens_nothing_and_counts_once() -> None:
    story = Story().answers(1).answers(1).answers(2).answers(3).answers(3)

    assert len(story.fleet.deliberations.open) == 0
    assert story.page['fleet_deliberation_agents_total{role="DEV",answer="answered"}'] == 3
    assert story.page['fleet_agent_responses_total{role="DEV",outcome="completed"}'] == 5


def test_a_story_goes_through_its_stages() -> None:
    story = Story().tells("planning.story.created", story_id="US-1", title="A story")
    story.tells("planning.story.transitioned", after=10, story_id="US-1", from_state="BACKLOG", to_state="DRAFT")
    story.tells("orchestration.phase.changed", story_id="US-1", from_phase="BACKLOG", to_phase="DRAFT")
    story.tells("planning.plan.approved", story_id="US-1", plan_id="PL-1")
    story.tells("planning.story.transitioned", story_id="US-1", from_phase="DRAFT", to_phase="BUILD")

    page = story.page
    assert page['fleet_stories{stage="BUILD"}'] == 1
    assert page['fleet_stories{stage="DRAFT"}'] == 0
    assert 'fleet_story_oldest_in_stage_timestamp_seconds{stage="DRAFT"}' not in page
    assert page['fleet_story_transitions_total{from_stage="BACKLOG",to_stage="DRAFT"}'] == 1
    assert page['fleet_story_stage_duration_seconds_sum{stage="BACKLOG"}'] == 10
    assert page["fleet_story_illegal_transitions_total"] == 1  # DRAFT → BUILD skips DESIGN
    assert page['fleet_story_oldest_in_stage_timestamp_seconds{stage="BUILD"}'] == story.now
    known = story.fleet.stories.things.get("US-1")
    assert known is not None
    assert (known.title, known.plan) == ("A story", "PL-1")


@pytest.mark.parametrize(
    ("before", "after", "legal"),
    [
        ("BACKLOG", "DRAFT", True),
        ("TEST", "BUILD", True),
        ("DRAFT", "BUILD", False),
        ("DONE", "BUILD", False),
        ("READY_FOR_EXECUTION", "DONE", True),
    ],
)
def test_moves_of_stories(before: str, after: str, legal: bool) -> None:
    assert story_move_is_legal(before, after) is legal


@pytest.mark.parametrize(
    ("before", "after", "legal"),
    [
        ("todo", "implementing", True),
        ("qa_failed", "implementing", True),
        ("todo", "done", False),
        ("done", "cancelled", False),
        ("implementing", "cancelled", True),
        ("somewhere", "done", True),
    ],
)
def test_moves_of_tasks(before: str, after: str, legal: bool) -> None:
    assert task_move_is_legal(before, after) is legal


def test_a_task_goes_from_deliberation_through_the_workflow() -> None:
    story = Story().answers(1)
    assert story.page['fleet_tasks{stage="deliberating"}'] == 1
    story.answers(2).answers(3).tells("orchestration.deliberation.completed", task_id="T", decisions=[])
    assert story.page['fleet_tasks{stage="deliberated"}'] == 1
    story.tells("workflow.state.changed", task_id="T", from_state="todo", to_state="done", actor_role="developer")

    assert story.page['fleet_tasks{stage="done"}'] == 1
    assert story.page["fleet_task_illegal_transitions_total"] == 1


def test_what_is_read_back_shapes_the_state_and_is_not_counted() -> None:
    story = Story().answers(1).answers(2).answers(3).tells("planning.story.created", story_id="US-1")
    story.fleet.start_counting()

    page = story.page
    counters = {name: value for name, value in page.items() if "_total{" in name or name.endswith("_total")}
    assert counters
    assert set(counters.values()) == {0}
    assert page['fleet_agents{system="fleet",role="DEV",state="completed"}'] == 3
    assert page['fleet_stories{stage="BACKLOG"}'] == 1
    assert page['fleet_agent_response_duration_seconds_count{role="DEV",model="unknown"}'] == 0


def test_exemplars_carry_the_ids_that_are_no_labels() -> None:
    story = Story().answers(1, story_id="US-1", model="Q")
    texts = [sample.text for sample in samples(story.fleet, NOW) if "response_duration" in sample.metric.name]

    assert '# {task_id="T",story_id="US-1"} 0.5 ' in texts[0]


def test_a_million_names_do_not_push_out_the_living() -> None:
    caps = Caps(agents=50, stories=50, tasks=50, deliberations=50, series=60, roles=12, models=5, producers=5)
    story = Story(Fleet(caps)).answers(1)
    for number in range(3000):
        name = f"x{number}"
        story.answers(1, role=f"R{number}", after=0.001, task_id=name, agent_id=name, story_id=name, model=name)
        story.tells(f"planning.{name}", after=0.001, payload={}, producer=name)
        story.tells(
            "planning.story.transitioned", after=0.001, story_id=name, from_state=f"A{number}", to_state=f"B{number}"
        )

    fleet = story.fleet
    assert fleet.agents.known.get("agent-dev-1") is not None
    assert max(len(fleet.agents.known), len(fleet.stories.things), len(fleet.tasks.things)) == 50
    assert len(story.page) < 4000
    refused = fleet.refused()
    assert all(refused[kind] for kind in ("agent", "story", "task", "deliberation", "series", "role", "model", "producer"))
    assert len(fleet.counts.events) <= 60 + 9 * 6  # one more `other` for each family and outcome


def test_a_silent_agent_makes_room_for_a_new_one() -> None:
    story = Story(Fleet(Caps(agents=1), Patience())).answers(1).answers(2, after=301)

    assert list(story.states()) == ["agent-dev-2"]


@settings(max_examples=200)
@given(
    told=st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(("DEV", "QA", "OPS")), st.floats(0, 2000)), max_size=40
    )
)
def test_agents_are_found_by_role_whoever_comes_changes_role_or_goes(told: list[tuple[str, str, float]]) -> None:
    story = Story(Fleet(Caps(agents=4)))
    known = story.fleet.agents.known
    for agent, role, after in told:
        story.answers(1, agent_id=agent, role=role, after=after)
        story.fleet.expire(story.now)

        of_roles = [known.of_role(one) for one in ("DEV", "QA", "OPS")]
        assert [{one.id for one in known if one.role == name} for name in ("DEV", "QA", "OPS")] == [
            set(one) for one in of_roles
        ]
    story.fleet.expire(story.now + 10_000)
    assert not known._by_role


@settings(max_examples=60)
@given(events=st.lists(st.tuples(SUBJECTS, BODIES, st.floats(0, 1e4)), max_size=30))
def test_whatever_is_told_the_page_stays_a_page(events: list[tuple[str, dict[str, Any], float]]) -> None:
    story = Story()
    for subject, body, after in events:
        story.now += after
        story.fleet.apply(parsed(Message(subject, json.dumps(body).encode(), story.now)), None)
    story.fleet.expire(story.now)

    page = story.page
    assert all(value >= 0 for name, value in page.items() if "timestamp" not in name)
    states = [value for name, value in page.items() if name.startswith("fleet_agent_state{")]
    assert sum(states) == len(states) / len(AgentState)
