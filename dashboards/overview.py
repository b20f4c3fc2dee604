"""The whole fleet on one page: what is up, what is wrong, and how much is going on?"""

from __future__ import annotations

from alerts import thresholds
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import BAD, WARN, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, firing_alerts, graph, stat
from dashboards.grafana.queries import RATE, Line, chosen, labelled, raw, shown
from dashboards.rows import error_budgets, workloads
from dashboards.rows.common import AGENT_STATES, STORY_MARKS, alert_marks
from exporter import scrape
from exporter.fleet import registry
from exporter.metrics.promql import Query, Series, is_not
from exporter.sources.fleet import samples as fleet
from exporter.sources.rayjob import jobs
from exporter.sources.services import probe
from exporter.sources.vllm import concepts as vllm
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
    "Loki": ("journal", View.EXPORTER),
}
_FIRING = 'ALERTS{alertstate="firing", product="fleet-exporter"'


def _alerts(severity: str) -> Line:
    """How many alerts fire; 0 only where Prometheus has our rules, of which the Watchdog always fires."""
    firing = f'count({_FIRING}, severity="{severity}"}})'
    return Line(raw(f'{firing} or 0 * count({_FIRING}, alertname="Watchdog"}})'))


def _worst(up: Series, *labels: str) -> Query:
    """1 where all are down, 2 where some are, 3 where none is."""
    return up.min(*labels) + up.max(*labels) + 1


_agents = shown(registry.AGENTS, system=fleet.SYSTEM)
_service = [Link("The service's address and calls", View.COMMUNICATIONS, {"service": "service"})]
_to_agents = [Link("Agents", View.AGENTS)]
_to_vllm = [Link("vLLM", View.VLLM)]
_to_events = [Link("Events", View.EVENTS)]

