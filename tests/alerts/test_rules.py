"""Conventions of every alert and recording rule, and errors raised for invalid ones."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from alerts import thresholds
from alerts.dashboard_uid import DashboardUid
from alerts.files import groups, names, reference, rules_file
from alerts.rule import PRODUCT, AlertingRule, Component, RecordingRule, Severity
from alerts.rules import RECORDINGS, RULES
from alerts.rules.budgets import PAIRS, TASK_SUCCESS, VLLM_LATENCY
from alerts.thresholds import LATENCY_SECONDS
from exporter import assets
from exporter.config.urls import GRAFANA_URL, RUNBOOK_URL
from exporter.metrics.metric import counter, gauge, histogram
from exporter.metrics.promql import Query, QueryError, is_not, like, series
from servers import vllm

ROOT = Path(__file__).parents[2]
RULE_FILE = ROOT / "deploy/helm/files/alerts.yaml"
COMPARISON = re.compile(r" (==|!=|>=|<=|>|<) ")


def test_the_committed_files_are_up_to_date() -> None:
    assert RULE_FILE.read_text() == rules_file(RULES, RECORDINGS)
    assert (ROOT / "docs/alerts.md").read_text() == reference(RULES, RECORDINGS)


def test_promtool_accepts_the_file(promtool: Path) -> None:
    command: list[str | Path] = [promtool, "check", "rules", "--lint=all", "--lint-fatal", RULE_FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_prometheusrule_has_the_same_groups() -> None:
    manifest = yaml.safe_load(assets.prometheus_rule(rules_file(RULES, RECORDINGS)))

    assert manifest["spec"] == groups(RULES, RECORDINGS) == yaml.safe_load(RULE_FILE.read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert manifest["metadata"]["labels"] == {"app.kubernetes.io/name": "fleet-exporter"}  # no one else's Helm release


def test_every_rule_is_in_exactly_one_group() -> None:
    written = [rule for group in groups(RULES, RECORDINGS)["groups"] for rule in group["rules"]]

    assert len(written) == len(RULES) + len(RECORDINGS)
    identities = [(rule["alert"], *sorted(rule["labels"].items())) for rule in written if "alert" in rule]
    assert len(set(identities)) == len(identities)
    assert len({recording.name for recording in RECORDINGS}) == len(RECORDINGS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: " ".join([rule.name, *rule.labels.values()]))
def test_every_alert_follows_the_conventions(rule: AlertingRule) -> None:
    document = rule.document
    labels, annotations = document["labels"], document["annotations"]

    assert labels["product"] == PRODUCT
    assert labels["component"] in set(Component)
    assert (labels["severity"] == Severity.NONE) == (rule.name == "Watchdog")
    assert labels.keys() <= {"severity", "component", "product", "kind", "long", "short"}
    assert not any("{{" in value for value in labels.values())
    assert list(annotations) == ["summary", "description", "runbook_url", "dashboard_url"]
    assert annotations["runbook_url"] == f"{RUNBOOK_URL}/{rule.name}.md"
    assert annotations["dashboard_url"].startswith(f"{GRAFANA_URL}/d/{rule.view}")
    assert rule.name == "Watchdog" or COMPARISON.search(document["expr"])
    assert "topk" not in document["expr"]
    assert rule.by_instance or "instance" not in rule.description
    assert "{{ $value }}" not in rule.description  # a large one would be written 1.5e+06


def test_a_name_means_the_same_in_all_its_rules() -> None:
    for name in names(RULES):
        distinct = {
            (rule.component, rule.summary, rule.catches, rule.view, rule.variables) for rule in RULES if rule.name == name
        }
        assert len(distinct) == 1, name


def test_each_component_has_one_alert_of_kind_down() -> None:
    down = [(rule.component, rule.name) for rule in RULES if rule.down]

    assert len({component for component, _ in down}) == len(down)
    assert {component for component, _ in down} == set(Component) - {Component.SERVICES}


def test_budgets_require_both_windows_and_enough_events() -> None:
    for name, indicator in {"FleetSuccessBudgetBurning": TASK_SUCCESS, "VllmLatencyBudgetBurning": VLLM_LATENCY}.items():
        rules = [rule for rule in RULES if rule.name == name]
        assert [(rule.labels["long"], rule.labels["short"]) for rule in rules] == [(pair.long, pair.short) for pair in PAIRS]
        for rule in rules:
            for asked in (
                f"fleet:{indicator.name}:burnrate{rule.labels['long']} >",
                f"fleet:{indicator.name}:burnrate{rule.labels['short']} >",
                f"fleet:{indicator.name}:volume{rule.labels['long']} >= {indicator.least}",
            ):
                assert asked in rule.expression


def test_every_recorded_series_is_queried() -> None:
    expressions = [rule.expression for rule in RULES]
    expressions += [file.read_text() for file in (ROOT / "deploy/helm/files/dashboards").glob("*.json")]

    for recording in RECORDINGS:
        assert any(re.search(rf"{recording.name}\b", expression) for expression in expressions), recording.name


def test_every_threshold_belongs_to_an_alert() -> None:
    """Dashboards draw them, and a threshold that no alert has would be a line without meaning."""
    named = {name for rule in RULES for name in rule.limits}
    written = {name for name in vars(thresholds) if name.isupper()} - {"MINUTE", "HOUR", "DAY"}

    assert named == written


def test_the_latency_threshold_is_a_bucket_bound_of_vllm() -> None:
    with vllm.start() as server:
        page = httpx.get(f"{server.url}/metrics", trust_env=False).text

    assert re.search(rf'vllm:e2e_request_latency_seconds_bucket{{.*le="{LATENCY_SECONDS}"', page)


DEPTH = gauge("queue_depth", "Messages waiting.", "queue")
DONE = counter("queue_done_total", "Messages done.", "queue")
TIME = histogram("queue_wait_time", "Time of waiting.", "queue")


def _rule(**changes: Any) -> AlertingRule:
    whole = {
        "name": "TooDeep",
        "query": series(DEPTH) > 1,
        "severity": Severity.INFO,
        "component": Component.NATS,
        "summary": "A queue is too deep",
        "description": "{{ $labels.queue }} is.",
        "catches": "A worker that died.",
        "view": DashboardUid.OVERVIEW,
    }
    return AlertingRule(**{**whole, **changes})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "too_deep"}, "no alert name"),
        ({"summary": ""}, "summary is missing"),
        ({"description": "No sentence"}, "does not end with a period"),
        ({"catches": ""}, "fault that only this alert catches"),
        ({"catches": "A worker of {{ $labels.queue }}."}, "fault that only this alert catches"),
        ({"summary": "{{ $labels.queue }} is too deep"}, "same for all alerts"),
        ({"description": "{{ $labels.stream }} is."}, "uses the label stream"),
        ({"description": "{{ $labels.instance }} says so."}, "uses the label instance"),
        ({"variables": ("stream",)}, "uses the label stream"),
        ({"variables": ("queue",)}, "no dashboard has a variable queue"),
        ({"limits": ("DEPTH",)}, "alerts.thresholds has no DEPTH"),
    ],
)
def test_an_incomplete_alert_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        _rule(**changes)


def test_an_alert_in_the_format_of_prometheus() -> None:
    stream = gauge("stream_depth", "Messages waiting.", "stream")
    rule = _rule(
        query=series(stream) > 1, description="{{ $labels.stream }} is.", variables=("stream",), keep_firing_for="5m",
        down=True, for_="1m", labels={"long": "1h"},
    )  # fmt: skip

    assert rule.document == {
        "alert": "TooDeep",
        "expr": "max without (instance, pod) (stream_depth > 1)",
        "for": "1m",
        "keep_firing_for": "5m",
        "labels": {"severity": "info", "component": "nats", "product": "fleet-exporter", "kind": "down", "long": "1h"},
        "annotations": {
            "summary": "A queue is too deep",
            "description": "{{ $labels.stream }} is.",
            "runbook_url": f"{RUNBOOK_URL}/TooDeep.md",
            "dashboard_url": f"{GRAFANA_URL}/d/fleet-overview?var-stream={{{{ $labels.stream | urlquery }}}}",
        },
    }


@pytest.mark.parametrize(
    ("name", "query", "meaning"),
    [
        ("queue:done:rate5m", series(DONE).rate().without("sum"), "Done."),
        ("fleet:done:rate5m", series(DONE).rate(), "Done."),
        ("fleet:done:rate5m", series(DONE).rate().without("sum"), "Done"),
    ],
)
def test_a_recording_that_mixes_or_explains_nothing_is_refused(name: str, query: Query, meaning: str) -> None:
    with pytest.raises(ValueError, match=r"no recording rule name|expected no instance labels|meaning does not end"):
        RecordingRule(name=name, query=query, meaning=meaning)


def test_queries_are_written_as_prometheus_has_them() -> None:
    assert series(DEPTH, queue='a"b').text == 'queue_depth{queue="a\\"b"}'
    assert series(DEPTH, queue=like("a.*"), job=is_not("x")).text == 'queue_depth{queue=~"a.*", job!="x"}'
    assert (series(DONE).rate().sum("queue") / series(DEPTH) > 2).text == (
        "(sum by (queue) (rate(queue_done_total[5m])) / queue_depth) > 2"
    )
    assert series(TIME).quantile(0.95, "queue").text == (
        "histogram_quantile(0.95, sum by (le, queue) (rate(queue_wait_time_bucket[5m])))"
    )
    assert series(TIME, queue="q").part("_count").rate("1h").text == 'rate(queue_wait_time_count{queue="q"}[1h])'
    assert (series(DEPTH) > 2 * 2**30).text == "queue_depth > 2147483648"


def test_a_comparison_keeps_its_sides() -> None:
    """Python turns `a < b` into `b > a` where b's class is derived from a's; an alert would have the other side's value."""
    assert (series(DEPTH).max("queue") < series(DEPTH)).text == "max by (queue) (queue_depth) < queue_depth"
    assert (series(DEPTH) < series(DEPTH).max("queue")).text == "queue_depth < max by (queue) (queue_depth)"


