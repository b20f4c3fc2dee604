"""Each alert by promtool: it fires at its threshold, and is silent just below it and where there is no data."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.rule import Rule, Severity, rules_file
from alerts.rules import RULES
from exporter.metric import counter, gauge, histogram
from exporter.promql import QueryError, is_not, like, series

ROOT = Path(__file__).parents[2]
WHO = 'stream="S",consumer="c"'
HOURS = 2

Series = dict[str, str]
"""A series and its values, one a minute, in promtool's notation."""

CASES: dict[str, tuple[Series, Series]] = {
    "FleetSourceDown": (
        {'fleet_exporter_source_up{source="valkey",server="s"}': "0x120"},
        {'fleet_exporter_source_up{source="valkey",server="s"}': "1x120"},
    ),
    "NatsConsumerLagging": ({f"nats_consumer_lag{{{WHO}}}": "100x120"}, {f"nats_consumer_lag{{{WHO}}}": "99x120"}),
    "NatsConsumerPending": (
        {f"nats_consumer_num_pending{{{WHO}}}": "50x120"}, {f"nats_consumer_num_pending{{{WHO}}}": "49x120"},
    ),
    "NatsConsumerStalled": (
        {f"nats_consumer_lag{{{WHO}}}": "1x120", f"nats_consumer_acknowledged_total{{{WHO}}}": "7x120"},
        {f"nats_consumer_lag{{{WHO}}}": "1x120", f"nats_consumer_acknowledged_total{{{WHO}}}": "7+1x120"},
    ),
    "NatsStreamMissing": (
        {'nats_expected_stream_present{stream="S"}': "0x120"}, {'nats_expected_stream_present{stream="S"}': "1x120"},
    ),
    "FleetAgentUnresponsive": (
        {'fleet_agent_state{agent="a",role="DEV",state="unresponsive"}': "1x120"},
        {'fleet_agent_state{agent="a",role="DEV",state="unresponsive"}': "0x120",
         'fleet_agent_state{agent="a",role="DEV",state="deliberating"}': "1x120"},
    ),
    "FleetAgentsFailing": (
        {'fleet_agent_responses_total{role="DEV",outcome="failed"}': "0+6x120",
         'fleet_agent_responses_total{role="DEV",outcome="completed"}': "0+5x120"},
        {'fleet_agent_responses_total{role="DEV",outcome="failed"}': "0+5x120",
         'fleet_agent_responses_total{role="DEV",outcome="completed"}': "0+5x120"},
    ),
    "FleetCouncilIncomplete": (
        {'fleet_council_agents{role="DEV"}': "2x120", 'fleet_council_expected_agents{role="DEV"}': "3x120"},
        {'fleet_council_agents{role="DEV"}': "3x120", 'fleet_council_expected_agents{role="DEV"}': "3x120"},
    ),
    "WorkloadDown": (
        {'fleet_expected_workload_status{namespace="n",workload="w",state="absent"}': "1x120"},
        {'fleet_expected_workload_status{namespace="n",workload="w",state="absent"}': "0x120",
         'fleet_expected_workload_status{namespace="n",workload="w",state="up"}': "1x120"},
    ),
    "PodCrashLooping": (
        {'fleet_workload_waiting_containers{namespace="n",kind="k",workload="w",reason="CrashLoopBackOff"}': "1x120"},
        {'fleet_workload_waiting_containers{namespace="n",kind="k",workload="w",reason="ContainerCreating"}': "1x120"},
    ),
    "ValkeyEvicting": (
        {'valkey_evicted_keys_total{server="s"}': "0+1x120"}, {'valkey_evicted_keys_total{server="s"}': "7x120"},
    ),
    "BudgetSpent": (
        {'fleet_cost_budget_spent_ratio{period="day"}': "1x120"},
        {'fleet_cost_budget_spent_ratio{period="day"}': "0.99x120"},
    ),
    "TaskFilesUnreadable": (
        {'fleet_board_unreadable_files{reason="not_yaml"}': "1x120"},
        {'fleet_board_unreadable_files{reason="not_yaml"}': "0x120"},
    ),
    "TaskStuck": (
        {'fleet_board_oldest_task_timestamp_seconds{column="inbox"}': "-604800x120"},
        {'fleet_board_oldest_task_timestamp_seconds{column="inbox"}': "-590000x120",
         'fleet_board_oldest_task_timestamp_seconds{column="done"}': "-9000000x120"},
    ),
    "BrokerAgentCpuHigh": (
        {'fleet_broker_agent_cpu_ratio{agent="a"}': "0.8x120"}, {'fleet_broker_agent_cpu_ratio{agent="a"}': "0.79x120"},
    ),
    "BrokerAgentCpuFull": (
        {'fleet_broker_agent_cpu_ratio{agent="a"}': "0.95x120"}, {'fleet_broker_agent_cpu_ratio{agent="a"}': "0.94x120"},
    ),
    "BrokerAgentMemoryHigh": (
        {'fleet_broker_agent_memory_bytes{agent="a"}': "1073741824x120"},
        {'fleet_broker_agent_memory_bytes{agent="a"}': "1073741823x120"},
    ),
    "BrokerAgentMemoryFull": (
        {'fleet_broker_agent_memory_bytes{agent="a"}': "2147483648x120"},
        {'fleet_broker_agent_memory_bytes{agent="a"}': "2147483647x120"},
    ),
    "BrokerAgentErrors": (
        {'fleet_broker_agent_errors{agent="a"}': "5x120"}, {'fleet_broker_agent_errors{agent="a"}': "4x120"},
    ),
    "BrokerAgentManyErrors": (
        {'fleet_broker_agent_errors{agent="a"}': "10x120"}, {'fleet_broker_agent_errors{agent="a"}': "9x120"},
    ),
    "BrokerHeartbeatMissed": (
        {'fleet_broker_agent_heartbeat_timestamp_seconds{agent="a"}': "0x120",
         'fleet_broker_agent_heartbeat_interval_seconds{agent="a"}': "30x120"},
        {'fleet_broker_agent_heartbeat_timestamp_seconds{agent="a"}': "0+60x120",
         'fleet_broker_agent_heartbeat_interval_seconds{agent="a"}': "30x120"},
    ),
}  # fmt: skip


