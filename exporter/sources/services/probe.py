"""The result of checking one address of one service → samples. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from exporter.errors import Reason
from exporter.fleet.registry import Member
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, labels, state_set


class Health(StrEnum):
    """NONE if the server has no health service."""

    SERVING = "serving"
    NOT_SERVING = "not_serving"
    UNKNOWN = "unknown"
    NONE = "none"


_WHO: Final = ("service", "address")
UP = gauge("fleet_service_up", "Whether an address of a service returned the expected response.", *_WHO)
FAILURE = state_set(
    "fleet_service_failure",
    "Why the last check failed; all 0 if it succeeded.",
    *_WHO,
    states=tuple(Reason),
    state_label="reason",
)
HEALTH = state_set(
    "fleet_service_health",
    "Health reported by a gRPC service (grpc.health.v1); all 0 if it has no health service.",
    *_WHO,
    states=tuple(Health),
    state_label="health",
)
ROUND_TRIP = gauge("fleet_service_round_trip_seconds", "Round-trip time of the last check.", *_WHO, unit=Unit.SECONDS)
INSTANCES = gauge(
    "fleet_service_instances", "Addresses that the service name resolves to; no data if the lookup failed.", "service"
)
STARTED = gauge(
    "fleet_service_start_timestamp_seconds", "Start time reported by the service (uptime_seconds).", *_WHO,
    unit=Unit.TIMESTAMP,
)  # fmt: skip
DELIBERATIONS = counter(
    "fleet_service_deliberations_total", "Deliberations since the service started (GetStatus).", *_WHO, "outcome"
)
ACTIVE = gauge("fleet_service_active_deliberations", "Deliberations in progress (GetStatus).", *_WHO)
MEAN = gauge(
    "fleet_service_deliberation_mean_seconds", "Mean deliberation time since the service started (GetStatus).", *_WHO,
    unit=Unit.SECONDS,
)  # fmt: skip
COUNCILS = gauge("fleet_orchestrator_active_councils", "Active councils (GetStatus active_councils).", *_WHO)
AGENTS = gauge(
    "fleet_orchestrator_agents", "Agents listed by the orchestrator, all reported as ready (ListCouncils).", *_WHO, "role"
)
JOBS = gauge("fleet_ray_executor_active_jobs", "Running jobs by role (GetActiveJobs).", *_WHO, "role")
METRICS: Final[tuple[Metric, ...]] = (
    UP, FAILURE, HEALTH, ROUND_TRIP, INSTANCES, STARTED, DELIBERATIONS, ACTIVE, MEAN, COUNCILS, AGENTS, JOBS,
)  # fmt: skip

_ROLES = 20


class Job(NamedTuple):
    """One of GetActiveJobs; `started` in seconds since 1970."""

    id: str
    name: str
    status: str
    role: str
    task: str
    started: float | None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One check; `reason` if it failed. Values that the service does not report are None or empty. Times in seconds.

    `is_absent`: the name resolves to no address; otherwise a check without an instance is a lookup that failed.
    """

    service: str
    instance: str
    round_trip: float
    reason: Reason | None = None
    message: str = ""
    is_absent: bool = False
    health: Health | None = None
    uptime: float | None = None
    deliberations: tuple[tuple[str, int], ...] = ()
    active: int | None = None
    mean: float | None = None
    councils: int | None = None
    members: tuple[Member, ...] | None = None
    jobs: tuple[Job, ...] | None = None


def samples(probes: Sequence[Probe], services: Iterable[str], now: float) -> Iterable[Sample]:
    """Every check; a service whose name does not resolve has 0 instances, none known if the lookup failed."""
    instances = Counter(probe.service for probe in probes if probe.instance)
    unknown = {probe.service for probe in probes if not probe.instance and not probe.is_absent}
    yield from (INSTANCES(instances[one], service=one) for one in services if one not in unknown)
    for probe in probes:
        who = labels(service=probe.service, address=probe.instance)
        yield UP.at(who, probe.reason is None)
        yield FAILURE.state_at(who, probe.reason)
        if probe.reason is None:
            yield ROUND_TRIP.at(who, probe.round_trip)
        if probe.health is not None:
            yield HEALTH.state_at(who, probe.health)
        if probe.uptime is not None:
            yield STARTED.at(who, round(now - probe.uptime))
        for outcome, number in probe.deliberations:
            yield DELIBERATIONS.at(who.with_label("outcome", outcome), number)
        for metric, value in ((ACTIVE, probe.active), (MEAN, probe.mean), (COUNCILS, probe.councils)):
            if value is not None:
                yield metric.at(who, value)
        for metric, roles in (
            (AGENTS, None if probe.members is None else [member.role for member in probe.members]),
            (JOBS, None if probe.jobs is None else [job.role for job in probe.jobs]),
        ):
            if roles is not None:
                for role, number in Counter(roles).most_common(_ROLES):
                    yield metric.at(who.with_label("role", role), number)
