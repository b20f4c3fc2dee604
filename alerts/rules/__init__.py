"""All alerting and recording rules, by component."""

from __future__ import annotations

from typing import Final

from alerts.rule import AlertingRule, RecordingRule
from alerts.rules import (
    board,
    broker,
    budgets,
    fleet,
    kubernetes,
    nats,
    nats_consumers,
    neo4j,
    ray,
    self_monitoring,
    services,
    states,
    valkey,
    vllm,
)

RECORDINGS: Final[tuple[RecordingRule, ...]] = (
    *fleet.RECORDINGS,
    *nats_consumers.RECORDINGS,
    *vllm.RECORDINGS,
    *states.RECORDINGS,
    *broker.RECORDINGS,
    *budgets.RECORDINGS,
)

RULES: Final[tuple[AlertingRule, ...]] = (
    *self_monitoring.RULES,
    *fleet.RULES,
    *nats.RULES,
    *nats_consumers.RULES,
    *ray.RULES,
    *vllm.RULES,
    *budgets.RULES,
    *neo4j.RULES,
    *valkey.RULES,
    *kubernetes.RULES,
    *services.RULES,
    *board.RULES,
    *broker.RULES,
)
