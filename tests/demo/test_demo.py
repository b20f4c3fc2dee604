"""The demo as a user runs it: startup, output, commands and shutdown."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from demo.scenario.faults import Backend, Fault, Faults
from demo.slack import receiver
from demo.slack.page import marked_up
from demo.stack.fast_rules import faster
from demo.stack.state import Demo, sentence
from servers import grafana
from servers.process import ServerFailed, wait_for
from tests.support.demo import RunningDemo

ROOT = Path(__file__).parents[2]


def test_every_source_is_shown(demo_fleet: RunningDemo) -> None:
    for words in ("The exporter's first page has", "Alertmanager is up", "Neo4j is up", "Loki is up"):
        demo_fleet.wait_until_said(words)
    pages = (
        "Exporter",
        "Exporter metrics",
        "Exporter API",
        "Prometheus",
        "Alertmanager",
        "Slack messages",
        "Runbooks and dashboards",
        "Loki labels",
    )
    answers = {
        name: httpx.get(demo_fleet.address(name), trust_env=False, follow_redirects=True).status_code for name in pages
    }

    assert answers == dict.fromkeys(pages, 200)


def test_the_demo_starts_healthy(demo_fleet: RunningDemo) -> None:
    """No alert but the Watchdog fires from the first page to the last source."""
    began, up = (demo_fleet.said_at(words) for words in ("The exporter's first page has", "Every source is up"))
    query = f'count_over_time(ALERTS{{alertname!="Watchdog",alertstate="firing"}}[{up - began:.0f}s])'
    url = f"{demo_fleet.prometheus}/api/v1/query"
    answer = httpx.get(url, params={"query": query, "time": str(up)}, trust_env=False).json()

    assert [series["metric"]["alertname"] for series in answer["data"]["result"]] == []


def test_a_port_in_use_is_replaced_and_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = taken.getsockname()[1]
        port = Demo().port("Prometheus", used)

    assert port != used
    assert f"Port {used} is in use: Prometheus listens on {port}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("port 1 is in use", "port 1 is in use"),
        ("loki ended with code 1: msg=up\n  at x\nmsg=full\n", "loki ended with code 1: msg=full"),
        ("x" * 1000, "x" * 300),
    ],
)  # fmt: skip
def test_a_failed_server_is_reported_in_one_line(error: str, shown: str) -> None:
    assert sentence(ServerFailed(error)) == shown


def test_the_demo_accepts_commands_in_its_terminal(demo_fleet: RunningDemo) -> None:
    demo_fleet.do("faults")
    demo_fleet.wait_until_said("lag       ok      a consumer stops reading")
    demo_fleet.do("break everything")
    demo_fleet.wait_until_said("unknown fault 'everything': expected one of agent, lag,")


def test_faults_are_injected_and_removed_by_name() -> None:
    faults = Faults(backends=set(Backend))

    assert faults.run("break lag vllm") == (
        "Broken: a consumer stops reading and 150 messages are published for it\n"
        "Broken: every request to vLLM takes ten seconds longer"
    )
    assert faults.run("break lag") == "lag is already broken"
    assert faults.broken == {Fault.LAG, Fault.VLLM}
    assert faults.run("restore lag") == "Restored: lag"
    assert faults.run("restore lag") == "lag is already ok"
    assert Fault.LAG not in faults
    assert faults.run("restore pod nonsense").startswith("unknown fault 'nonsense'")
    assert faults.run("help").startswith("unknown command 'help'")
    assert faults.run("mend lag").startswith("unknown command 'mend'")
    assert faults.run("break").startswith("unknown command 'break'")
    assert faults.run("  ") == ""
    assert len(faults.run("faults").splitlines()) == len(Fault)


def test_a_fault_of_a_starting_backend_takes_effect_later() -> None:
    faults = Faults(backends={Backend.NATS})

    assert faults.run("break rayjob") == "rayjob will be broken when the Kubernetes API server is up"
    assert Fault.RAYJOB in faults


RULES = """
groups:
  - name: fleet
    interval: 1m
    rules:
      - record: fleet:errors:rate5m
        expr: rate(errors_total[5m]) / (rate(all_total[1h] offset 1d) > 300)
      - alert: Failing
        expr: max_over_time(fleet:errors:rate5m[6h:5m]) > 0.1 and time() - last < 900
        for: 10m
        keep_firing_for: 5m
        annotations: {summary: "Failing for [5m]"}
      - alert: Silent
        expr: absent(up{job="[5m]x"})
        for: 0m
