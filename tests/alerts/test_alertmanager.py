"""Alertmanager's configuration, checked by amtool: files, options, routes, and the AlertmanagerConfig resource."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alerts.alertmanager.configuration import as_yaml, configuration
from alerts.alertmanager.options import Email, OptionError, Route, SiteOptions, WorkingHours
from alerts.alertmanager.resource import resource
from alerts.rule import PRODUCT, Severity
from alerts.rules import RULES
from tests.alerts.alertmanager import TEMPLATES, Labels, as_template, data, lagging, run

FILES = Path(__file__).parents[2] / "deploy/helm/files"
HOURS = WorkingHours.parse("09:00-18:00 monday:friday Europe/Madrid")
EMAIL = Email("fleet@example.com", "alerts@example.com", "mail.example.com:587")
OURS = {"product": PRODUCT}


@pytest.mark.parametrize(
    ("file", "arguments"),
    [("alertmanager.yaml", []), ("slack.tmpl", ["--template"]), ("alertmanagerconfig.yaml", ["--resource"])],
)
def test_the_committed_file_is_up_to_date(file: str, arguments: list[str]) -> None:
    assert (FILES / file).read_text() == run(sys.executable, "-m", "alerts.alertmanager", *arguments)


@pytest.mark.parametrize(
    "options",
    [
        SiteOptions(),
        SiteOptions(preview=True, heartbeat=False, same_fleet=("cluster", "namespace")),
        SiteOptions(working_hours=HOURS, email=EMAIL, critical_channel="C0123456789"),
    ],
)
def test_amtool_accepts_the_file(amtool: Path, tmp_path: Path, options: SiteOptions) -> None:
    document = configuration(options)
    document["templates"] = [str(TEMPLATES / Path(name).name) for name in document["templates"]]
    file = tmp_path / "alertmanager.yaml"
    file.write_text(as_yaml(document))

    assert "SUCCESS" in run(amtool, "check-config", file)


def test_the_command_takes_every_option(amtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yaml"
    chosen = [
        "--critical-channel=#pager",
        "--warning-channel=#team",
        "--secrets=/s",
        f"--templates={TEMPLATES}",
        "--preview",
    ]
    chosen += ["--no-heartbeat", "--working-hours=08:00-20:00 monday:saturday UTC", "--same-fleet=cluster,fleet"]
    chosen += ["--email-to=a@example.com", "--email-from=b@example.com", "--smarthost=m:25"]
    file.write_text(run(sys.executable, "-m", "alerts.alertmanager", *chosen))
    written = yaml.safe_load(file.read_text())

    run(amtool, "check-config", file)
    assert [one["slack_configs"][0]["channel"] for one in written["receivers"][:2]] == ["#pager", "#team"]
    assert written["receivers"][0]["slack_configs"][0]["api_url_file"] == "/s/slack-critical-url"
    assert written["receivers"][0]["email_configs"][0]["auth_password_file"] == "/s/email-password"
    assert written["time_intervals"][0]["time_intervals"][0]["weekdays"] == ["monday:saturday"]
    assert written["inhibit_rules"][0]["equal"] == ["cluster", "fleet"]
    assert "fleet-heartbeat" not in [one["name"] for one in written["receivers"]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--critical-channel", "pager"], "'pager' is no Slack channel: write #name, or the channel's id"),
        (["--working-hours", "9-18"], "'9-18' are no working hours: write such as 09:00-18:00 monday:friday Europe/Madrid"),
        (["--email-to", "a@example.com"], "e-mail needs --email-to, --email-from and --smarthost together"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_in_a_sentence(arguments: list[str], reason: str) -> None:
    command = [sys.executable, "-m", "alerts.alertmanager", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.strip().splitlines()[-1].partition("error: ")[2]) == (2, reason)


def test_no_secret_is_in_the_configuration() -> None:
    written = as_yaml(configuration(SiteOptions(email=EMAIL)))

    assert not [line for line in written.splitlines() if "password" in line and "_file" not in line]
    assert "hooks.slack.com" not in written
    with pytest.raises(OptionError):
        SiteOptions(warning_channel="https://hooks.slack.com/services/T0/B0/secret")


@pytest.fixture(scope="module")
def route(amtool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("routes") / "alertmanager.yaml"
    file.write_text(as_yaml(configuration(SiteOptions(working_hours=HOURS))))
    return file


RECEIVERS = {
    Severity.CRITICAL: "fleet-slack-critical",
    Severity.WARNING: "fleet-slack-warnings",
    Severity.INFO: "fleet-null",
    Severity.NONE: "fleet-heartbeat",
}


def test_every_alert_goes_where_its_severity_says(amtool: Path, route: Path) -> None:
    """One alert of each severity and component, by its real labels."""
    tried = {(rule.severity, rule.component): rule for rule in RULES}
    for rule in tried.values():
        labels = [f"{name}={value}" for name, value in {"alertname": rule.name, **rule.document["labels"]}.items()]
        expected = f"--verify.receivers={RECEIVERS[rule.severity]}"
        run(amtool, "config", "routes", "test", f"--config.file={route}", expected, *labels)
    assert {severity for severity, _ in tried} == set(Severity)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (OURS | {"alertname": "Unlabelled"}, "fleet-slack-warnings"),
        (OURS | {"alertname": "New", "severity": "page"}, "fleet-slack-warnings"),
        ({"alertname": "KubePodCrashLooping", "severity": "critical"}, "fleet-slack-warnings"),
        ({"alertname": "Watchdog", "severity": "none"}, "fleet-slack-warnings"),  # another product's
    ],
)
def test_an_alert_without_a_route_is_sent_as_a_warning(amtool: Path, route: Path, labels: Labels, receiver: str) -> None:
    written = [f"{name}={value}" for name, value in labels.items()]

    run(amtool, "config", "routes", "test", f"--config.file={route}", f"--verify.receivers={receiver}", *written)


def test_only_warnings_wait_for_working_hours() -> None:
    (ours,) = configuration(SiteOptions(working_hours=HOURS))["route"]["routes"]
    held = {tuple(child["matchers"]): child.get("active_time_intervals") for child in ours["routes"]}

    assert held.pop(('severity="warning"',)) == ["fleet-working-hours"]
    assert set(held.values()) == {None}


def test_the_resource_includes_its_template_definitions(amtool: Path, tmp_path: Path) -> None:
    """Without a template file, each text equals the text of the configuration with its templates."""
    alone, document = tmp_path / "none", data(lagging(1), lagging(2, ended=True) | {"status": "resolved"})
    options = SiteOptions(email=EMAIL)
    named = configuration(options)["receivers"][0]
    whole = resource(options)["spec"]["receivers"][0]
    texts = [(named["slack_configs"][0][text], whole["slackConfigs"][0][text]) for text in ("title", "text", "color")]
    texts += [
        (before["url"], after["url"])
        for before, after in zip(named["slack_configs"][0]["actions"], whole["slackConfigs"][0]["actions"], strict=True)
    ]
    texts.append((named["email_configs"][0]["text"], whole["emailConfigs"][0]["text"]))
    for before, after in texts:
        said = as_template(amtool, tmp_path, before, document, glob=TEMPLATES / "*.tmpl")
        assert as_template(amtool, tmp_path, after, document, glob=alone).strip() == said.strip()


def test_the_resource_refers_to_secrets_and_equals_the_configuration() -> None:
    options = SiteOptions(working_hours=HOURS, email=EMAIL)
    spec = resource(options)["spec"]
    critical, warning, heartbeat, null_receiver = spec["receivers"]

    assert critical["slackConfigs"][0]["apiURL"] == {"name": "fleet-alerts", "key": "slack-critical-url"}
    assert warning["slackConfigs"][0]["apiURL"] == {"name": "fleet-alerts", "key": "slack-warnings-url"}
    assert critical["emailConfigs"][0]["authPassword"] == {"name": "fleet-alerts", "key": "email-password"}
    assert heartbeat["webhookConfigs"][0]["urlSecret"] == {"name": "fleet-alerts", "key": "heartbeat-url"}
    assert null_receiver == {"name": "fleet-null"}
    assert spec["route"]["matchers"] == [{"name": "product", "matchType": "=", "value": PRODUCT}]
    assert spec["route"]["routes"][1]["repeatInterval"] == options.paces[Route.CRITICAL].repeat
    assert spec["muteTimeIntervals"][0]["timeIntervals"][0]["times"] == [{"startTime": "09:00", "endTime": "18:00"}]
    assert len(spec["inhibitRules"]) == len(configuration(options)["inhibit_rules"])