def test_queries_keep_every_label_that_is_not_dropped() -> None:
    done = series(DONE).rate("1h").without("sum", "queue")

    assert done.text == "sum without (instance, pod, queue) (rate(queue_done_total[1h]))"
    assert done.labels == {"job"}
    assert series(DONE).rate().share_of(series(DEPTH)).text == "rate(queue_done_total[5m]) / (queue_depth > 0)"


def test_queries_of_histograms_know_the_label_of_their_buckets() -> None:
    assert series(TIME).bucket(5).text == 'queue_wait_time_bucket{le="5.0"}'
    assert (
        series(TIME, queue="q").bucket(0.5).increase("1d").text
        == 'increase(queue_wait_time_bucket{queue="q", le="0.5"}[1d])'
    )
    assert series(TIME).bucket_rate("10m").without("sum", "queue").histogram_quantile(0.9).text == (
        "histogram_quantile(0.9, sum without (instance, pod, queue) (rate(queue_wait_time_bucket[10m])))"
    )


def test_queries_are_joined_as_sets() -> None:
    deep, idle = series(DEPTH) > 1, series(DONE).increase("10m").equals(0)

    assert (deep | idle).text == "(queue_depth > 1) or (increase(queue_done_total[10m]) == 0)"
    assert deep.unless(idle).text == "(queue_depth > 1) unless (increase(queue_done_total[10m]) == 0)"
    assert deep.unless(idle, ignoring=("queue",)).text == (
        "(queue_depth > 1) unless ignoring (queue) (increase(queue_done_total[10m]) == 0)"
    )
    assert deep.only_with(idle, "queue").text == "(queue_depth > 1) and on (queue) (increase(queue_done_total[10m]) == 0)"
    assert series(DONE).grown("15m").text == (
        "increase(queue_done_total[15m]) > 0 or (queue_done_total > 0 unless queue_done_total offset 15m)"
    )
    assert series(DEPTH).absent("10m").labels == frozenset()
    assert (series(DEPTH).age() > 5).text == "(time() - queue_depth) > 5"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: series(DEPTH, stream="x"),
        lambda: series(DEPTH).rate(),
        lambda: series(DONE).delta(),
        lambda: series(DONE).slope("5m"),
        lambda: series(DONE).quantile(0.9),
        lambda: series(DONE).bucket(1),
        lambda: series(DEPTH).sum("stream"),
        lambda: series(DEPTH).without("sum", "stream"),
        lambda: series(DEPTH).only_with(series(DONE), "stream"),
        lambda: series(DEPTH).unless(series(DONE), ignoring=("stream",)),
        lambda: series(DEPTH).grown("5m"),
        lambda: series(DONE).rate("soon"),
        lambda: series(TIME).rate(),
        lambda: series(DONE).rate().without("sum").histogram_quantile(0.9),
    ],
)
def test_queries_that_do_not_fit_their_metric_fail_when_they_are_written(wrong: Any) -> None:
    with pytest.raises(QueryError):
        wrong()


def test_no_two_alerts_catch_the_same() -> None:
    """An alert whose fault another one reports first is one page too many."""
    caught = {rule.catches for rule in RULES}

    assert len(caught) == len(names(RULES))
