"""Queries that the demo may have no data for, by dashboard and place, with the reason why not."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid

_REASONS: Final[dict[str, dict[DashboardUid, tuple[str, ...]]]] = {
    "no alert of this component has to fire during the queries": dict.fromkeys(DashboardUid, ("annotation Alerts",)),
    "the demo has no metrics-server, so the usage of pods is unknown": {
        DashboardUid.OVERVIEW: ("Workload resources C", "Workload resources E", "CPU C", "Memory C"),
    },
    "no kubelet runs the demo's containers, so none has terminated": {
        DashboardUid.OVERVIEW: ("Waiting and terminated containers B", "Waiting and terminated containers C"),
    },
    "the pods of the demo belong to no Deployment": {
        DashboardUid.OVERVIEW: ("Workloads C", "Workload resources A"),
    },
    "a RayJob of the demo is pending for a moment only": {DashboardUid.RAY_JOBS: ("Time in queue A",)},
    "the account of the demo has no limits": {
        DashboardUid.COMMUNICATIONS: tuple(f"Account limits used {letter}" for letter in "ABCDEFGHIJKL"),
    },
    "the demo's NATS is one server without mirrors and sources": {
        DashboardUid.COMMUNICATIONS: tuple(f"Stream replication {letter}" for letter in "BCDEF"),
    },
    "the demo does not read the keys' times to live, because each read counts as a hit": {
        DashboardUid.VALKEY: ("Key groups B", "Key groups C"),
    },
    "no stream of the demo has discard=new": {DashboardUid.COMMUNICATIONS: ("Stream replication A",)},
    "no consumer of the demo has max_deliver": {
        DashboardUid.COMMUNICATIONS: ("Consumer configuration E",),
    },
    "the demo's NATS samples acks, so none is estimated": {
        DashboardUid.COMMUNICATIONS: ("Ack duration (p95) B",),
    },
    "the demo pushes no events to Grafana Live": {
        DashboardUid.EVENTS: ("Live stream B", "Live stream C"),
        DashboardUid.EXPORTER: ("Stream clients C",),
    },
    "the demo's NATS is one server, which has no meta group": {DashboardUid.EVENTS: ("NATS servers C",)},
    "no agent or RayJob has to be stuck": {DashboardUid.OVERVIEW: ("Stuck agents A", "Failed RayJobs A")},
    "no deliberation or story has to be in progress": {
        DashboardUid.AGENTS: ("Longest A",),
        DashboardUid.STORIES: ("Oldest A",),
    },
    "the demo's ValKey has no replica": {
        DashboardUid.VALKEY: ("Servers G", "Saves and scans D", "Replicas A", "Replicas B")
    },
    "the demo's ValKey has no persistence": {
        DashboardUid.VALKEY: (
            "Server configuration D",
            "Slow and large commands C",
            "Persistence duration A",
            "Persistence duration B",
        ),
    },
    "the demo's ValKey has no maxmemory": {
        DashboardUid.VALKEY: ("Memory A", "Memory limit used A"),
    },
    "only some versions and settings of vLLM export it; the demo's stand-in does not": {
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
