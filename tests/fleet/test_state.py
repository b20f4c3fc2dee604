"""State from events: stories, tasks and counters; memory is bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.events.model import Message, parsed
from exporter.fleet.agents import AgentState
from exporter.fleet.registry import Member
from exporter.fleet.stages import story_move_is_legal, task_move_is_legal
from exporter.fleet.state import Caps, Fleet
from exporter.sources.fleet.samples import samples
from exporter.sources.fleet.snapshot import state_of
from tests.events.shapes import BODIES, SUBJECTS
from tests.support.story import NOW, Story


def test_a_story_goes_through_its_stages() -> None:
    story = Story().publishes("planning.story.created", story_id="US-1", title="A story")
    story.publishes("planning.story.transitioned", after=10, story_id="US-1", from_state="BACKLOG", to_state="DRAFT")
    story.publishes("orchestration.phase.changed", story_id="US-1", from_phase="BACKLOG", to_phase="DRAFT")
    story.publishes("planning.plan.approved", story_id="US-1", plan_id="PL-1")
    story.publishes("planning.story.transitioned", story_id="US-1", from_phase="DRAFT", to_phase="BUILD")

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
    story = Story().responds(1)
    assert story.page['fleet_tasks{stage="deliberating"}'] == 1
    story.responds(2).responds(3).publishes("orchestration.deliberation.completed", task_id="T", decisions=[])
    assert story.page['fleet_tasks{stage="deliberated"}'] == 1
    story.publishes("workflow.state.changed", task_id="T", from_state="todo", to_state="done", actor_role="developer")

    assert story.page['fleet_tasks{stage="done"}'] == 1
    assert story.page["fleet_task_illegal_transitions_total"] == 1


def test_replayed_events_set_the_state_and_are_not_counted() -> None:
    story = Story().responds(1).responds(2).responds(3).publishes("planning.story.created", story_id="US-1")
    story.fleet.start_counting()

    page = story.page
    counters = {name: value for name, value in page.items() if "_total{" in name or name.endswith("_total")}
    assert counters
    assert set(counters.values()) == {0}
    assert page['fleet_agents{system="fleet",role="DEV",state="completed"}'] == 3
    assert page['fleet_stories{stage="BACKLOG"}'] == 1
    assert page['fleet_agent_response_duration_seconds_count{role="DEV",model="unknown"}'] == 0


def test_a_response_that_names_no_agent_counts_as_a_response() -> None:
    page = Story().publishes("agent.response.completed", task_id="T", role="DEV", duration_ms=500).page

    assert page['fleet_agent_responses_total{role="DEV",outcome="completed"}'] == 1
    assert page['fleet_agent_response_duration_seconds_count{role="DEV",model="unknown"}'] == 1
    assert not any(name.startswith("fleet_agent_state{") for name in page)


def test_values_that_cannot_be_read_are_counted_and_the_event_is_kept() -> None:
    page = Story().responds(1, duration_ms=float("nan"), tokens="many", score=float("inf")).page

    assert page['fleet_agent_responses_total{role="DEV",outcome="completed"}'] == 1
    counted = {name.split('"')[1]: value for name, value in page.items() if name.startswith("fleet_events_unreadable_")}
    assert counted == {"time": 0, "duration": 1, "tokens": 1, "other": 1}
    assert page['fleet_events_unparsed_total{reason="not_json"}'] == 0


def test_a_long_subject_is_cut_as_a_label() -> None:
    story = Story().publishes(f"x.{'y' * 300}", a=1).publishes("planning.backlog_review.deliberations.complete", a=1)

    subjects = {name.split('subject="')[1].split('"')[0] for name in story.page if name.startswith("fleet_events_total")}
    assert "planning.backlog_review.deliberations.complete" in subjects
    assert {len(subject) for subject in subjects} == {46, 120}


def test_tasks_and_durations_of_each_agent() -> None:
    story = Story().responds(1).responds(1, failed=True, duration_ms=30_000).responds(2)
    page = story.page
    who = 'agent="agent-dev-1",role="DEV"'

    assert page[f'fleet_agent_tasks_total{{{who},outcome="completed"}}'] == 1
    assert page[f'fleet_agent_tasks_total{{{who},outcome="failed"}}'] == 1
    assert page[f"fleet_agent_task_duration_seconds_sum{{{who}}}"] == 30.5
    assert page['fleet_agent_tasks_total{agent="agent-dev-2",role="DEV",outcome="failed"}'] == 0

    story.fleet.start_counting()
    assert story.page[f'fleet_agent_tasks_total{{{who},outcome="completed"}}'] == 0


def test_a_storys_lead_time_is_observed_once_when_it_is_done() -> None:
    story = Story().publishes("planning.story.created", story_id="US-1")
    for after in ("DRAFT", "DONE", "DONE"):
        story.publishes("planning.story.transitioned", after=10, story_id="US-1", to_state=after)
    story.publishes("planning.story.transitioned", story_id="US-2", from_state="DOCS", to_state="DONE")  # creation not seen

    page = story.page
    assert (page["fleet_story_lead_time_seconds_count"], page["fleet_story_lead_time_seconds_sum"]) == (1, 20)


def test_exemplars_carry_the_ids_that_are_no_labels() -> None:
    story = Story().responds(1, story_id="US-1", model="Q")
    [duration] = [sample for sample in samples(state_of(story.fleet, NOW)) if "response_duration" in sample.metric.name]
    [exemplar] = filter(None, duration.exemplars)

    assert (exemplar.labels, exemplar.value) == ((("task_id", "T"), ("story_id", "US-1")), 0.5)


def test_a_million_names_do_not_evict_active_agents() -> None:
    caps = Caps(agents=50, stories=50, tasks=50, deliberations=50, series=60, roles=12, models=5, producers=5)
    story = Story(Fleet(caps)).responds(1)
    for number in range(3000):
        name = f"x{number}"
        story.responds(1, role=f"R{number}", after=0.001, task_id=name, agent_id=name, story_id=name, model=name)
        story.publishes(f"planning.{name}", after=0.001, payload={}, producer=name)
        story.publishes(
            "planning.story.transitioned", after=0.001, story_id=name, from_state=f"A{number}", to_state=f"B{number}"
        )

    fleet = story.fleet
    assert fleet.agents.known.get("agent-dev-1") is not None
    assert max(len(fleet.agents.known), len(fleet.stories.things), len(fleet.tasks.things)) == 50
    assert len(story.page) < 4000
    refused = fleet.refused()
    assert all(refused[kind] for kind in ("agent", "story", "task", "deliberation", "series", "role", "model", "producer"))
    assert len(fleet.counts.events) <= 60 + 9 * 6  # one more `other` for each family and outcome


def test_reading_the_state_does_not_change_it() -> None:
    """A scrape that counts limit hits makes the counter rise without events."""
    story = Story()
    for number in range(100):
        story.responds(1, role=f"R{number}", task_id=f"T{number}", agent_id=f"a{number}")
        story.publishes("planning.story.transitioned", story_id=f"US-{number}", to_state=f"STAGE-{number}")

    refused = story.fleet.refused()
    pages = [story.page for _ in range(3)]
    assert story.fleet.refused() == refused
    assert pages[0] == pages[1] == pages[2]
    assert refused["role"] > 0
    assert refused["stage"] > 0


def test_registered_agents_over_the_role_limit_count_as_limit_hits() -> None:
    story = Story(Fleet(Caps(roles=12)))
    story.fleet.agents.register([Member(f"a{number}", f"R{number}", None) for number in range(20)], NOW)

    page = story.page
    agents = {name: value for name, value in page.items() if name.startswith("fleet_council_agents")}
    assert page['fleet_exporter_limit_hits_total{kind="role"}'] == agents['fleet_council_agents{role="other"}'] > 0
    assert sum(agents.values()) == 20


@settings(max_examples=60)
@given(events=st.lists(st.tuples(SUBJECTS, BODIES, st.floats(0, 1e4)), max_size=30))
def test_any_events_give_a_valid_page(events: list[tuple[str, dict[str, Any], float]]) -> None:
    story = Story()
    for subject, body, after in events:
        story.now += after
        story.fleet.apply(parsed(Message(subject, json.dumps(body).encode(), story.now)), None)
    story.fleet.expire(story.now)

    page = story.page
    assert all(value >= 0 for name, value in page.items() if "timestamp" not in name)
    states = [value for name, value in page.items() if name.startswith("fleet_agent_state{")]
    assert sum(states) == len(states) / len(AgentState)
