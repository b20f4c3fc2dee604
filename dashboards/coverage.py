"""Metrics that no dashboard, alert or recorded query has, each with the reason: few would ever ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exporter.metrics import process
from exporter.metrics.metric import Metric
from exporter.source import LOOKUP_UP
from exporter.sources.jetstream import consumers as nats_consumers
from exporter.sources.jetstream import streams as nats_streams
from exporter.sources.rayjob import clusters, jobs
from exporter.sources.valkey import info as valkey
from exporter.sources.valkey import keys
from exporter.sources.vllm import concepts as vllm
from exporter.sources.vllm.discovery import DISCOVERED

_VIRTUAL_MEMORY = next(metric for metric in process.METRICS if metric.name == "process_virtual_memory_bytes")

UNSHOWN: Final[Mapping[Metric, str]] = {
    process.LOG_DROPPED: "Rises only while no one reads the log; the troubleshooting guide has it.",
    _VIRTUAL_MEMORY: "Address space is not memory in use; resident memory is shown.",
    nats_consumers.LEADER: "Changes with every election; the runbooks ask for it.",
    nats_consumers.FAILED_LOOKUPS: "Explains absent ages of oldest unacked messages; named in the troubleshooting guide.",
    nats_streams.LEADER: "Changes with every election; the runbooks ask for it.",
    nats_streams.REPLICA_OFFLINE: "A follower that is offline is not current, which is shown.",
    nats_streams.FIRST: "The age of a stream's oldest message says what its sequence cannot.",
    jobs.JOB_SUCCEEDED: "The RayJob's state shows whether it succeeded.",
    clusters.CLUSTER_TPU: "TPUs are rare; the query is one line.",
    LOOKUP_UP: "Lookups are optional; the metrics of one that fails are absent, and the source says so.",
    keys.KEY_MEMORY: "The size of a configured key is shown; its memory follows it.",
    DISCOVERED: "Each server that is found has a row of its own.",
    vllm.DRAFTS.metric: "The share of drafted tokens that were accepted tells whether drafting pays.",
    vllm.REQUEST_PREEMPTIONS.metric: "The rate of preemptions is shown; how they fall on requests explains nothing more.",
    valkey.INPUT_BUFFER: "One client's moment; the memory of all clients is shown.",
    valkey.OUTPUT_BUFFER: "One client's moment; the memory of all clients is shown.",
    valkey.MEMORY_STARTUP: "A constant of the build.",
    valkey.MEMORY_SYSTEM: "A constant of the machine; the server's own limit is shown.",
    valkey.DEFRAG_RUNNING: "Fragmentation, which it lowers, is shown; it is off unless configured.",
    valkey.LAZYFREE_PENDING: "Memory that is not freed yet is in the memory shown.",
    valkey.CONNECTIONS: "The connections that are open, and those refused, are shown.",
    valkey.PUBSUB_CHANNELS: "The fleet sends its messages by NATS; clients in pub/sub mode are shown.",
    valkey.PUBSUB_PATTERNS: "The fleet sends its messages by NATS; clients in pub/sub mode are shown.",
    valkey.FORKS: "Dumps and rewrites, and the time of the last fork, are shown.",
    valkey.REPLICA_OFFSET: "How far a replica is behind is shown as its master sees it.",
    valkey.MASTER_SYNCING: "Full copies are shown as they are counted, and the link to the master as it is.",
}
