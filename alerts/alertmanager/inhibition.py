"""Inhibition rules: which alert mutes which others.

Alertmanager treats a label that both alerts lack as equal, so `equal` may list labels that only some alerts have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from alerts.alertmanager.options import SiteOptions
from alerts.alertmanager.routes import PRODUCT, WATCHDOG
from alerts.rule import AlertingRule, Severity
from exporter.metrics.promql import SCRAPE_LABELS

EXPORTER_DOWN: Final = "FleetExporterDown"

GRAVER: Final = (
    ("BrokerAgentCpuCritical", "BrokerAgentCpuHigh"),
    ("BrokerAgentManyErrors", "BrokerAgentErrors"),
    ("BrokerAgentMemoryFull", "BrokerAgentMemoryHigh"),
    ("BudgetSpent", "BudgetNearlySpent"),
    ("FleetExporterDown", "FleetShardMissing"),
    ("NatsAckPendingFull", "NatsConsumerLagging"),
    ("NatsAckPendingFull", "NatsConsumerPending"),
    ("NatsConsumerStalled", "NatsAckPendingFull"),
    ("NatsConsumerStalled", "NatsConsumerLagging"),
    ("NatsConsumerStalled", "NatsConsumerPending"),
    ("NatsPoisonLoop", "NatsAckPendingFull"),
    ("NatsPoisonLoop", "NatsConsumerLagging"),
    ("NatsPoisonLoop", "NatsConsumerPending"),
    ("NatsPoisonLoop", "NatsRedelivering"),
    ("PodCrashLooping", "WorkloadNotReady"),
    ("WorkloadDown", "WorkloadNotReady"),
)
"""Pairs about one agent, consumer or workload: the first is the cause or a more severe state of the second and mutes it."""


def inhibit_rules(options: SiteOptions, rules: Sequence[AlertingRule]) -> list[dict[str, Any]]:
    """From the broadest to the narrowest. Raises KeyError when a pair names an alert that is not among `rules`."""
    fleet, who = list(options.same_fleet), _subjects(rules)
    others = ['kind!="down"', f'alertname!="{WATCHDOG}"']
    down = ['kind="down"', f'alertname!="{EXPORTER_DOWN}"']
    several = "|".join(sorted({rule.component for rule in rules if rule.down and "server" in rule.variables}))
    return [
        # All metrics are missing while the exporter is down. An alert with an `instance` is about one of several exporters.
        _rule([f'alertname="{EXPORTER_DOWN}"', 'instance=""'], [f'alertname!~"{EXPORTER_DOWN}|{WATCHDOG}"'], fleet),
        # An alert with a server is muted by that server's alert only. Others are muted only if the component has a
        # single server: they may be about another server that still responds.
        _rule(down, [*others, 'server=""', f'component!~"{several}"'], [*fleet, "component"]),
        _rule(down, [*others, 'server!=""'], [*fleet, "component", "server"]),
        *(
            _rule([f'severity="{graver}"'], [f'severity=~"{milder}"'], [*fleet, "namespace", "component", "alertname", *who])
            for graver, milder in ((Severity.CRITICAL, "warning|info"), (Severity.WARNING, "info"))
        ),
        *_pairs(fleet, rules),
    ]


def _pairs(fleet: list[str], rules: Sequence[AlertingRule]) -> list[dict[str, Any]]:
    named = {rule.name: rule for rule in rules}
    return [
        _rule(
            [f'alertname="{graver}"'],
            [f'alertname="{milder}"'],
            [*fleet, *sorted((named[graver].query.labels & named[milder].query.labels) - SCRAPE_LABELS)],
        )
        for graver, milder in GRAVER
    ]


def _subjects(rules: Sequence[AlertingRule]) -> list[str]:
    """Labels that identify the object of alerts that have one name and two severities."""
    names: dict[str, set[Severity]] = {}
    for rule in rules:
        names.setdefault(rule.name, set()).add(rule.severity)
    twice = [rule for rule in rules if len(names[rule.name]) > 1]
    return sorted({label for rule in twice for label in rule.query.labels} - SCRAPE_LABELS - {"namespace", "le"})


def _rule(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
    return {"source_matchers": [PRODUCT, *source], "target_matchers": [PRODUCT, *target], "equal": equal}
