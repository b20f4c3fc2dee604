"""Inhibition, in a running Alertmanager."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from alerts.alertmanager import inhibition
from alerts.rule import Severity
from alerts.rules import RULES
from servers.process import wait_for
from tests.alerts.alertmanager import Receiving, alert

BY_NAME = {rule.name: rule for rule in RULES}


class Muting(NamedTuple):
    source: dict[str, Any]
    muted: list[dict[str, Any]]
    notified: list[dict[str, Any]]


FOREIGN = {"labels": {"alertname": "Other", "severity": "warning", "component": "nats", "cluster": "all"}}
MUTING = {
    "the exporter is down": Muting(
        alert("FleetExporterDown", cluster="all"),
        [alert("NatsDown", cluster="all"), alert("RayJobFailed", cluster="all", namespace="n")],
        [alert("Watchdog", cluster="all"), alert("NatsDown", cluster="other"), FOREIGN],
    ),
    "one exporter of several is down": Muting(
        alert("FleetExporterDown", cluster="part", instance="i"),
        [alert("FleetShardMissing", cluster="part", job="j")],
        [alert("NatsDown", cluster="part"), alert("FleetEventGap", cluster="part", stream="S")],
    ),
    "a component without servers is down": Muting(
        alert("NatsDown", cluster="one", server="nats:4222", source="jetstream"),
        [alert("NatsConsumerLagging", cluster="one", stream="S", consumer="c")],
        [alert("ValkeyEvicting", cluster="one", server="nats:4222"), alert("NatsSlow", cluster="two")],
    ),
    "one server of several is down": Muting(
        alert("VllmDown", cluster="three", server="a", source="vllm"),
        [alert("VllmSlow", cluster="three", server="a", model="m")],
        [
            alert("VllmSlow", cluster="three", server="b", model="m"),
            alert("VllmLatencyBudgetBurning", "critical", cluster="three", model="m"),
        ],
    ),
    "it has grown worse": Muting(
        alert("BrokerAgentCpuCritical", cluster="four", agent="a"),
        [alert("BrokerAgentCpuHigh", cluster="four", agent="a")],
        [
            alert("BrokerAgentCpuHigh", cluster="four", agent="b"),
            alert("BrokerAgentMemoryHigh", cluster="four", agent="a"),
            alert("BrokerAgentCpuHigh", cluster="five", agent="a"),
        ],
    ),
    "the same name in two severities": Muting(
        alert("VllmLatencyBudgetBurning", "critical", cluster="six", model="m"),
        [alert("VllmLatencyBudgetBurning", "warning", cluster="six", model="m")],
        [alert("VllmLatencyBudgetBurning", "warning", cluster="six", model="n")],
    ),
    "a consumer that acknowledges nothing": Muting(
        alert("NatsConsumerStalled", cluster="eight", stream="S", consumer="c"),
        [alert(name, cluster="eight", stream="S", consumer="c") for name in ("NatsAckPendingFull", "NatsConsumerLagging")],
        [alert("NatsAckPendingFull", cluster="eight", stream="S", consumer="d")],
    ),
    "an expected workload is down": Muting(
        alert("WorkloadDown", cluster="nine", namespace="n", workload="w"),
        [alert("WorkloadNotReady", cluster="nine", namespace="n", workload="w", kind="Deployment")],
        [alert("WorkloadNotReady", cluster="nine", namespace="n", workload="v", kind="Deployment")],
    ),
    "a crash loop is why a workload is not ready": Muting(
        alert("PodCrashLooping", cluster="seven", namespace="n", workload="w", kind="Deployment", reason="CrashLoopBackOff"),
        [alert("WorkloadNotReady", cluster="seven", namespace="n", workload="w", kind="Deployment", state="down")],
        [alert("WorkloadNotReady", cluster="seven", namespace="n", workload="v", kind="Deployment", state="down")],
    ),
}


@pytest.mark.parametrize("case", MUTING)
def test_a_more_severe_alert_inhibits_only_the_alerts_that_it_explains(receiving: Receiving, case: str) -> None:
    source, muted, notified = MUTING[case]
    expected = {json.dumps(one["labels"]): "suppressed" for one in muted}
    expected |= {json.dumps(one["labels"]): "active" for one in [source, *notified]}
    receiving.post(source, *muted, *notified)

    def states() -> dict[str, str]:
        return {labels: receiving.state_of(**json.loads(labels)) for labels in expected}

    wait_for(lambda: states() == expected, what=f"these alerts to be muted or notified: {expected}", deadline=10)


def test_every_inhibition_pair_has_existing_alerts_in_order_of_severity() -> None:
    for graver, milder in inhibition.GRAVER:
        assert BY_NAME[graver].component == BY_NAME[milder].component
        order = [Severity.CRITICAL, Severity.WARNING, Severity.INFO]
        assert order.index(BY_NAME[graver].severity) <= order.index(BY_NAME[milder].severity)
