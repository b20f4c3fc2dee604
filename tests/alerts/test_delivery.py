"""From a fault to the Slack message: fleet, exporter, Prometheus, Alertmanager, and a receiver that replaces Slack.

All five faults begin at once and end at once, so the whole takes as long as the slowest.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest

from demo.scenario.faults import Fault
from servers.process import wait_for
from tests.support.demo import RunningDemo


class Expected(NamedTuple):
    """The expected message of one fault: alert, group in the title, object in the text, and severity in Slack."""

    alert: str
    where: str
    names: str
    hook: str = "warnings"
    channel: str = "#fleet-warnings"
    color: str = "warning"
    mark: str = "🟠"


EXPECTED = {
    Fault.AGENT: Expected("FleetAgentUnresponsive", "fleet", "agent-dev-002 (DEV)"),
    # It inhibits NatsConsumerLagging, which fires for the same consumer.
    Fault.LAG: Expected(
        "NatsConsumerStalled",
        "nats",
        "task-derivation-worker on task_derivation has at least 1",
        "critical",
        "#fleet-critical",
        "danger",
        "🔴",
    ),
    Fault.POD: Expected("PodCrashLooping", "kubernetes, default", "default/workflow"),
    Fault.RAYJOB: Expected("RayJobFailed", "ray, default", "default/nightly-evaluation"),
    Fault.VLLM: Expected("VllmSlow", "vllm", "Qwen/Qwen3-0.6B on 127.0.0.1:"),
}
FAULTS = " ".join(EXPECTED)
SETTLED = timedelta(seconds=10)
"""Time in which a repeated notification would arrive: several group intervals of the demo."""

Messages = dict[Fault, list[dict[str, Any]]]


def by_fault(demo: RunningDemo, earlier: int) -> Messages:
    """The messages about each fault's alert, without the `earlier` ones."""
    messages = demo.messages()[earlier:]
    return {
        fault: [one for one in messages if f" {expected.alert} (" in one["payload"]["text"]]
        for fault, expected in EXPECTED.items()
    }


def none_fires(demo: RunningDemo) -> bool:
    """Whether Alertmanager has no alert of a fault; other tests of the same demo inject faults, too."""
    expected = {one.alert for one in EXPECTED.values()}
    return not any(alert["labels"]["alertname"] in expected for alert in demo.got(f"{demo.alertmanager}/api/v2/alerts"))


def has_ended(messages: list[dict[str, Any]]) -> bool:
    return any("[RESOLVED" in one["payload"]["text"] for one in messages)


def still_fires_after_its_message(demo: RunningDemo, sent: Messages) -> bool:
    """Whether Alertmanager has received each alert again, well after its message."""
    received = {alert["labels"]["alertname"]: alert["updatedAt"] for alert in demo.got(f"{demo.alertmanager}/api/v2/alerts")}
    return all(
        expected.alert in received
        and datetime.fromisoformat(received[expected.alert]) > datetime.fromisoformat(sent[fault][0]["received"]) + SETTLED
        for fault, expected in EXPECTED.items()
    )


@pytest.fixture(scope="module")
def sent(demo_fleet: RunningDemo) -> Messages:
    """All messages about the five faults, from firing to resolved."""
    wait_for(lambda: none_fires(demo_fleet), what="no alert before the first fault", deadline=90)
    earlier = len(demo_fleet.messages())

    def messages() -> Messages:
        return by_fault(demo_fleet, earlier)

    demo_fleet.do(f"break {FAULTS}")
    try:
        wait_for(lambda: all(messages().values()), what="a message for each fault", deadline=90)
        wait_for(
            lambda: still_fires_after_its_message(demo_fleet, messages()), what="each alert to last for a while", deadline=60
        )
    finally:
        demo_fleet.do(f"restore {FAULTS}")
    wait_for(lambda: all(map(has_ended, messages().values())), what="each alert to be resolved", deadline=90)
    return messages()


@pytest.mark.parametrize("fault", EXPECTED)
def test_a_fault_sends_one_message_and_one_when_it_is_resolved(sent: Messages, fault: Fault) -> None:
    begun, ended = [one["payload"]["text"].partition(": ")[0] for one in sent[fault]]
    alert, where, mark = EXPECTED[fault].alert, EXPECTED[fault].where, EXPECTED[fault].mark

    assert begun == f"[FIRING:1] {mark} {alert} ({where})"
    assert ended == f"[RESOLVED:1] 🟢 {alert} ({where})"


@pytest.mark.parametrize("fault", EXPECTED)
def test_its_message_goes_to_the_channel_with_the_object_and_links(sent: Messages, fault: Fault) -> None:
    message = sent[fault][0]
    attachment = message["payload"]["attachments"][0]
    expected = EXPECTED[fault]
    alert = expected.alert
    buttons = {button["text"]: button["url"] for button in attachment["actions"]}

    assert (message["hook"], message["payload"]["channel"]) == (expected.hook, expected.channel)
    assert attachment["color"] == expected.color
    assert expected.names in attachment["text"]
    assert buttons["Runbook"].endswith(f"/{alert}.md")
    assert "/d/fleet-" in buttons["Dashboard"]
    assert f"alertname%3D%22{alert}%22" in buttons["Silence"]


@pytest.mark.parametrize("fault", EXPECTED)
def test_the_resolved_message_is_green_and_has_the_duration(sent: Messages, fault: Fault) -> None:
    message = sent[fault][-1]
    attachment = message["payload"]["attachments"][0]

    assert message["hook"] == EXPECTED[fault].hook
    assert attachment["color"] == "good"
    assert "• Resolved after " in attachment["text"]


def test_the_watchdog_reaches_the_heartbeat(demo_fleet: RunningDemo) -> None:
    wait_for(
        lambda: demo_fleet.got(f"{demo_fleet.slack}/messages")["heartbeat"] is not None,
        what="the Watchdog's heartbeat",
        deadline=60,
    )

    assert not any("Watchdog" in message["payload"]["text"] for message in demo_fleet.messages())