DASHBOARD = Dashboard(
    view=View.OVERVIEW,
    title="Overview",
    description="What of the fleet is up, what is wrong, and how much is going on.",
    variables=[
        variables.of("namespace", "namespace", "Namespace", "Namespaces of the workloads.", shown(STATUS)),
        variables.of(
            "workload",
            "workload",
            "Workload",
            "Workloads that have pods.",
            shown(STATUS, namespace=chosen("namespace")),
        ),
        variables.of("service", "service", "Service", "Services that are called.", shown(probe.UP)),
    ],
    annotations=[alert_marks(), STORY_MARKS],
    rows=[
        Row(
            "",
            [
                stat(
                    "Backends",
                    "Whether each backend could be read (fleet_exporter_source_up), and whether Prometheus could scrape the "
                    "exporter (up). A backend that is not configured is not shown. Each leads to its dashboard.",
                    Line(_worst(Series('up{job=~"$job", instance=~"$instance"}', frozenset())), "Exporter"),
                    *(Line(_worst(shown(scrape.UP, source=source)), name) for name, (source, _) in _BACKENDS.items()),
                    states=workloads.STATES,
                    names=True,
                    background=True,
                    width=15,
                    height=5,
                    columns=[
                        Column("Exporter", links=[Link("Exporter", View.EXPORTER)]),
                        *(Column(name, links=[Link(name, view)]) for name, (_, view) in _BACKENDS.items()),
                    ],
                ),
                stat(
                    "Services and expected workloads",
                    "Whether each service answers at all of its addresses (fleet_service_up), and whether each workload "
                    "that the configuration expects has all its pods ready (fleet_expected_workload_status).",
                    Line(_worst(shown(probe.UP, service=chosen("service")), "service"), "{{service}}"),
                    Line(labelled(workloads.EXPECTED, "service", "$1", "workload", "(.*)"), "{{workload}} (pods)"),
                    states=workloads.STATES,
                    names=True,
                    background=True,
                    width=9,
                    height=5,
                    links=_service,
                ),
                stat(
                    "Critical alerts",
                    "Alerts that fire and call for somebody at once (ALERTS); no data where Prometheus has not our rules.",
                    _alerts("critical"),
                    width=3,
                    decimals=0,
                    limits=[Limit(1, BAD)],
                ),
                stat(
                    "Warnings",
                    "Alerts that fire and can wait for working hours (ALERTS); no data where Prometheus has not our rules.",
                    _alerts("warning"),
                    width=3,
                    decimals=0,
                    limits=[Limit(1, WARN)],
                ),
                stat(
                    "Agents at work",
                    "Agents that deliberate now (fleet_agents, state deliberating).",
                    Line(shown(registry.AGENTS, system=fleet.SYSTEM, state="deliberating").sum()),
                    width=3,
                    decimals=0,
                    sparkline=True,
                    links=_to_agents,
                ),
                stat(
                    "Answers that fail",
                    "Share of the agents' answers of the last hour that failed (fleet_agent_responses_total); no data where "
                    "none was given. Coloured from where the error budget is spent faster than the target allows.",
                    Line(error_budgets.FAILING),
                    unit="percentunit",
                    width=3,
                    limits=error_budgets.FAILING_LIMITS,
                    links=_to_agents,
                ),
                stat(
                    "Stories under way",
                    "Stories that the events tell of and that are not done (fleet_stories).",
                    Line(shown(fleet.STORIES.now, stage=is_not("DONE")).sum() | shown(fleet.STORIES.now).sum() * 0),
                    width=3,
                    decimals=0,
                    sparkline=True,
                    links=[Link("Stories", View.STORIES)],
                ),
                stat(
                    "Events",
                    "Events a minute (fleet_events_total).",
                    Line(shown(fleet.EVENTS).rate(RATE).sum() * 60),
                    unit="cpm",
                    width=3,
                    sparkline=True,
                    links=_to_events,
                ),
                stat(
                    "vLLM latency, p95",
                    "95th percentile of the time of a request to vLLM (vllm_request_duration_seconds); no data without one.",
                    Line(shown(vllm.DURATION.metric).quantile(0.95, window=RATE)),
                    unit="s",
                    width=3,
                    sparkline=True,
                    limits=[Limit(thresholds.LATENCY_SECONDS, WARN)],
                    links=_to_vllm,
                ),
                stat(
                    "Tokens",
                    "Tokens that vLLM generates a second (vllm_generation_tokens_total).",
                    Line(shown(vllm.GENERATION_TOKENS.metric).rate(RATE).sum()),
                    unit="cps",
                    width=3,
                    sparkline=True,
                    links=_to_vllm,
                ),
                firing_alerts(
                    "Alerts",
                    "What fires, or waits to, by Prometheus's own account; each leads to its runbook and its dashboard.",
                    matcher='{product="fleet-exporter", severity!="none"}',
                    width=8,
                    height=10,
                ),
                workloads.TABLE,
            ],
        ),
        error_budgets.ROW,
        Row(
            "What is going on",
            [
                graph(
                    "Agents by state",
                    "Agents by the state that events tell of (fleet_agents).",
                    Line(_agents.sum("state"), "{{state}}"),
                    unit="short",
                    stacked=True,
                    columns=[Column(state, colour=colour) for state, (_, colour) in AGENT_STATES.items()],
                ),
                graph(
                    "Events by family",
                    "Events a second by family (fleet_events_total).",
                    Line(shown(fleet.EVENTS).rate(RATE).sum("family"), "{{family}}"),
                    unit="ops",
                    links=_to_events,
                ),
                graph(
                    "Ray jobs and vLLM's requests",
                    "RayJobs that run, and requests that vLLM executes and lets wait (ray_jobs, vllm_requests_running, "
                    "vllm_requests_waiting).",
                    Line(shown(jobs.JOBS, state="Running").sum(), "Ray jobs"),
                    Line(shown(vllm.RUNNING.metric).sum(), "requests in execution"),
                    Line(shown(vllm.WAITING.metric).sum(), "requests waiting"),
                    unit="short",
                    links=[Link("Ray jobs", View.RAY_JOBS), *_to_vllm],
                ),
            ],
        ),
        workloads.RESOURCES,
        workloads.PODS,
    ],
)