"""


def test_faster_rules_keep_their_thresholds() -> None:
    recorded, failing, silent = yaml.safe_load(faster(RULES))["groups"][0]["rules"]

    assert recorded["expr"] == "rate(errors_total[16000ms]) / (rate(all_total[120000ms] offset 2880000ms) > 300)"
    assert failing["expr"] == "max_over_time(fleet:errors:rate5m[720000ms:10000ms]) > 0.1 and time() - last < 900"
    assert (failing["for"], failing["keep_firing_for"]) == ("10000ms", "10000ms")
    assert failing["annotations"] == {"summary": "Failing for [5m]"}
    assert silent["for"] == "0ms"


def test_prometheus_accepts_the_faster_rules(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(faster((ROOT / "deploy/helm/files/alerts.yaml").read_text()))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("path", "body", "kind", "answer"),
    [
        ("/services/warnings", '{"text": "hello"}', "application/json", (200, "ok")),
        ("/services/warnings", '{"attachments": [{"title": "t", "text": ""}]}', "application/json", (200, "ok")),
        ("/services/warnings", "text=hello", "application/x-www-form-urlencoded", (400, "invalid_payload")),
        ("/services/warnings", "{", "application/json", (400, "invalid_payload")),
        ("/services/warnings", "[]", "application/json", (400, "invalid_payload")),
        ("/services/warnings", "{}", "application/json", (400, "no_text")),
        ("/services/warnings", '{"text": 1}', "application/json", (400, "no_text")),
        ("/services/warnings", '{"attachments": ["x"]}', "application/json", (400, "invalid_attachments")),
        ("/services/warnings", '{"attachments": [{"text": 1}]}', "application/json", (400, "invalid_attachments")),
        ("/services/warnings", '{"text": "x", "attachments": [{"fields": {}}]}', "application/json",
         (400, "invalid_attachments")),
        ("/services/", '{"text": "hello"}', "application/json", (404, "no_service")),
        ("/elsewhere", '{"text": "hello"}', "application/json", (404, "no_service")),
    ],
)  # fmt: skip
def test_the_receiver_accepts_and_rejects_like_slack(path: str, body: str, kind: str, answer: tuple[int, str]) -> None:
    with receiver.start() as slack:
        response = httpx.post(f"{slack.url}{path}", content=body, headers={"content-type": kind}, trust_env=False)
        kept = httpx.get(f"{slack.url}/messages", trust_env=False).json()["messages"]

    assert (response.status_code, response.text) == answer
    assert len(kept) == (answer[0] == 200)


def test_the_page_renders_only_slack_markup() -> None:
    assert marked_up("*bold* 2*3*4 &lt;b&gt; &amp;lt;") == "<b>bold</b> 2*3*4 &lt;b&gt; &amp;lt;"
    assert marked_up('<https://x.test/?a="|words>') == '<a href="https://x.test/?a=&quot;">words</a>'
    assert marked_up("<!channel> <script>") == ('<span class="mention">!channel</span> <span class="mention">script</span>')
    assert marked_up("<javascript:alert(1)|x>") == '<span class="mention">x</span>'


GRAFANA = """#!{python}
import http.server, json, os, pathlib, sys
given = pathlib.Path(os.environ["GF_PATHS_PROVISIONING"])
seen = {{"arguments": sys.argv[1:], "files": sorted(str(file.relative_to(given)) for file in given.rglob("*.yaml"))}}
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ("/api/health", "/seen") else 404)
        self.end_headers()
        self.wfile.write(json.dumps(seen).encode())
http.server.HTTPServer(("127.0.0.1", int(os.environ["GF_SERVER_HTTP_PORT"])), Health).serve_forever()
"""


def test_grafana_on_the_path_is_started_with_its_provisioning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in the place of Grafana, which no package registry has, records its arguments and files."""
    binary = tmp_path / "bin/grafana"
    binary.parent.mkdir()
    binary.write_text(GRAFANA.format(python=sys.executable))
    binary.chmod(0o755)
    (tmp_path / "conf").mkdir()
    monkeypatch.setenv("PATH", str(binary.parent), prepend=os.pathsep)
    sources = grafana.data_sources(prometheus="http://p", loki="http://l", alertmanager="http://a", interval=2)

    with grafana.start(sources=sources, boards=grafana.dashboards(tmp_path)) as server:
        seen = httpx.get(f"{server.url}/seen", trust_env=False).json()

    assert seen == {
        "arguments": ["server", f"--homepath={tmp_path}"],
        "files": ["dashboards/fleet.yaml", "datasources/fleet.yaml"],
    }


def test_grafana_has_the_data_source_uids_of_the_dashboards() -> None:
    given = grafana.data_sources(prometheus="http://p", loki="http://l", alertmanager="http://a", interval=2)
    provider = grafana.dashboards(Path("/boards"))["providers"][0]

    assert [(one["uid"], one["type"], one["url"]) for one in given["datasources"]] == [
        ("prometheus", "prometheus", "http://p"),
        ("loki", "loki", "http://l"),
        ("alertmanager", "alertmanager", "http://a"),
    ]
    assert [one.get("isDefault", False) for one in given["datasources"]] == [True, False, False]
    assert given["datasources"][0]["jsonData"]["timeInterval"] == "2s"
    assert given["datasources"][2]["jsonData"]["implementation"] == "prometheus"
    assert provider["options"] == {"path": "/boards"}


@pytest.mark.parametrize(
    ("fault", "query"),
    [
        (Fault.STREAM, 'nats_expected_stream_present{stream="AGENT_RESULTS"}'),
        (Fault.WORKLOAD, 'fleet_expected_workload_status{workload="monitoring",state="up"}'),
        (Fault.POISON, 'nats_consumer_num_redelivered{consumer="orch-planning-story-transitions"} < bool 1'),
        (Fault.UNREAD, 'nats_consumer_lag{consumer="context-events-archive"} < bool 1'),
    ],
)
def test_a_fault_without_an_alert_shows_and_ends(demo_fleet: RunningDemo, fault: Fault, query: str) -> None:
    def values() -> list[str]:
        answer = httpx.get(f"{demo_fleet.prometheus}/api/v1/query", params={"query": query}, trust_env=False).json()
        return [series["value"][1] for series in answer["data"]["result"]]

    demo_fleet.do(f"break {fault}")
    try:
        wait_for(lambda: values() == ["0"], what=f"{fault} to be broken")
    finally:
        demo_fleet.do(f"restore {fault}")
    wait_for(lambda: values() == ["1"], what=f"{fault} to be restored")
