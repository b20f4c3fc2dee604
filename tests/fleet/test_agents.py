"""Agents and councils from events, and from the passage of time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.fleet.agents import AgentTimeouts
from exporter.fleet.state import Caps, Fleet
from tests.support.story import Story


def test_an_agent_becomes_idle_and_then_expires() -> None:
    story = Story().responds(1)

    assert story.states() == {"agent-dev-1": "completed"}
    assert story.states(later=301) == {"agent-dev-1": "idle"}
    story.fleet.expire(story.now + 3601)
    assert story.states() == {}


def test_the_first_response_marks_the_council_as_deliberating() -> None:
    story = Story().responds(1).responds(2).responds(3, failed=True)
    story.responds(1, task_id="T2")

    assert story.states() == {"agent-dev-1": "completed", "agent-dev-2": "deliberating", "agent-dev-3": "deliberating"}
    assert story.states(later=31)["agent-dev-2"] == "unresponsive"
    story.responds(2, task_id="T2")
    assert story.states()["agent-dev-2"] == "completed"


def test_further_tasks_do_not_reset_an_unresponsive_agent() -> None:
    story = Story().responds(1).responds(2).responds(3)
    for number in range(20):
        story.responds(1, task_id=f"T{number}").responds(2, task_id=f"T{number}")

    assert story.states() == {"agent-dev-1": "completed", "agent-dev-2": "completed", "agent-dev-3": "unresponsive"}
    story.responds(3, task_id="T0")
    assert story.states()["agent-dev-3"] == "completed"


def test_in_a_council_larger_than_the_task_recipients_are_unknown() -> None:
    story = Story().responds(1).responds(2).responds(3)
    story.responds(1, task_id="T2", num_agents=2)

    assert "deliberating" not in story.states().values()


def test_a_dispatched_task_and_its_progress_are_deliberation() -> None:
    story = Story().publishes("orchestration.task.dispatched", task_id="T", agent_id="agent-qa-1", role="QA")
    story.publishes("agent.response.progress", after=20, task_id="T", agent_id="agent-qa-1", progress_pct=50)

    assert story.states() == {"agent-qa-1": "deliberating"}
    assert story.states(later=11) == {"agent-qa-1": "unresponsive"}


def test_an_agent_known_only_from_other_events_is_unknown() -> None:
    story = Story().publishes(
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
    story = (
        Story().publishes("orchestration.council.created", council_id="council-dev", role="DEV", num_agents=3).responds(1)
    )

    assert story.page['fleet_council_agents{role="DEV"}'] == 1
    assert story.page['fleet_council_ready_agents{role="DEV"}'] == 1
    assert story.page['fleet_council_expected_agents{role="DEV"}'] == 3


def test_an_agent_remembers_its_last_ten_tasks() -> None:
    story = Story()
    for number in range(14):
        story.responds(1, task_id=f"T{number}", failed=number % 7 == 0)

    agent = story.fleet.agents.known.get("agent-dev-1")
    assert agent is not None
    assert [done.task for done in agent.history] == [f"T{number}" for number in range(4, 14)]
    assert (agent.completed, agent.failed, agent.success_ratio, agent.mean_seconds) == (12, 2, 12 / 14, 0.5)


def test_a_silent_agent_is_evicted_for_a_new_one() -> None:
    story = Story(Fleet(Caps(agents=1), AgentTimeouts())).responds(1).responds(2, after=301)

    assert list(story.states()) == ["agent-dev-2"]


@settings(max_examples=200)
@given(
    responses=st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(("DEV", "QA", "OPS")), st.floats(0, 2000)), max_size=40
    )
)
def test_agents_are_found_by_role_after_any_changes(responses: list[tuple[str, str, float]]) -> None:
    story = Story(Fleet(Caps(agents=4)))
    known = story.fleet.agents.known
    for agent, role, after in responses:
        story.responds(1, agent_id=agent, role=role, after=after)
        story.fleet.expire(story.now)

        of_roles = [known.of_role(one) for one in ("DEV", "QA", "OPS")]
        assert [{one.id for one in known if one.role == name} for name in ("DEV", "QA", "OPS")] == [
            set(one) for one in of_roles
        ]
    story.fleet.expire(story.now + 10_000)
    assert [known.of_role(one) for one in ("DEV", "QA", "OPS")] == [{}, {}, {}]


def test_a_council_without_agents_without_responses_has_0_agents() -> None:
    """FleetCouncilIncomplete compares the number with the expected one; without a sample it cannot fire."""
    story = Story().publishes("orchestration.deliberation.started", task_id="T", role="DEV", num_agents=3)
    page = story.page

    assert page['fleet_council_expected_agents{role="DEV"}'] == 3
    assert page['fleet_council_agents{role="DEV"}'] == page['fleet_council_ready_agents{role="DEV"}'] == 0


def test_the_size_of_a_council_without_a_task_is_unknown() -> None:
    """Agents are seen when they respond, so a new council is not incomplete."""
    page = Story().publishes("orchestration.council.created", role="DEV", num_agents=3).page

    assert page['fleet_council_expected_agents{role="DEV"}'] == 3
    assert 'fleet_council_agents{role="DEV"}' not in page
