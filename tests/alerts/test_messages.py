"""Notification texts: golden messages of a running Alertmanager, and templates with hostile texts."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts.alertmanager.receivers import BUTTONS, FIELDS
from servers.process import wait_for
from tests.alerts.alertmanager import ENDED, FIRED, TEMPLATES, Receiving, alert, as_template, data, lagging, rendered

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, message: dict[str, Any], receiving: Receiving) -> None:
    """Compare with the golden file, without the parts that differ between runs."""
    text = json.dumps(message, indent=2, ensure_ascii=False).replace(receiving.url, "http://alertmanager") + "\n"

    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", text) == (GOLDEN / f"{name}.json").read_text()


def test_slack_is_sent_the_golden_messages(receiving: Receiving) -> None:
    """Messages for seven alerts, then one of them resolved, then all."""
    labels = {"cluster": "golden", "namespace": "fleet"}
    began = datetime.now(UTC)  # an older alert would not wait for the rest of its group
    fired = {"startsAt": began.isoformat()}
    ended = fired | {"endsAt": (began + timedelta(milliseconds=500)).isoformat()}
    group = [lagging(number, labels=labels) | fired for number in range(1, 8)]

    def latest(count: int) -> dict[str, Any]:
        def received() -> list[dict[str, Any]]:
            sent = receiving.sent("NatsConsumerLagging")
            return [one for one in sent if one["attachments"][0]["fields"][0]["value"] == "golden"]

        wait_for(lambda: len(received()) == count, what=f"message {count} of the group", deadline=20)
        return received()[-1]

    receiving.post(*group)
    golden("firing", latest(1), receiving)
    receiving.post(group[6] | ended)
    golden("mixed", latest(2), receiving)
    receiving.post(*(one | ended for one in group[:6]))
    golden("resolved", latest(3), receiving)


_SECTIONS = (
    "preview",
    "details",
    *(f"{name}{part}" for name in FIELDS for part in (".title", "")),
    *(f"{name}.url" for name in BUTTONS),
)
_MOST_LINES = 6
"""Lines between title and fields on one screen of a phone."""


def message(amtool: Path, folder: Path, *alerts: dict[str, Any]) -> str:
    """All texts of the Slack message for a group, each under the name of its template."""
    parts = [f'## {name}\n{{{{ template "fleet.slack.{name}" . }}}}' for name in _SECTIONS]
    return as_template(amtool, folder, "\n".join(parts) + "\n", data(*alerts), glob=TEMPLATES / "*.tmpl")


@pytest.mark.parametrize("count", [1, 3, 40, 400])
@pytest.mark.parametrize("ended", [False, True], ids=["firing", "resolved"])
def test_a_group_of_any_size_has_its_golden_message(amtool: Path, tmp_path: Path, count: int, ended: bool) -> None:
    status = {"status": "resolved" if ended else "firing"}
    text = message(amtool, tmp_path, *(lagging(number, ended=ended) | status for number in range(1, count + 1)))
    details = text.partition("## details\n")[2].partition("## ")[0].strip().splitlines()

    assert text == (GOLDEN / f"{status['status']}_{count}.txt").read_text()
    assert len(details) <= _MOST_LINES
    assert f"{status['status'].upper()}:{count}]" in text
    assert text.count("NATS consumer is lagging") == 1, "the summary is there once"


HOSTILE = {
    "calls everybody": "<!channel> <!here|here> <!everyone>",
    "calls somebody": "<@U012AB3CD> <@W1|boss> <#C1|general> <!subteam^S1>",
    "hides a link": "<https://evil.example/|the runbook>",
    "shows a link": "https://evil.example/login ftp://evil.example",
    "escapes before us": "&lt;!channel&gt; &amp;lt;",
    "breaks the line": "fine\n*Resolved*\r\n• all is well\u2028\u0085again",
    "turns the text": "abc\u202edcba\u2066x",
    "holds a template": '{{ template "fleet.title" . }} {{ .ExternalURL }}',
    "is long": "x" * 5000,
    "is long where it is escaped": "&" * 5000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_text_of_an_agent_mentions_no_one_and_has_no_links(amtool: Path, tmp_path: Path, what: str) -> None:
    text = HOSTILE[what]
    one = lagging(1, labels={"namespace": text})
    one["labels"]["consumer"] = text
    one["annotations"] |= {"summary": text, "description": f"{text} has 120 messages"}
    firing = data(one)
    ended = data(one | {"status": "resolved"})
    shown = {
        name: rendered(amtool, tmp_path, f"fleet.slack.{name}", document)
        for document in (firing, ended)
        for name in ("title", "text", "preview", *FIELDS)
    }

    for words in shown.values():
        plain = words.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "")
        assert not set("<>&") & set(plain)
        assert "://" not in words
        assert not set("\r\u2028\u0085\u202e\u2066") & set(words)
        assert len(words.replace("&amp;", "&")) < 1100
    assert shown["title"].count("\n") == 0
    assert rendered(amtool, tmp_path, "fleet.slack.text", firing).count("\n") == 2  # its own two lines
    assert "…" in shown["title"] if "long" in what else "…" not in shown["title"]


def test_the_color_and_sign_are_those_of_the_severity(amtool: Path, tmp_path: Path) -> None:
    looks = {}
    for severity in ("critical", "warning", "info", "unheard-of"):
        one = lagging(1)
        one["labels"]["severity"] = severity
        looks[severity] = [rendered(amtool, tmp_path, f"fleet.{part}", data(one)) for part in ("slack.color", "sign")]
    ended = data(lagging(1, ended=True) | {"status": "resolved"})

    assert looks == {
        "critical": ["danger", "🔴"],
        "warning": ["warning", "🟠"],
        "info": ["#439FE0", "🔵"],
        "unheard-of": ["warning", "🟠"],
    }
    assert [rendered(amtool, tmp_path, f"fleet.{part}", ended) for part in ("slack.color", "sign")] == ["good", "🟢"]


def test_a_service_that_is_up_again_is_named_and_the_one_that_was_scraped_is_not(amtool: Path, tmp_path: Path) -> None:
    times = {"annotations": {"summary": "s"}, "startsAt": FIRED, "endsAt": ENDED, "status": "resolved"}
    texts = {
        name: rendered(amtool, tmp_path, "fleet.slack.text", data(alert(name, service="planning", **labels) | times))
        for name, labels in {"ServiceDown": {}, "NatsConsumerLagging": {"consumer": "c"}}.items()
    }

    assert "service=planning" in texts["ServiceDown"]
    assert "consumer=c" in texts["NatsConsumerLagging"]
    assert "service" not in texts["NatsConsumerLagging"]


def test_buttons_of_other_alerts_lead_to_alertmanager(amtool: Path, tmp_path: Path) -> None:
    foreign = data({"labels": {"alertname": "Foreign"}, "annotations": {}, "startsAt": FIRED, "endsAt": ENDED})
    urls = [rendered(amtool, tmp_path, f"fleet.slack.{button}.url", foreign) for button in BUTTONS]

    assert all(url.startswith("https://alertmanager.example.com") for url in urls)
    assert rendered(amtool, tmp_path, "fleet.slack.title", foreign) == "[FIRING:1] 🟠 Foreign"


def test_the_dashboard_of_a_group_is_not_limited_to_one_of_its_objects(amtool: Path, tmp_path: Path) -> None:
    def button(*alerts: dict[str, Any]) -> httpx.QueryParams:
        url = rendered(amtool, tmp_path, "fleet.slack.dashboard.url", data(*alerts))
        assert re.fullmatch(r"https://grafana.example.com/d/fleet-communications(\?[^?&]+(&[^?&]+)*)?", url)
        return httpx.URL(url).params

    other = lagging(4)
    other["labels"]["stream"] = "AGENT_RESULTS"
    other["annotations"]["dashboard_url"] = other["annotations"]["dashboard_url"].replace("CONTEXT", "AGENT_RESULTS")

    assert dict(button(lagging(1))) == {"var-stream": "CONTEXT", "var-consumer": "archive-1"}
    assert dict(button(lagging(1), lagging(2))) == {"var-stream": "CONTEXT"}
    assert dict(button(lagging(1), lagging(2, ended=True) | {"status": "resolved"})) == {"var-stream": "CONTEXT"}
    assert dict(button(lagging(1), other)) == {}


def test_a_silence_has_the_common_labels(amtool: Path, tmp_path: Path) -> None:
    odd = {"namespace": 'a "b\\ c+'}
    url = rendered(
        amtool,
        tmp_path,
        "fleet.slack.silence.url",
        data(lagging(1, labels=odd), lagging(2, labels=odd)),
    )
    shown = httpx.URL(url.replace("#/", "")).params["filter"]

    assert "consumer" not in shown
    assert 'namespace="a \\"b\\\\ c+"' in shown
    assert "+" not in url


def test_e_mail_is_escaped_and_has_the_same_text(amtool: Path, tmp_path: Path) -> None:
    one = lagging(1, labels={"namespace": '<script>alert("x")</script>'})
    one["annotations"]["dashboard_url"] = "javascript:alert(1)"
    document = data(one, lagging(2, ended=True) | {"status": "resolved"})
    page = rendered(amtool, tmp_path, "fleet.email.html", document, kind="html")
    text = rendered(amtool, tmp_path, "fleet.email.text", document)

    assert "<script>" not in page
    assert "javascript:" not in page
    for words in ("FIRING:1", "archive-1 on CONTEXT has 101 undelivered messages", "2026-01-05 10:00:00 UTC", "after 5m 3s"):
        assert words in page
        assert words in text
    assert "\n" not in rendered(amtool, tmp_path, "fleet.title", data(one))
