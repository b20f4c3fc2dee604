"""Dashboard "Overview": what is up, what is wrong, and how busy the fleet is."""

from __future__ import annotations

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, firing_alerts, graph, stat
from dashboards.grafana.queries import NOW, RATE, PrometheusTarget, labelled, raw, recent, selector, variable
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
    "NATS": ("jetstream", DashboardUid.COMMUNICATIONS),
    "Events": ("fleet", DashboardUid.EVENTS),
    "vLLM": ("vllm", DashboardUid.VLLM),
    "Ray": ("rayjob", DashboardUid.RAY_JOBS),
    "Neo4j": ("neo4j", DashboardUid.GRAPH),
    "ValKey": ("valkey", DashboardUid.VALKEY),
    "Kubernetes": ("workloads", DashboardUid.EXPORTER),
    "Task board": ("taskboard", DashboardUid.BOARD),
    "Costs": ("costs", DashboardUid.BOARD),
    "Agent broker": ("broker", DashboardUid.MONITORING),
    "Loki": ("loki", DashboardUid.EXPORTER),
}
_FIRING = 'ALERTS{alertstate="firing", product="fleet-exporter"'


def _alerts(severity: str) -> PrometheusTarget:
    """Number of firing alerts; 0 only if Prometheus has these rules, because Watchdog always fires."""
    firing = f'count({_FIRING}, severity="{severity}"}})'
    return PrometheusTarget(raw(f'{firing} or 0 * count({_FIRING}, alertname="Watchdog"}})'))


def _worst(up: Query, *labels: str) -> Query:
    """1 if all are down, 2 if some are down, 3 if none is down."""
    return up.min(*labels) + up.max(*labels) + 1


def _tile(up: Series, *labels: str) -> Query:
    """As `_worst`, of the last minute; 5, unknown, for a thing that was there in the last six hours."""
    return _worst(recent(up), *labels) | up.max_over("6h").max(*labels) * 0 + 5


_agents = selector(registry.AGENTS, system=fleet.SYSTEM)
_service = [Link("Addresses and calls", DashboardUid.COMMUNICATIONS, {"service": "service"})]
_to_agents = [Link("Agents", DashboardUid.AGENTS)]
_to_vllm = [Link("vLLM", DashboardUid.VLLM)]
_to_events = [Link("Events", DashboardUid.EVENTS)]
_to_costs = [Link("Board and costs", DashboardUid.BOARD)]

DASHBOARD = Dashboard(
    view=DashboardUid.OVERVIEW,
    title="Overview",
    description="Is anything wrong, what is it, whom does it affect, and what does the fleet cost?",
    variables=[
        variables.of("namespace", "namespace", "Namespace", "Namespaces of the workloads.", selector(STATUS)),
        variables.of(
            "workload",
            "workload",
            "Workload",
            "Workloads that have pods.",
            selector(STATUS, namespace=variable("namespace")),
        ),
        variables.of("service", "service", "Service", "Services that the exporter checks.", selector(probe.UP)),
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
                    PrometheusTarget(_worst(EXPORTER_UP), "Exporter"),
                    *(
                        PrometheusTarget(_tile(selector(scrape.UP, source=source)), name)
                        for name, (source, _) in _BACKENDS.items()
                    ),
                    states=workloads.STATES,
                    names=True,
                    background=True,
                    width=8,
                    height=8,
                    columns=[
                        FieldOverride("Exporter", links=[Link("Exporter", DashboardUid.EXPORTER)]),
                        *(FieldOverride(name, links=[Link(name, view)]) for name, (_, view) in _BACKENDS.items()),
                    ],
                ),
                stat(
                    "Services and expected workloads",
                    "Whether each service responds at all of its addresses (fleet_service_up), and whether all pods of "
                    "each expected workload are ready (fleet_expected_workload_status).",
                    PrometheusTarget(_tile(selector(probe.UP, service=variable("service")), "service"), "{{service}}"),
                    PrometheusTarget(
                        labelled(workloads.EXPECTED, "service", "$1", "workload", "(.*)"), "{{workload}} (pods)"
                    ),
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
                    limits=[Threshold(1, BAD)],
                ),
                stat(
                    "Warnings",
                    "Firing warnings (ALERTS), which can wait for working hours; no data if Prometheus does not have "
                    "these rules.",
                    _alerts("warning"),
                    width=3,
                    decimals=0,
                    limits=[Threshold(1, WARN)],
                ),
                stat(
                    "vLLM p95",
                    "p95 of the request duration of vLLM (vllm_request_duration_seconds); no data without requests.",
                    PrometheusTarget(selector(vllm.DURATION.metric).quantile(0.95, window=NOW)),
                    unit="s",
                    width=3,
                    limits=[Threshold(thresholds.LATENCY_SECONDS, WARN)],
                    links=_to_vllm,
                ),
                stat(
                    "Failures",
                    error_budgets.FAILING_MEANING,
                    PrometheusTarget(error_budgets.FAILING),
                    unit="percentunit",
                    width=3,
                    limits=error_budgets.FAILING_LIMITS,
                    links=_to_agents,
                ),
                stat(
                    "Cost today",
                    "Cost of agent invocations today (UTC) in US dollars (fleet_cost_spent_usd).",
                    PrometheusTarget(selector(ledger.SPENT, period="day").max()),
                    unit="currencyUSD",
                    decimals=2,
                    width=3,
                    links=_to_costs,
                ),
                stat(
                    "Budget",
                    "Spent share of the budget, the higher of day and month (fleet_cost_budget_spent_ratio); no data if "
                    "none is set.",
                    PrometheusTarget(selector(ledger.BUDGET_SPENT).max()),
                    unit="percentunit",
                    width=3,
                    limits=costs.BUDGET_LIMITS,
                    links=_to_costs,
                ),
                stat(
                    "Stories",
                    "Stories that are not done (fleet_stories).",
                    PrometheusTarget(
                        selector(fleet.STORIES.now, stage=is_not("DONE")).sum() | selector(fleet.STORIES.now).sum() * 0
                    ),
                    width=3,
                    decimals=0,
                    links=[Link("Stories", DashboardUid.STORIES)],
                ),
                stat(
                    "Events",
                    "Events per minute (fleet_events_total).",
                    PrometheusTarget(selector(fleet.EVENTS).rate(NOW).sum() * 60),
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
                    PrometheusTarget(_agents.sum("state"), "{{state}}"),
                    unit="locale",
                    stacked=True,
                    columns=[FieldOverride(state, color=color) for state, (_, color) in AGENT_STATES.items()],
                ),
                graph(
                    "Events by family",
                    "Events per second by family (fleet_events_total).",
                    PrometheusTarget(selector(fleet.EVENTS).rate(RATE).sum("family"), "{{family}}"),
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
