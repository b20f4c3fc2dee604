"""Metrics without a panel, alert or recording rule, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exporter.metrics import process
from exporter.metrics.metric import Metric
from exporter.source import LOOKUP_UP
from exporter.sources.fleet import samples as fleet
from exporter.sources.jetstream import consumers as nats_consumers
from exporter.sources.jetstream import monitoring as nats_servers
from exporter.sources.jetstream import streams as nats_streams
from exporter.sources.rayjob import clusters, cron_jobs, jobs, services
from exporter.sources.services import probe
from exporter.sources.valkey import info as valkey
from exporter.sources.valkey import keys, modes
from exporter.sources.vllm import mappings as vllm
from exporter.sources.vllm import page
from exporter.sources.vllm.discovery import DISCOVERED

_VIRTUAL_MEMORY = next(metric for metric in process.METRICS if metric.name == "process_virtual_memory_bytes")

EXEMPT: Final[Mapping[Metric, str]] = {
    nats_servers.SUBSCRIPTIONS: "A constant of the fleet's clients.",
    nats_servers.RECEIVED_BYTES: "Messages per second are shown.",
    nats_servers.SENT_BYTES: "Messages per second are shown.",
    nats_servers.META_PENDING: "Nonzero for moments; the health of each server is shown.",
    process.LOG_DROPPED: "Rises only while no one reads the log; the troubleshooting guide has it.",
    _VIRTUAL_MEMORY: "Address space is not memory in use; resident memory is shown.",
    nats_consumers.LEADER: "Changes with every election; named in the runbooks.",
    nats_consumers.FAILED_LOOKUPS: "Explains absent ages of oldest unacked messages; named in the troubleshooting guide.",
    nats_consumers.WAITING: "Pull requests that wait are the normal state of an idle consumer.",
    nats_consumers.PUSH_BOUND: "The alert about a consumer without subscribers names it.",
    nats_consumers.SAMPLING: "Explains why the ack duration is measured or estimated.",
    probe.DELIBERATIONS: "Deliberations from events are shown by role.",
    probe.MEAN: "The duration of deliberations from events is shown by role.",
    nats_streams.LEADER: "Changes with every election; named in the runbooks.",
    nats_streams.REPLICA_OFFLINE: "An offline replica is not current, which is shown.",
    nats_streams.FIRST: "The age of a stream's oldest message is shown, which is more useful than its sequence.",
    jobs.JOB_SUCCEEDED: "The RayJob's state shows whether it succeeded.",
    fleet.AGENT_TASKS: "Responses are shown by role; docs/promql.md has the queries by agent.",
    fleet.AGENT_TASK_SECONDS: "Durations are shown by role; docs/promql.md has the queries by agent.",
    fleet.LEAD_TIME: "Stories spend days in their stages, which are shown; docs/promql.md has the query.",
    services.SERVICE_STATUS: "The applications, which have an alert, say whether requests are served.",
    services.SERVICE_CONDITION: "Explains an alert about applications; named in its runbook.",
    services.ENDPOINTS: "The runbook of the alert about applications asks for it.",
    services.SERVICE_INFO: "Joins a RayService to its RayCluster, which is shown.",
    cron_jobs.LAST_SCHEDULED: "The RayJobs that it creates are shown.",
    cron_jobs.SUSPENDED: "Set by people on purpose; the RayJobs that it creates are shown.",
    cron_jobs.CRON_JOB_INFO: "The schedule is a line of the RayCronJob's specification.",
    clusters.CLUSTER_TPU: "TPUs are rare; the query is one line.",
    LOOKUP_UP: "Lookups are optional; the metrics of a failed lookup are absent, and the log has the reason.",
    modes.CLUSTER_SLOTS: "The runbook of the alert about the cluster asks for it.",
    modes.CLUSTER_NODES: "A constant of the deployment; a node that is lost is shown by the cluster's state.",
    modes.CLUSTER_SIZE: "A constant of the deployment; a node that is lost is shown by the cluster's state.",
    modes.MASTER_QUORUM: "A constant of the configuration.",
    modes.MASTER_SENTINELS: "The runbook of the alert about a master asks for it.",
    modes.MASTER_REPLICAS: "The runbook of the alert about a master asks for it.",
    keys.GROUP_LAG: "For configured streams only; the query is one line.",
    keys.GROUP_PENDING: "For configured streams only; the query is one line.",
    keys.GROUP_CONSUMERS: "For configured streams only; the query is one line.",
    valkey.COMMAND_LATENCY: "Percentiles since the start hardly move; the mean duration of the last minutes is shown.",
    keys.KEY_MEMORY: "The size of a configured key is shown; its memory is proportional.",
    DISCOVERED: "Each discovered server has its own row.",
    vllm.DRAFTS.metric: "The share of accepted draft tokens is shown.",
    vllm.FLOPS.metric: "Utilization needs the GPU's peak, which no one reports; the query is one line.",
    vllm.READ_BYTES.metric: "Utilization needs the GPU's bandwidth, which no one reports; the query is one line.",
    vllm.WRITE_BYTES.metric: "Utilization needs the GPU's bandwidth, which no one reports; the query is one line.",
    vllm.REQUEST_MAX_GENERATION.metric: "The tokens that are really generated are shown.",
    vllm.PARAMETER_N.metric: "A request parameter that clients choose; agents send 1.",
    vllm.PARAMETER_MAX_TOKENS.metric: "A request parameter that clients choose; the generated tokens are shown.",
    page.HTTP_DURATION: "Its buckets end at 1 s, below most requests; the request duration is shown.",
    page.LORA_ADAPTERS: "The fleet's models run without LoRA; the query is one line.",
    page.LORA_LIMIT: "The fleet's models run without LoRA; the query is one line.",
    vllm.REQUEST_PREEMPTIONS.metric: "The rate of preemptions is shown; their distribution over requests adds nothing.",
    valkey.INPUT_BUFFER: "Maximum of a single client; the memory of all clients is shown.",
    valkey.OUTPUT_BUFFER: "Maximum of a single client; the memory of all clients is shown.",
    valkey.MEMORY_STARTUP: "A constant of the build.",
    valkey.MEMORY_SYSTEM: "A constant of the machine; the server's own limit is shown.",
    valkey.ALLOCATOR_FRAGMENTATION: "A part of the fragmentation that is shown.",
    valkey.DEFRAG_RUNNING: "Fragmentation is shown; defragmentation is off by default.",
    valkey.LAZYFREE_PENDING: "Memory that is not freed yet is part of the memory shown.",
    valkey.CONNECTIONS: "Open and rejected connections are shown.",
    valkey.PUBSUB_CHANNELS: "The fleet uses NATS for messages; clients in pub/sub mode are shown.",
    valkey.PUBSUB_PATTERNS: "The fleet uses NATS for messages; clients in pub/sub mode are shown.",
    valkey.FORKS: "Persistence, and the duration of the last fork, are shown.",
    valkey.REPLICA_OFFSET: "Replication lag is shown from the master's side.",
    valkey.MASTER_SYNCING: "Full resyncs and the state of the master link are shown.",
}
