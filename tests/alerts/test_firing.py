"""Each alert by promtool: it fires at its threshold with texts that render, and is silent just below it and without data."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import pytest

from alerts.files import rules_file
from alerts.rule import AlertingRule
from alerts.rules import RECORDINGS, RULES
from alerts.rules.budgets import PAIRS, TASK_SUCCESS, VLLM_LATENCY, Pair
from exporter.metrics.metric import Kind
from exporter.reference import metric_groups
from tests.alerts.cases import CASES
from tests.alerts.firing import Alert, Given, Trial, complaints, fired

WITHOUT_DATA = {
    "Watchdog": "shows that alerts are evaluated, so it always fires",
    "FleetExporterDown": "a target that was never found has no series at all",
}
BUDGETS = {"FleetSuccessBudgetBurning": TASK_SUCCESS, "VllmLatencyBudgetBurning": VLLM_LATENCY}
BY_NAME = {rule.name: rule for rule in RULES}
_EXPORTERS = ("one of two not scraped", "none of two scraped", "not scraped", "never found")


@pytest.fixture(scope="module")
def firing(promtool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Alert]]:
    """The alerts of each case that should fire."""
    trials = {
        f"{name}: {what}": Trial(BY_NAME[name], given) for name, case in CASES.items() for what, given in case.fires.items()
    }
    return fired(promtool, tmp_path_factory.mktemp("firing"), trials)


def test_every_alert_has_cases() -> None:
    assert {*CASES, *BUDGETS} == set(BY_NAME)
    assert [name for name, case in CASES.items() if not case.silent] == ["Watchdog"]


def test_each_fires_at_its_threshold(firing: dict[str, list[Alert]]) -> None:
    assert {what: alerts for what, alerts in firing.items() if len(alerts) != 1} == {}


def test_each_is_silent_below_its_threshold_and_for_other_objects(promtool: Path, tmp_path: Path) -> None:
    trials = {
        f"{name}: {what}": Trial(BY_NAME[name], given) for name, case in CASES.items() for what, given in case.silent.items()
    }

    assert {what: alerts for what, alerts in fired(promtool, tmp_path, trials).items() if alerts} == {}


def test_each_is_silent_without_data(promtool: Path, tmp_path: Path) -> None:
    trials = {_key(rule): Trial(rule, {"nothing": "1x20"}, until="20m") for rule in RULES}
    found = fired(promtool, tmp_path, trials)

    assert {what.partition(" ")[0] for what, alerts in found.items() if alerts} == set(WITHOUT_DATA)


def test_every_text_and_link_renders(firing: dict[str, list[Alert]]) -> None:
    for what, (alert,) in firing.items():
        rule = BY_NAME[alert.labels["alertname"]]
        assert alert.annotations.keys() == rule.document["annotations"].keys(), what
        for text in alert.annotations.values():
            assert not any(mark in text for mark in ("<error", "<no value>", "{{")), f"{what}: {text}"
        assert alert.annotations["summary"] == rule.summary, what
        for variable in rule.variables:
            assert f"var-{variable}=" in alert.annotations["dashboard_url"], what
            assert f"var-{variable}=&" not in f"{alert.annotations['dashboard_url']}&", f"{what}: the variable is empty"


def test_labels_in_links_are_escaped(promtool: Path, tmp_path: Path) -> None:
    odd = {'nats_consumer_lag{stream="A&B",consumer="c d/é"}': "100x120"}
    ((alert,),) = fired(promtool, tmp_path, {"odd": Trial(BY_NAME["NatsConsumerLagging"], odd)}).values()

    assert alert.annotations["dashboard_url"].endswith("?var-stream=A%26B&var-consumer=c+d%2F%C3%A9")


def test_two_exporters_of_one_fleet_make_one_alert_and_two_clusters_two(promtool: Path, tmp_path: Path) -> None:
    rule = BY_NAME["NatsConsumerLagging"]
    who = 'stream="S",consumer="c",job="fleet-exporter"'
    one = {f'nats_consumer_lag{{{who},instance="{pod}",pod="{pod}"}}': "100x120" for pod in "ab"}
    two = {f'nats_consumer_lag{{{who},cluster="{cluster}"}}': "100x120" for cluster in "ab"}
    found = fired(promtool, tmp_path, {"one": Trial(rule, one), "two": Trial(rule, two)})

    assert [alert.labels.get("instance") for alert in found["one"]] == [None]
    assert sorted(alert.labels["cluster"] for alert in found["two"]) == ["a", "b"]


def test_the_instance_is_named_only_if_other_exporters_are_up(firing: dict[str, list[Alert]]) -> None:
    """An alert without an instance inhibits every other alert."""
    found = {what: firing[f"FleetExporterDown: {what}"][0] for what in _EXPORTERS}

    assert {what: alert.labels.get("instance", "") for what, alert in found.items()} == {
        "one of two not scraped": "i", "none of two scraped": "", "not scraped": "", "never found": ""
    }  # fmt: skip
    assert "No scrape of i has" in found["one of two not scraped"].annotations["description"]
    assert "No scrape of fleet-exporter has" in found["none of two scraped"].annotations["description"]
    assert "no target of the job" in found["never found"].annotations["description"]


def test_a_description_has_the_measured_value_and_not_the_threshold(firing: dict[str, list[Alert]]) -> None:
    for name, found in (
        ("FleetCouncilIncomplete", " 2 agents"),
        ("RayClusterWorkersBelowDesired", " 1 ready workers"),
        ("FleetShardMissing", " 2 shards"),
    ):
        (alert,) = firing[f"{name}: at the threshold"]
        assert found in alert.annotations["description"], alert.annotations["description"]


def test_a_large_number_is_written_out(promtool: Path, tmp_path: Path) -> None:
    many = {'nats_consumer_lag{stream="S",consumer="c"}': "1500000x120"}
    ((alert,),) = fired(promtool, tmp_path, {"many": Trial(BY_NAME["NatsConsumerLagging"], many)}).values()

    assert "at least 1500000 " in alert.annotations["description"]


def test_an_alert_keeps_firing_for_its_duration(promtool: Path, tmp_path: Path) -> None:
    rule = BY_NAME["FleetAgentUnresponsive"]
    state = 'fleet_agent_state{agent="a",role="DEV",state="unresponsive"}'
    given = {"a minute ago": "1x118 0x2", "long ago": "1x110 0x10"}
    found = fired(promtool, tmp_path, {what: Trial(rule, {state: values}) for what, values in given.items()})

    assert rule.keep_firing_for == "2m"
    assert {what for what, alerts in found.items() if alerts} == {"a minute ago"}


def _everything_twice() -> Given:
    """Every series that an exporter can show, with two values for each label, all exported by two exporters."""
    given = {}
    for metric in {metric for metrics in metric_groups().values() for metric in metrics}:
        choices: dict[str, tuple[str, ...]] = dict.fromkeys(metric.labels, ("a", "b"))
        if metric.states:
            choices[metric.labels[-1]] = metric.states
        buckets = metric.kind is Kind.HISTOGRAM
        names = [f"{metric.name}_{part}" for part in ("bucket", "count", "sum")] if buckets else [metric.name]
        for name, *values in itertools.product(names, ("i", "k"), *choices.values()):
            labels = dict(zip(("instance", *choices), values, strict=True))
            for more in ({"le": "5.0"}, {"le": "+Inf"}) if name.endswith("_bucket") else ({},):
                label_text = ",".join(f'{label}="{value}"' for label, value in {**labels, **more}.items())
                given[f"{name}{{{label_text}}}"] = "0+3x10"
    return given


def test_no_query_fails_with_duplicates_of_everything(promtool: Path, tmp_path: Path) -> None:
    """A query that expects one series fails only with data of two."""
    file = tmp_path / "rules.yaml"
    file.write_text(rules_file(RULES, RECORDINGS))

    assert complaints(promtool, tmp_path, file, _everything_twice()) == ""


def test_a_failing_query_is_detected(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("groups: [{name: g, rules: [{alert: A, expr: 'fleet_service_up * on (service) fleet_service_up > 0'}]}]")

    assert "matching" in complaints(promtool, tmp_path, file, _everything_twice())


def _key(rule: AlertingRule) -> str:
    return " ".join([rule.name, *rule.labels.values()])


VALUES = 150
"""Values of each series about a budget."""


def _burning(name: str, share: float, events: float, stopped: int = 0) -> Given:
    """Series in which this share of the events per interval misses the target, without events in the last intervals."""

    def rising(step: float) -> str:
        return f"0+{step}x{VALUES - stopped}" + (f" {step * (VALUES - stopped)}x{stopped - 1}" if stopped else "")

    if name == "FleetSuccessBudgetBurning":
        who = 'fleet_agent_responses_total{role="DEV",outcome='
        return {f'{who}"failed"}}': rising(events * share), f'{who}"completed"}}': rising(events * (1 - share))}
    who = 'server="s",model="m",engine="0"'
    return {
        f'vllm_request_duration_seconds_bucket{{{who},le="5.0"}}': rising(events * (1 - share)),
        f"vllm_request_duration_seconds_count{{{who}}}": rising(events),
    }


class Stretch(NamedTuple):
    """How the series of a pair lie in time; `stopped` values are longer than the short window, shorter than the long."""

    interval: str
    until: str
    stopped: int


STRETCHES = {
    "1h": Stretch("1m", "150m", 20),
    "6h": Stretch("1m", "150m", 50),
    "1d": Stretch("5m", "750m", 50),
    "3d": Stretch("5m", "750m", 90),
}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.long)
@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_burns_in_both_windows_and_with_enough_events(
    promtool: Path, tmp_path: Path, name: str, pair: Pair
) -> None:
    (rule,) = (rule for rule in RULES if rule.name == name and rule.labels["long"] == pair.long)
    indicator = BUDGETS[name]
    allowed = pair.factor * (1 - indicator.target)
    stretch = STRETCHES[pair.long]
    # Windows longer than the series see the whole of them; there must be enough before `for` begins to count.
    seen = 60 if pair.long == "1h" else VALUES
    few, enough = (indicator.least * part / seen for part in (0.9, 1.5))
    given = {
        "over": _burning(name, allowed + 0.01, 100),
        "under": _burning(name, allowed - 0.01, 100),
        "few": _burning(name, 1.0, few),
        "enough": _burning(name, 1.0, enough),
        "stopped": _burning(name, allowed + 0.01, 100, stretch.stopped),
    }
    found = fired(
        promtool, tmp_path, {what: Trial(rule, one, stretch.interval, stretch.until) for what, one in given.items()}
    )

    assert {what for what, alerts in found.items() if alerts} == {"over", "enough"}
    for alert in (*found["over"], *found["enough"]):
        assert not any("<error" in text or "{{" in text for text in alert.annotations.values())
        assert alert.labels["severity"] == pair.severity


def test_no_burn_rate_exceeds_every_event() -> None:
    for indicator in BUDGETS.values():
        assert max(pair.factor for pair in PAIRS) * (1 - indicator.target) < 1