def test_every_alert_has_its_cases() -> None:
    assert list(CASES) == [rule.name for rule in RULES]


def test_the_committed_file_is_the_generated_one() -> None:
    assert (ROOT / "deploy/helm/files/alerts.yaml").read_text() == rules_file(RULES)


def test_promtool_has_no_complaint_about_the_file(promtool: Path) -> None:
    command: list[str | Path] = [
        promtool,
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        ROOT / "deploy/helm/files/alerts.yaml",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def silent_among(promtool: Path, folder: Path, cases: dict[str, Series]) -> set[str]:
    """The alerts of `cases` that do not fire after two hours of their series, by promtool's own tests."""
    tests: list[dict[str, Any]] = []
    for name, given in cases.items():
        inputs = [{"series": one, "values": values} for one, values in given.items()]
        expression = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
        expected = {"expr": expression, "eval_time": f"{HOURS}h", "exp_samples": [{"labels": "{}", "value": 1}]}
        tests.append({"interval": "1m", "name": name, "input_series": inputs, "promql_expr_test": [expected]})
    file = folder / "tests.yaml"
    rules = str(ROOT / "deploy/helm/files/alerts.yaml")
    file.write_text(yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert "parse" not in told, told
    return {name for name in cases if f'alertname=\\"{name}\\"' in told}


def test_each_fires_at_its_threshold(promtool: Path, tmp_path: Path) -> None:
    assert silent_among(promtool, tmp_path, {name: fires for name, (fires, _) in CASES.items()}) == set()


def test_each_is_silent_just_below_it(promtool: Path, tmp_path: Path) -> None:
    assert silent_among(promtool, tmp_path, {name: silent for name, (_, silent) in CASES.items()}) == set(CASES)


def test_each_is_silent_without_data(promtool: Path, tmp_path: Path) -> None:
    assert silent_among(promtool, tmp_path, {name: {"nothing": "1x120"} for name in CASES}) == set(CASES)


def test_a_text_that_names_a_label_the_query_does_not_have_is_refused() -> None:
    depth = series(gauge("queue_depth", "Messages waiting.", "queue"))

    with pytest.raises(ValueError, match="names the label stream"):
        Rule(
            name="TooDeep",
            query=depth > 1,
            severity=Severity.INFO,
            component="c",
            summary="{{ $labels.stream }} is too deep",
            description="It is.",
        )


DEPTH = gauge("queue_depth", "Messages waiting.", "queue")
DONE = counter("queue_done_total", "Messages done.", "queue")
TIME = histogram("queue_wait_time", "Time of waiting.", "queue")


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


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: series(DEPTH, stream="x"),
        lambda: series(DEPTH).rate(),
        lambda: series(DONE).delta(),
        lambda: series(DONE).quantile(0.9),
        lambda: series(DEPTH).sum("stream"),
        lambda: series(DONE).rate("soon"),
        lambda: series(TIME).rate(),
    ],
)
def test_queries_that_do_not_fit_their_metric_fail_when_they_are_written(wrong: Any) -> None:
    with pytest.raises(QueryError):
        wrong()
