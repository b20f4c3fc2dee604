"""Every dashboard by the rules of Grafana's dashboard-linter; what breaks one is in a table, with the reason."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import pytest

from alerts.dashboard_uid import DashboardUid
from dashboards.__main__ import all_dashboards
from tests.dashboards.linter_rules import RULES, Fault
from tests.dashboards.logql import LogQLError, check, range_windows

Document = dict[str, Any]

DOCUMENTS: Final = {
    f"{dashboard.view}{'' if loki else '-without-loki'}": dashboard.document(loki=loki)
    for dashboard in all_dashboards()
    for loki in (True, False)
    if loki or dashboard.needs_loki
}


class Exclusion(NamedTuple):
    """A rule that some panels of a dashboard may break."""

    rule: str
    dashboard: DashboardUid
    panels: tuple[str, ...]
    reason: str

    def covers(self, rule: str, dashboard: str, fault: Fault) -> bool:
        return rule == self.rule and dashboard.removesuffix("-without-loki") == self.dashboard and fault.panel in self.panels


_RECORDED = "Recorded series have no instance: they continue if another exporter takes over."
_NO_EXPORTERS = "Alerts have neither job nor instance: a restarted exporter must not create a new alert."

EXCLUSIONS: Final[tuple[Exclusion, ...]] = (
    Exclusion("target-job-rule", DashboardUid.OVERVIEW, ("Critical", "Warnings"), _NO_EXPORTERS),
    Exclusion("target-instance-rule", DashboardUid.OVERVIEW, ("Critical", "Warnings"), _NO_EXPORTERS),
    Exclusion("target-instance-rule", DashboardUid.AGENTS, ("Agents over time",), _RECORDED),
    Exclusion("target-instance-rule", DashboardUid.MONITORING, ("Time since heartbeat",), _RECORDED),
    Exclusion("target-instance-rule", DashboardUid.RAY_JOBS, ("States",), _RECORDED),
    Exclusion("target-instance-rule", DashboardUid.COMMUNICATIONS, ("Ack duration (p95)",), _RECORDED),
    Exclusion("target-logql-auto-rule", DashboardUid.STORIES, ("Stages by story",), "A stage lasts until the next change."),
)


def _faults(rule: str, dashboard: str) -> list[Fault]:
    return list(RULES[rule](DOCUMENTS[dashboard]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dashboard", DOCUMENTS)
def test_every_dashboard_follows_the_rule(dashboard: str, rule: str) -> None:
    faults = _faults(rule, dashboard)

    left = [fault for fault in faults if not any(one.covers(rule, dashboard, fault) for one in EXCLUSIONS)]
    assert left == []


def test_every_exclusion_is_still_needed_for_each_panel_it_names() -> None:
    for exclusion in EXCLUSIONS:
        covered = {
            fault.panel
            for dashboard in DOCUMENTS
            for fault in _faults(exclusion.rule, dashboard)
            if exclusion.covers(exclusion.rule, dashboard, fault)
        }
        assert covered == set(exclusion.panels), exclusion.reason


PROMETHEUS = {"type": "prometheus", "uid": "${prometheus_datasource}"}
LOKI = {"type": "loki", "uid": "${loki_datasource}"}
KEPT = 'job=~"$job", instance=~"$instance"'


def _one_panel(query: str, *, loki: bool = False, **changes: Any) -> Document:
    """A dashboard that breaks no rules except through `query` or `changes`."""
    source = LOKI if loki else PROMETHEUS
    panel = {
        "id": 1, "type": "timeseries", "title": "a panel", "description": "What it shows.", "datasource": source,
        "fieldConfig": {"defaults": {"unit": "s", "mappings": []}, "overrides": []}, "options": {},
        "targets": [{"refId": "A", "expr": query, "datasource": source}],
    } | changes  # fmt: skip
    document = next(iter(all_dashboards())).document()
    return document | {"panels": [panel]}


@pytest.mark.parametrize(
    ("rule", "query"),
    [
        ("target-promql-rule", "rate(x_total["),
        ("target-promql-rule", "sum by (a (x)"),
        ("target-rate-interval-rule", f"rate(x_total{{{KEPT}}}[5m])"),
        ("target-rate-interval-rule", f"sum(irate(x_total{{{KEPT}}}[$__interval]))"),
        ("target-job-rule", 'x{instance=~"$instance"}'),
        ("target-job-rule", 'x{job="$job", instance=~"$instance"}'),
        ("target-instance-rule", f'x{{{KEPT}}} / y{{job=~"$job"}}'),
        ("target-instance-rule", 'x{job=~"$job", instance=~"${instance}"}'),
        ("target-counter-agg-rule", f"sum(x_total{{{KEPT}}})"),
        ("target-counter-agg-rule", f"max_over_time(x_total{{{KEPT}}}[$__range])"),
        ("target-counter-agg-rule", f"increase(x_total{{{KEPT}}}[$__range]) / x_total{{{KEPT}}}"),
    ],
)
def test_a_query_that_breaks_a_rule_is_detected(rule: str, query: str) -> None:
    broken = _one_panel(query)

    assert list(RULES[rule](broken)) != []
    assert list(RULES[rule](_one_panel(f"sum(rate(x_total{{{KEPT}}}[$__rate_interval])) / sum(y{{{KEPT}}} > 0)"))) == []


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("panel-datasource-rule", {"datasource": {"type": "prometheus", "uid": "prometheus"}}),
        ("panel-title-description-rule", {"description": ""}),
        ("panel-units-rule", {"fieldConfig": {"defaults": {"mappings": []}, "overrides": []}}),
        ("panel-units-rule", {"fieldConfig": {"defaults": {"unit": "seconds", "mappings": []}, "overrides": []}}),
        ("panel-no-targets-rule", {"targets": []}),
    ],
)
def test_a_panel_that_breaks_a_rule_is_detected(rule: str, changes: Document) -> None:
    assert list(RULES[rule](_one_panel(f"x{{{KEPT}}}", **changes))) != []
    assert list(RULES[rule](_one_panel(f"x{{{KEPT}}}"))) == []


@pytest.mark.parametrize(
    ("rule", "variable", "key", "value"),
    [
        ("template-datasource-rule", "prometheus_datasource", "name", "datasource_of_mine"),
        ("template-datasource-rule", "prometheus_datasource", "type", "textbox"),
        ("template-job-rule", "job", "multi", False),
        ("template-job-rule", "job", "name", "jobs"),
        ("template-instance-rule", "instance", "allValue", ".*"),
        ("template-label-promql-rule", "job", "query", {"query": "label_values(x{, job)"}),
        ("template-label-promql-rule", "job", "query", {"query": "up{}"}),
        ("template-on-time-change-reload-rule", "instance", "refresh", 1),
    ],
)
def test_a_variable_that_breaks_a_rule_is_detected(rule: str, variable: str, key: str, value: object) -> None:
    document = _one_panel(f"x{{{KEPT}}}")
    next(one for one in document["templating"]["list"] if one["name"] == variable)[key] = value

    assert list(RULES[rule](document)) != []


def test_an_editable_dashboard_is_detected() -> None:
    assert list(RULES["uneditable-dashboard"](_one_panel("x") | {"editable": True})) != []


@pytest.mark.parametrize(
    "query",
    [
        '{family="planning", outcome=~"$outcome"} |~ `(?i)$search` | json | line_format "{{.story}} {{.role}}"',
        'sum by (family) (count_over_time({family=~".+"} | story=~"$story" [$__auto]))',
        'topk(5, sum by (role) (rate({family="agent"} != "x" | role != "" [$__auto])))',
    ],
)
def test_valid_logql_is_accepted(query: str) -> None:
    check(query)


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ('{family="planning"', "not closed"),
        ('sum(rate({family="planning"}[$__auto])))', "closes nothing"),
        ("count_over_time(5m)", "selects no stream"),
        ("{}", "no empty label"),
        ('{family=~".*"}', "no empty label"),
        ("{family=planning}", "no matcher"),
        ('{family="planning"} | jsn', "no stage"),
        ('{family="planning"} | | json', "a stage begins"),
        ('{family="planning"} |= | json', "has no text"),
        ('increase({family="planning"}[$__auto])', "no function"),
        ('{family="plan', "no word of LogQL"),
    ],
)
def test_invalid_logql_is_rejected(query: str, fault: str) -> None:
    with pytest.raises(LogQLError, match=fault):
        check(query)


def test_a_custom_window_is_detected_in_logql() -> None:
    assert range_windows('rate({family="planning"} |= "[1m]" [5m])') == ["5m"]
    broken = _one_panel('rate({family="planning"}[5m])', loki=True)

    assert list(RULES["target-logql-auto-rule"](broken)) != []


def test_a_current_value_has_a_fixed_window() -> None:
    def faults(window: str) -> list[Fault]:
        target = {"refId": "A", "expr": f"rate(x_total{{{KEPT}}}[{window}])", "datasource": PROMETHEUS, "instant": True}
        return list(RULES["target-rate-interval-rule"](_one_panel("x", targets=[target])))

    assert faults("$__rate_interval") != []
    assert faults("5m") == []
