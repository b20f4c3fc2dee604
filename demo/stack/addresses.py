"""What the demo prints: pages to open, commands of the backends' clients, and queries to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.stack.monitoring import Monitoring

_QUERIES = (
    ("agents by state", "sum by (role, state) (fleet_agents)"),
    ("responses per minute by outcome", "sum by (outcome) (rate(fleet_agent_responses_total[1m])) * 60"),
    ("response time, p95",
     "histogram_quantile(0.95, sum by (le, role) (rate(fleet_agent_response_duration_seconds_bucket[1m])))"),
    ("stories by stage", "fleet_stories"),
    ("tasks on the board", "fleet_board_column_tasks"),
    ("US dollars spent", "fleet_cost_spent_usd"),
    ("consumers that lag", "nats_consumer_lag > 0"),
    ("consumers with redelivered messages", "nats_consumer_num_redelivered > 0"),
    ("workloads that are not up", 'fleet_workload_status{state!="up"} == 1'),
    ("RayJobs by state", "sum by (state) (ray_jobs)"),
    ("generated tokens per second", "rate(vllm_generation_tokens_total[1m])"),
    ("growth of the graph", "deriv(neo4j_nodes[1m])"),
    ("cache hit ratio",
     "valkey_keyspace_hits_total / (valkey_keyspace_hits_total + valkey_keyspace_misses_total)"),
    ("pending and firing alerts", "ALERTS"),
    ("sources that are down, with the reason", "fleet_exporter_source_failure == 1"),
)  # fmt: skip


@dataclass(frozen=True)
class Backends:
    """The addresses of the backends; `kubeconfig` is the administrator's."""

    nats: str
    nats_monitoring: str
    valkey_port: int
    neo4j_port: int
    neo4j_password: str
    kubeconfig: Path
    loki: str

    def clients(self) -> Mapping[str, str]:
        """A command of each backend's own client."""
        return {
            "NATS": f"nats --server {self.nats} stream ls",
            "ValKey": f"valkey-cli -p {self.valkey_port}",
            "Neo4j": f"cypher-shell -a bolt://127.0.0.1:{self.neo4j_port} -u neo4j -p {self.neo4j_password}",
            "Kubernetes": f"kubectl --kubeconfig {self.kubeconfig} get rayjobs,pods",
            "Loki": f"""logcli --addr={self.loki} query '{{family="agent"}}'""",
        }


_FASTER: Final = "Alert rules are the production rules, but faster: ranges 30 times (min 16 s), `for` 60 times (min 8 s)."
_AS_IN_PRODUCTION: Final = "Alert rules and the scrape interval are those of production."


def addresses(exporter: str, monitoring: Monitoring, backends: Backends) -> str:
    """URLs, client commands and example queries of the demo."""
    pages = {
        "Exporter": exporter,
        "Exporter metrics": f"{exporter}/metrics",
        "Exporter API": f"{exporter}/docs",
        "Prometheus": monitoring.prometheus.url,
        "Alertmanager": monitoring.alertmanager,
        "Slack messages": monitoring.slack,
        "Runbooks and dashboards": monitoring.documentation,
        "Loki labels": f"{backends.loki}/loki/api/v1/labels",
    }
    if monitoring.grafana:
        pages["Grafana"] = monitoring.grafana
    return "\n".join(
        [
            "",
            *(f"  {name:<26}{url}" for name, url in pages.items()),
            "",
            *(f"  {name:<26}{command}" for name, command in backends.clients().items()),
            "",
            f"  Queries to try at {monitoring.prometheus.url}:",
            "",
            *(f"    # {text}\n    {query}" for text, query in _QUERIES),
            "",
            f"  {_FASTER if monitoring.is_faster else _AS_IN_PRODUCTION}",
            "  Commands: break NAME, restore NAME, faults. Ctrl-C stops everything.",
            "",
        ]
    )
