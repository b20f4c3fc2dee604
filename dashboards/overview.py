"""Dashboard "Overview": what is up, what is wrong, and how busy the fleet is."""

from __future__ import annotations

from alerts import thresholds
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, WARN, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, firing_alerts, graph, stat
from dashboards.grafana.queries import NOW, RATE, Line, chosen, labelled, raw, recent, shown
from dashboards.rows import costs, error_budgets, problems, workloads
from dashboards.rows.common import AGENT_STATES, EXPORTER_UP, STORY_MARKS, alert_marks
from exporter.fleet import registry
from exporter.metrics.promql import Query, Series, is_not
from exporter.scrape import state as scrape
from exporter.sources.costs import samples as ledger
from exporter.sources.fleet import samples as fleet
from exporter.sources.services import probe
from exporter.sources.vllm import mappings as vllm
from exporter.sources.workloads.samples import STATUS

_BACKENDS = {
    "NATS": ("jetstream", View.COMMUNICATIONS),
    "Events": ("fleet", View.EVENTS),
    "vLLM": ("vllm", View.VLLM),
    "Ray": ("rayjob", View.RAY_JOBS),
    "Neo4j": ("neo4j", View.GRAPH),
    "ValKey": ("valkey", View.VALKEY),
    "Kubernetes": ("workloads", View.EXPORTER),
    "Task board": ("taskboard", View.BOARD),
    "Costs": ("costs", View.BOARD),
    "Agent broker": ("broker", View.MONITORING),
    "Loki": ("loki", View.EXPORTER),
}
_FIRING = 'ALERTS{alertstate="firing", product="fleet-exporter"'


def _alerts(severity: str) -> Line:
    """Number of firing alerts; 0 only if Prometheus has these rules, because Watchdog always fires."""
    firing = f'count({_FIRING}, severity="{severity}"}})'
    return Line(raw(f'{firing} or 0 * count({_FIRING}, alertname="Watchdog"}})'))


def _worst(up: Query, *labels: str) -> Query:
    """1 if all are down, 2 if some are down, 3 if none is down."""
    return up.min(*labels) + up.max(*labels) + 1


def _tile(up: Series, *labels: str) -> Query:
    """As `_worst`, of the last minute; 5, unknown, for a thing that was there in the last six hours."""
    return _worst(recent(up), *labels) | up.max_over("6h").max(*labels) * 0 + 5


_agents = shown(registry.AGENTS, system=fleet.SYSTEM)
_service = [Link("Addresses and calls", View.COMMUNICATIONS, {"service": "service"})]
_to_agents = [Link("Agents", View.AGENTS)]
_to_vllm = [Link("vLLM", View.VLLM)]
_to_events = [Link("Events", View.EVENTS)]
_to_costs = [Link("Board and costs", View.BOARD)]

