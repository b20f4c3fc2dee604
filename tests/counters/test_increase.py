"""`increase()` of a real Prometheus equals what happened, whatever comes in between: one Prometheus for all cases."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from exporter.metrics.metric import Kind, Metric
from exporter.reference import metric_groups
from exporter.sources.jetstream import monitoring as nats_servers
from exporter.sources.services import probe
from exporter.sources.valkey import info as valkey
from exporter.sources.vllm import page as vllm
from servers import nats, prometheus
from tests.counters.files import Board, BrokerTables, Ledger
from tests.counters.objects import (
    ReportedByNats,
    ReportedByServices,
    ReportedByValkey,
    ReportedByVllm,
    WatchedPods,
    WatchedRayJobs,
)
from tests.counters.recording import Recording, families
from tests.counters.streams import Consumers, FleetOnNats
from tests.support.servers import required

Event = Callable[[Any], object]
EVENTS: Final[dict[type[Any], tuple[Event, ...]]] = {
    WatchedPods: (WatchedPods.start_exporter, WatchedPods.delete, WatchedPods.list_again, WatchedPods.lose_permission),
    WatchedRayJobs: (
        WatchedRayJobs.start_exporter, WatchedRayJobs.delete, WatchedRayJobs.list_again, WatchedRayJobs.remove_crd,
    ),
    ReportedByValkey: (ReportedByValkey.restart,),
    ReportedByVllm: (ReportedByVllm.restart,),
    ReportedByNats: (ReportedByNats.restart,),
    ReportedByServices: (ReportedByServices.restart,),
    Ledger: (Ledger.start_exporter, Ledger.delete, Ledger.replace),
    BrokerTables: (BrokerTables.start_exporter, BrokerTables.delete, BrokerTables.replace),
    Board: (Board.start_exporter, Board.delete, Board.rewrite),
    Consumers: (Consumers.start_exporter, Consumers.restart_nats, Consumers.create_again),
    FleetOnNats: (FleetOnNats.start_exporter, FleetOnNats.restart_nats, FleetOnNats.purge, FleetOnNats.delete_reader),
}  # fmt: skip
"""What may happen to each backend and to the exporter that reads it."""
CASES: Final = [
    pytest.param(backend, event, id=f"{backend.__name__}-{event.__name__}")
    for backend, events in EVENTS.items()
    for event in events
]


def counting(metrics: Iterable[Metric]) -> set[str]:
    """The names of counters and histograms."""
    return {metric.name for metric in metrics if metric.kind in (Kind.COUNTER, Kind.HISTOGRAM)}


def names(prefix: str, text: str) -> set[str]:
    return {f"{prefix}_{name}" for name in text.split()}


COUNTED: Final[dict[type[Any], set[str]]] = {
    WatchedPods: {"fleet_workload_restarts_total"},
    WatchedRayJobs: names("ray_job", "duration_seconds attempt_failures_total unknown_states_total"),
    ReportedByValkey: counting(valkey.METRICS),
    ReportedByVllm: counting(vllm.METRICS),
    ReportedByNats: counting(nats_servers.METRICS),
    ReportedByServices: counting(probe.METRICS),
    Ledger: names(
        "fleet_cost", "invocations_total prompt_tokens_total completion_tokens_total usd_total latency_seconds"
    ),
    BrokerTables: names("fleet_broker", "events_total message_latency_seconds"),
    Board: names("fleet_board", "changes_total illegal_moves_total queue_duration_seconds cycle_duration_seconds"),
    Consumers: {
        "nats_consumer_delivered_total", "nats_consumer_settled_deliveries_total", "nats_account_api_errors_total",
    },
    FleetOnNats: names(
        "fleet",
        "events_total event_size_bytes event_delay_seconds events_unparsed_total events_unreadable_values_total "
        "agent_responses_total agent_response_duration_seconds agent_response_tokens agent_tasks_total "
        "agent_task_duration_seconds deliberations_total deliberation_duration_seconds deliberation_agents_total "
        "story_transitions_total story_illegal_transitions_total story_stage_duration_seconds story_lead_time_seconds "
        "task_transitions_total task_illegal_transitions_total exporter_nats_advisories_total",
    )
    | names("nats_consumer", "ack_duration_seconds naks_total terminations_total max_deliveries_total"),
}  # fmt: skip
"""What the work of each backend raises."""
_OWN_WORK: Final = "Counts this process's own work: it is 0 at the start, and no backend can set it back."
ELSEWHERE: Final[dict[str, str]] = {
    "nats_account_api_requests_total": "Computed as nats_account_api_errors_total; the exporter's own requests are in it.",
    "fleet_task_stage_duration_seconds": "Computed as fleet_story_stage_duration_seconds.",
    "process_cpu_seconds_total": "The kernel's figure of this process.",
    **dict.fromkeys(
        names(
            "fleet_exporter",
            "watcher_restarts_total log_dropped_lines_total limit_hits_total nats_disconnects_total dropped_messages_total "
            "stream_skipped_messages_total stream_repeated_messages_total stream_restarts_total "
            "stream_dropped_clients_total grafana_live_events_total grafana_live_failures_total loki_entries_total "
            "loki_dropped_entries_total loki_missed_messages_total loki_retries_total loki_delay_seconds",
        ),
        _OWN_WORK,
    ),
}
"""Counters and histograms without a case, with the reason."""


def test_every_counter_has_a_case_or_a_reason() -> None:
    catalog = counting(itertools.chain.from_iterable(metric_groups().values()))
    covered = set().union(*COUNTED.values())

    assert EVENTS.keys() == COUNTED.keys()
    assert catalog - covered - ELSEWHERE.keys() == set()
    assert (covered | ELSEWHERE.keys()) - catalog == set()
    assert covered & ELSEWHERE.keys() == set()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with required():
        nats.prepare()
        prometheus.prepare()
    with prometheus.start(config="global: {}\n", args=["--web.enable-remote-write-receiver"]) as server:
        yield server.url


NUMBERS = itertools.count()


@pytest.mark.parametrize(("backend", "event"), CASES)
async def test_the_increase_is_what_happened(url: str, tmp_path: Path, backend: type[Any], event: Event) -> None:
    recording = Recording()
    async with AsyncExitStack() as stack:
        opened = backend(tmp_path)
        if hasattr(opened, "__aenter__"):
            await stack.enter_async_context(opened)
        for _ in range(2):
            await recording.work(opened)
        happened = event(opened)
        if inspect.isawaitable(happened):
            await happened
        await recording.scrape(opened)
        for _ in range(2):
            await recording.work(opened)

    assert set(families(recording.truth)) == COUNTED[backend]
    assert min(recording.truth.values()) > 0
    assert recording.increases(url, f"{backend.__name__} {next(NUMBERS)}") == pytest.approx(recording.truth, rel=1e-3)
