"""Deliberations from events: start, outcome, and each counted once."""

from __future__ import annotations

from exporter.fleet.deliberations import Ending
from tests.support.story import NOW, Story


def ended(story: Story) -> dict[tuple[str, Ending], int]:
    return {key: count for key, count in story.fleet.deliberations.ended.items() if count}


def test_a_deliberation_runs_from_its_first_response_to_its_last() -> None:
    story = Story().responds(1, duration_ms=2000).responds(2)
    [deliberation] = story.fleet.deliberations.open
    assert (deliberation.inferred, deliberation.requested, deliberation.started) == (True, 3, NOW + 1 - 2)

    story.responds(3, failed=True)

    assert ended(story) == {("DEV", Ending.COMPLETED): 1}
    assert story.page['fleet_deliberation_duration_seconds_sum{role="DEV"}'] == 4
    assert story.page['fleet_deliberations_in_progress{role="DEV"}'] == 0
    assert story.page['fleet_deliberation_agents_total{role="DEV",response="failed"}'] == 1


def test_a_deliberation_that_was_announced_began_then() -> None:
    story = Story().publishes("orchestration.deliberation.started", task_id="T", role="DEV", num_agents=2)
    story.responds(1, num_agents=2, duration_ms=9000).responds(2, num_agents=2)

    assert story.page['fleet_deliberation_duration_seconds_sum{role="DEV"}'] == 2


def test_a_deliberation_with_only_failed_responses_has_failed() -> None:
    story = Story().responds(1, failed=True).responds(2, failed=True).responds(3, failed=True)

    assert ended(story) == {("DEV", Ending.FAILED): 1}


def test_a_deliberation_without_responses_ends_as_timeout_or_unknown() -> None:
    story = Story().responds(1).responds(1, task_id="E1", num_agents=None)
    story.fleet.expire(story.now + 298)
    assert len(story.fleet.deliberations.open) == 1 + 1
    story.fleet.expire(story.now + 301)

    assert ended(story) == {("DEV", Ending.TIMEOUT): 1, ("DEV", Ending.UNKNOWN): 1}


def test_a_repeated_end_event_counts_once() -> None:
    story = Story().responds(1).responds(2).responds(3)
    for subject in ("deliberation.completed", "orchestration.deliberation.completed"):
        story.publishes(subject, task_id="T", status="completed", duration_ms=100)

    assert ended(story) == {("DEV", Ending.COMPLETED): 1}


def test_an_end_event_closes_the_deliberation_for_every_role() -> None:
    story = Story().responds(1).responds(1, role="QA")
    story.publishes("deliberation.failed", task_id="T", status="failed", error="Timeout after 300s")

    assert ended(story) == {("DEV", Ending.FAILED): 1, ("QA", Ending.FAILED): 1}


def test_an_end_without_a_start_counts_too() -> None:
    story = Story().publishes("deliberation.completed", task_id="T", role="QA", total_agents=3, duration_ms=1500)

    assert ended(story) == {("QA", Ending.COMPLETED): 1}
    assert story.page['fleet_deliberation_duration_seconds_sum{role="QA"}'] == 1.5


def test_late_and_duplicate_responses_open_no_deliberation() -> None:
    story = Story().responds(1).responds(1).responds(2).responds(3).responds(3)

    assert len(story.fleet.deliberations.open) == 0
    assert story.page['fleet_deliberation_agents_total{role="DEV",response="received"}'] == 3
    assert story.page['fleet_agent_responses_total{role="DEV",outcome="completed"}'] == 5


def test_unobserved_outcomes_are_0() -> None:
    """A counter that starts at 1 would hide its first increase from rate()."""
    page = Story().responds(1, num_agents=1).page

    assert page['fleet_deliberations_total{role="DEV",outcome="completed"}'] == 1
    assert page['fleet_deliberations_total{role="DEV",outcome="timeout"}'] == 0
    assert page['fleet_agent_responses_total{role="DEV",outcome="completed"}'] == 1
    assert page['fleet_agent_responses_total{role="DEV",outcome="failed"}'] == 0


def test_failed_agents_of_an_end_event_are_counted() -> None:
    failed = [{"agent_id": "agent-dev-2", "error": "e"}, {"agent_id": "agent-dev-3", "error": "e"}]
    story = Story().responds(1).responds(2, failed=True)
    story.publishes("orchestration.deliberation.completed", task_id="T", role="DEV", failed_agents=failed)
    assert story.page['fleet_deliberation_agents_total{role="DEV",response="failed"}'] == 2
    story.publishes("orchestration.deliberation.completed", task_id="T", role="DEV", failed_agents=failed)
    assert story.page['fleet_deliberation_agents_total{role="DEV",response="failed"}'] == 2

    story.publishes("deliberation.failed", task_id="T2", role="DEV", failed_agents=failed)  # without a known start
    assert story.page['fleet_deliberation_agents_total{role="DEV",response="failed"}'] == 4