DASHBOARD = Dashboard(
    view=View.OVERVIEW,
    title="Overview",
    description="Is anything wrong, what is it, whom does it affect, and what does the fleet cost?",
    variables=[
        variables.of("namespace", "namespace", "Namespace", "Namespaces of the workloads.", shown(STATUS)),
        variables.of(
            "workload",
            "workload",
            "Workload",
            "Workloads that have pods.",
            shown(STATUS, namespace=chosen("namespace")),
        ),
        variables.of("service", "service", "Service", "Services that the exporter checks.", shown(probe.UP)),
    ],
    annotations=[alert_marks(), STORY_MARKS],
    rows=[
        Row(
            "",
            [
                firing_alerts(
                    "Alerts",
                    "Firing and pending alerts. Each links to its runbook and dashboard.",
                    matcher='{product="fleet-exporter", severity!="none"}',
                    width=8,
                    height=8,
                ),
                stat(
                    "Backends",
                    "State of each backend (fleet_exporter_source_up) and of the exporter itself (up). Backends that are "
                    "not configured are not shown. Each value links to its dashboard.",
                    Line(_worst(EXPORTER_UP), "Exporter"),
                    *(Line(_tile(shown(scrape.UP, source=source)), name) for name, (source, _) in _BACKENDS.items()),
                    states=workloads.STATES,
                    names=True,
                    background=True,
                    width=8,
                    height=8,
                    columns=[
                        Column("Exporter", links=[Link("Exporter", View.EXPORTER)]),
                        *(Column(name, links=[Link(name, view)]) for name, (_, view) in _BACKENDS.items()),
                    ],
                ),
                stat(
                    "Services and expected workloads",
                    "Whether each service answers at all of its addresses (fleet_service_up), and whether all pods of "
                    "each expected workload are ready (fleet_expected_workload_status).",
                    Line(_tile(shown(probe.UP, service=chosen("service")), "service"), "{{service}}"),
                    Line(labelled(workloads.EXPECTED, "service", "$1", "workload", "(.*)"), "{{workload}} (pods)"),
                    states=workloads.STATES,
                    names=True,
                    background=True,
                    width=8,
                    height=8,
                    links=_service,
                ),
                problems.STUCK_AGENTS,
                problems.LAGGING_CONSUMERS,
                problems.FAILED_JOBS,
                stat(
                    "Critical",
                    "Firing critical alerts (ALERTS), which need an immediate response; no data if Prometheus does not "
                    "have these rules.",
                    _alerts("critical"),
                    width=3,
                    decimals=0,
                    limits=[Limit(1, BAD)],
                ),
                stat(
                    "Warnings",
                    "Firing warnings (ALERTS), which can wait for working hours; no data if Prometheus does not have "
                    "these rules.",
                    _alerts("warning"),
                    width=3,
                    decimals=0,
                    limits=[Limit(1, WARN)],
                ),
                stat(
                    "vLLM p95",
                    "p95 of the request duration of vLLM (vllm_request_duration_seconds); no data without requests.",
                    Line(shown(vllm.DURATION.metric).quantile(0.95, window=NOW)),
                    unit="s",
                    width=3,
                    limits=[Limit(thresholds.LATENCY_SECONDS, WARN)],
                    links=_to_vllm,
                ),
                stat(
                    "Failures",
                    "Share of agent answers in the last hour that failed (fleet_agent_responses_total); no data without "
                    "answers. Colored if the error budget burns faster than the target allows.",
                    Line(error_budgets.FAILING),
                    unit="percentunit",
                    width=3,
                    limits=error_budgets.FAILING_LIMITS,
                    links=_to_agents,
                ),
                stat(
                    "Cost today",
                    "Cost of agent invocations today (UTC) in US dollars (fleet_cost_spent_usd).",
                    Line(shown(ledger.SPENT, period="day").max()),
                    unit="currencyUSD",
                    decimals=2,
                    width=3,
                    links=_to_costs,
                ),
                stat(
                    "Budget",
                    "Spent share of the budget, the higher of day and month (fleet_cost_budget_spent_ratio); no data if "
                    "none is set.",
                    Line(shown(ledger.BUDGET_SPENT).max()),
                    unit="percentunit",
                    width=3,
                    limits=costs.BUDGET_LIMITS,
                    links=_to_costs,
                ),
                stat(
                    "Stories",
                    "Stories that are not done (fleet_stories).",
                    Line(shown(fleet.STORIES.now, stage=is_not("DONE")).sum() | shown(fleet.STORIES.now).sum() * 0),
                    width=3,
                    decimals=0,
                    links=[Link("Stories", View.STORIES)],
                ),
                stat(
                    "Events",
                    "Events per minute (fleet_events_total).",
                    Line(shown(fleet.EVENTS).rate(NOW).sum() * 60),
                    unit="epm",
                    width=3,
                    links=_to_events,
                ),
            ],
        ),
        Row(
            "Activity",
            [
                graph(
                    "Agents by state",
                    "Agents by state (fleet_agents).",
                    Line(_agents.sum("state"), "{{state}}"),
                    unit="locale",
                    stacked=True,
                    columns=[Column(state, color=color) for state, (_, color) in AGENT_STATES.items()],
                ),
                graph(
                    "Events by family",
                    "Events per second by family (fleet_events_total).",
                    Line(shown(fleet.EVENTS).rate(RATE).sum("family"), "{{family}}"),
                    unit="eps",
                    links=_to_events,
                ),
            ],
        ),
        error_budgets.ROW,
        Row("Workloads", [workloads.TABLE]),
        workloads.RESOURCES,
        workloads.PODS,
    ],
)
