"""The demo, as its user runs it: everything comes up, is said, obeys, and is gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from demo.scenario.faults import USUAL, Backend, Fault, Faults
from demo.slack import receiver
from demo.slack.page import marked_up
from demo.stack.fast_rules import hurried
from servers import grafana, nats, prometheus, valkey
from servers.process import wait_for
from tests.support.demo import RunningDemo, running_demo
from tests.support.servers import required

ROOT = Path(__file__).parents[2]


def test_every_source_is_shown(demo_fleet: RunningDemo) -> None:
    for words in ("The first page is there", "Alertmanager has joined", "Neo4j has joined", "Loki has joined"):
        demo_fleet.wait_until_said(words)
    pages = ("The page", "The API", "Prometheus, with the alerts", "Alertmanager", "What Slack would show")
    answers = {
        name: httpx.get(demo_fleet.address(name), trust_env=False, follow_redirects=True).status_code for name in pages
    }

    assert answers == dict.fromkeys(pages, 200)


def test_it_answers_at_its_terminal(demo_fleet: RunningDemo) -> None:
    demo_fleet.do("faults")
    demo_fleet.wait_until_said("lag       well    a consumer stops reading")
    demo_fleet.do("break everything")
    demo_fleet.wait_until_said("there is no fault 'everything': there are agent, lag,")


@pytest.mark.parametrize("terminal", ["none", "ended"])
def test_interrupted_while_servers_join_it_leaves_nothing_behind(terminal: str) -> None:
    with required():
        for server in (nats, valkey, prometheus):
            server.prepare()
    ended, end = os.pipe()
    os.close(end)
    with running_demo(stdin=subprocess.DEVNULL if terminal == "none" else ended, ended_by=signal.SIGINT) as demo:
        os.close(ended)
        demo.wait_until_said("The first page is there")


def test_it_refuses_a_fault_that_there_is_not() -> None:
    command = [sys.executable, "-m", "demo", "--break", "lag,nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "there is no fault 'nothing': there are agent, lag, pod," in done.stderr


def test_faults_begin_and_end_by_name() -> None:
    faults = Faults(joined=set(Backend))

    assert faults.obey("break lag vllm") == (
        "Broken: a consumer stops reading, and 150 messages come for it\n"
        "Broken: every request to vLLM takes ten seconds longer"
    )
    assert faults.obey("break lag") == "lag is broken already"
    assert faults.broken == {Fault.LAG, Fault.VLLM}
    assert faults.obey("mend lag").startswith("Mended, no longer so: a consumer stops")
    assert Fault.LAG not in faults
    assert faults.obey("mend pod nonsense").startswith("there is no fault 'nonsense'")
    assert faults.obey("help").startswith("'help' is nothing that can be done here")
    assert faults.obey("break").startswith("'break' is nothing that can be done here")
    assert faults.obey("  ") == ""
    assert len(faults.obey("faults").splitlines()) == len(Fault)


def test_what_has_not_joined_yet_is_broken_when_it_does() -> None:
    faults = Faults(set(USUAL), joined={Backend.NATS})

    assert faults.obey("break rayjob") == (
        "rayjob will be broken when the Kubernetes API server has joined, which it has not yet"
    )
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


def test_hurried_rules_keep_their_meaning_and_lose_their_time() -> None:
    recorded, failing, silent = yaml.safe_load(hurried(RULES))["groups"][0]["rules"]

    assert recorded["expr"] == "rate(errors_total[10000ms]) / (rate(all_total[120000ms] offset 2880000ms) > 300)"
    assert failing["expr"] == "max_over_time(fleet:errors:rate5m[720000ms:10000ms]) > 0.1 and time() - last < 900"
    assert (failing["for"], failing["keep_firing_for"]) == ("10000ms", "10000ms")
    assert failing["annotations"] == {"summary": "Failing for [5m]"}
    assert silent["for"] == "0ms"


def test_the_hurried_rules_are_rules_that_prometheus_takes(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(hurried((ROOT / "deploy/helm/files/alerts.yaml").read_text()))
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
def test_the_receiver_takes_and_refuses_as_slack_does(path: str, body: str, kind: str, answer: tuple[int, str]) -> None:
    with receiver.start() as slack:
        reply = httpx.post(f"{slack.url}{path}", content=body, headers={"content-type": kind}, trust_env=False)
        kept = httpx.get(f"{slack.url}/messages", trust_env=False).json()["messages"]

    assert (reply.status_code, reply.text) == answer
    assert len(kept) == (answer[0] == 200)


def test_the_page_obeys_slacks_mark_up_and_no_other() -> None:
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


def test_a_grafana_on_the_path_is_started_with_what_it_is_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Grafana can be had from a registry; a program in its place shows that it is found, told and waited for."""
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


def test_grafana_is_given_the_uids_that_the_dashboards_ask_for() -> None:
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
def test_what_is_broken_from_the_beginning_elsewhere_can_be_broken_and_mended(
    demo_fleet: RunningDemo, fault: Fault, query: str
) -> None:
    def well() -> list[str]:
        answer = httpx.get(f"{demo_fleet.prometheus}/api/v1/query", params={"query": query}, trust_env=False).json()
        return [series["value"][1] for series in answer["data"]["result"]]

    demo_fleet.do(f"break {fault}")
    try:
        wait_for(lambda: well() == ["0"], what=f"{fault} to be broken")
    finally:
        demo_fleet.do(f"mend {fault}")
    wait_for(lambda: well() == ["1"], what=f"{fault} to be well")
