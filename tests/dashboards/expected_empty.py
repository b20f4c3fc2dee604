"""Queries that the demo may have no data for, by dashboard and place, with the reason why not."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid

_REASONS: Final[dict[str, dict[DashboardUid, tuple[str, ...]]]] = {
    "nothing of this component need be wrong while queries are asked": dict.fromkeys(DashboardUid, ("annotation Alerts",)),
    "there is no metrics server in the demo, so nobody tells what pods use": {
        DashboardUid.OVERVIEW: ("Workload resources C", "Workload resources E", "CPU C", "Memory C"),
    },
    "nothing runs the demo's containers, so none has ended": {
        DashboardUid.OVERVIEW: ("Waiting and terminated containers B", "Waiting and terminated containers C"),
    },
    "the pods of the demo have no Deployment that wants them": {
        DashboardUid.OVERVIEW: ("Workloads C", "Workload resources A"),
    },
    "a RayJob of the demo waits for a moment only": {DashboardUid.RAY_JOBS: ("Time in queue A",)},
    "the account of the demo has no limits": {
        DashboardUid.COMMUNICATIONS: tuple(f"Account limits used {letter}" for letter in "ABCDEFGHIJKL"),
    },
    "the demo's NATS is one server without mirrors and sources": {
        DashboardUid.COMMUNICATIONS: tuple(f"Stream replication {letter}" for letter in "BCDEF"),
    },
    "the demo does not read the times to live of keys, each of which would count as a hit": {
        DashboardUid.VALKEY: ("Key groups B", "Key groups C"),
    },
    "no stream of the demo refuses messages when it is full": {DashboardUid.COMMUNICATIONS: ("Stream replication A",)},
    "no consumer of the demo gives messages up": {
        DashboardUid.COMMUNICATIONS: ("Consumer configuration E",),
    },
    "the server of the demo samples the acknowledgements that would be estimated": {
        DashboardUid.COMMUNICATIONS: ("Ack duration (p95) B",),
    },
    "there is no Grafana that events could be pushed to": {
        DashboardUid.EVENTS: ("Live stream B", "Live stream C"),
        DashboardUid.EXPORTER: ("Stream clients C",),
    },
    "no agent and no RayJob need be stuck": {DashboardUid.OVERVIEW: ("Stuck agents A", "Failed RayJobs A")},
    "a deliberation or a story may just not be under way": {
        DashboardUid.AGENTS: ("Longest A",),
        DashboardUid.STORIES: ("Oldest A",),
    },
    "the demo's ValKey has no replica": {
        DashboardUid.VALKEY: ("Servers G", "Saves and scans D", "Replicas A", "Replicas B")
    },
    "the demo's ValKey keeps nothing on disk": {
        DashboardUid.VALKEY: (
            "Server configuration D",
            "Slow and large commands C",
            "Persistence duration A",
            "Persistence duration B",
        ),
    },
    "the demo's ValKey has no limit on its memory, as one that keeps permanent data should not": {
        DashboardUid.VALKEY: ("Memory A", "Memory limit used A"),
    },
    "only some versions and settings of vLLM tell it, and the demo's stand-in does not": {
        DashboardUid.VLLM: (
            "Queue D",
            "Preemptions and rejections C",
            "Engines D",
            "Cache hit ratios B",
            "Cache hit ratios D",
            "Cache hit ratios E",
        ),
    },
}

WITHOUT_DATA: Final = {
    (str(view), place): reason for reason, places in _REASONS.items() for view, wheres in places.items() for place in wheres
}
