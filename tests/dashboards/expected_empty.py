"""Queries that the demo may have no data for, by dashboard and place, with the reason why not."""

from __future__ import annotations

from typing import Final

from alerts.view import View

_REASONS: Final[dict[str, dict[View, tuple[str, ...]]]] = {
    "nothing of this component need be wrong while queries are asked": dict.fromkeys(View, ("annotation Alerts",)),
    "there is no metrics server in the demo, so nobody tells what pods use": {
        View.OVERVIEW: ("Workload resources C", "Workload resources E", "CPU C", "Memory C"),
    },
    "nothing runs the demo's containers, so none has ended": {View.OVERVIEW: ("Waiting and terminated containers B",)},
    "a RayJob of the demo waits for a moment only": {View.RAY_JOBS: ("Time in queue A",)},
    "the account of the demo has no limits": {
        View.COMMUNICATIONS: tuple(f"Account limits used {letter}" for letter in "ABCDEFGHIJKL"),
    },
    "the demo's NATS is one server without mirrors and sources": {
        View.COMMUNICATIONS: tuple(f"Stream replication {letter}" for letter in "BCDEF"),
    },
    "the demo does not read the times to live of keys, each of which would count as a hit": {
        View.VALKEY: ("Key groups B", "Key groups C"),
    },
    "no stream of the demo refuses messages when it is full": {View.COMMUNICATIONS: ("Stream replication A",)},
    "no consumer of the demo gives messages up": {
        View.COMMUNICATIONS: ("Consumer configuration E",),
    },
    "the server of the demo samples the acknowledgements that would be estimated": {
        View.COMMUNICATIONS: ("Ack duration (p95) B",),
    },
    "there is no Grafana that events could be pushed to": {
        View.EVENTS: ("Live stream B", "Live stream C"),
        View.EXPORTER: ("Stream clients C",),
    },
    "no agent and no RayJob need be stuck": {View.OVERVIEW: ("Stuck agents A", "Failed RayJobs A")},
    "a deliberation or a story may just not be under way": {
        View.AGENTS: ("Longest A",),
        View.STORIES: ("Oldest A",),
    },
    "the demo's ValKey has no replica": {View.VALKEY: ("Servers G", "Saves and scans D", "Replicas A", "Replicas B")},
    "the demo's ValKey keeps nothing on disk": {
        View.VALKEY: (
            "Server configuration D", "Slow and large commands C", "Persistence duration A", "Persistence duration B",
        ),
    },
    "the demo's ValKey has no limit on its memory, as one that keeps permanent data should not": {
        View.VALKEY: ("Memory A", "Memory limit used A"),
    },
    "only some versions and settings of vLLM tell it, and the demo's stand-in does not": {
        View.VLLM: (
            "Queue D", "Preemptions and rejections C", "Engines D", "Cache hit ratios B", "Cache hit ratios D",
            "Cache hit ratios E",
        ),
    },
}  # fmt: skip

WITHOUT_DATA: Final = {
    (str(view), place): reason for reason, places in _REASONS.items() for view, wheres in places.items() for place in wheres
}
