"""Receivers: Slack by severity, optional e-mail, a heartbeat, and one that drops alerts. Secrets are files."""

from __future__ import annotations

from typing import Any, Final

from alerts.alertmanager.options import Secret, SiteOptions
from alerts.alertmanager.routes import CRITICAL, HEARTBEAT, NULL_RECEIVER, WARNING


def _template(name: str) -> str:
    return f'{{{{ template "{name}" . }}}}'


FIELDS: Final = ("cluster", "namespace", "when")
BUTTONS: Final = ("runbook", "dashboard", "silence")


def slack(options: SiteOptions, channel: str, secret: Secret) -> dict[str, Any]:
    """Settings of a Slack receiver; all texts are templates in slack.tmpl."""
    message = {
        "api_url_file": options.secret(secret),
        "channel": channel,
        "send_resolved": True,
        "username": "fleet-exporter",
        "icon_emoji": ":satellite:",
        "color": _template("fleet.slack.color"),
        "title": _template("fleet.slack.title"),
        "title_link": _template("fleet.slack.alerts.url"),
        "text": _template("fleet.slack.text"),
        "fallback": _template("fleet.slack.preview"),
        "fields": [
            {"title": _template(f"fleet.slack.{name}.title"), "value": _template(f"fleet.slack.{name}"), "short": True}
            for name in FIELDS
        ],
        "actions": [
            {"type": "button", "text": name.capitalize(), "url": _template(f"fleet.slack.{name}.url")} for name in BUTTONS
        ],
        "footer": "fleet-exporter",
        "mrkdwn_in": ["text"],
        "link_names": False,  # otherwise `@channel` in an agent's text would notify the channel
    }
    if options.preview:  # Slack shows `message_text` first, so the attachment needs no title or summary
        message["message_text"] = _template("fleet.slack.preview")
        message |= {"title": "", "title_link": "", "text": _template("fleet.slack.details")}
    return message


def email(options: SiteOptions) -> list[dict[str, Any]]:
    """E-mail settings, if configured."""
    if options.email is None:
        return []
    return [
        {
            "to": options.email.to,
            "from": options.email.sender,
            "smarthost": options.email.smarthost,
            "auth_username": options.email.sender,
            "auth_password_file": options.secret(Secret.EMAIL),
            "send_resolved": True,
            "headers": {"Subject": _template("fleet.title")},
            "html": _template("fleet.email.html"),
            "text": _template("fleet.email.text"),
        }
    ]


def receivers(options: SiteOptions) -> list[dict[str, Any]]:
    """All receivers that the routes use."""
    channels = (
        (CRITICAL, options.critical_channel, Secret.CRITICAL),
        (WARNING, options.warning_channel, Secret.WARNING),
    )
    configured: list[dict[str, Any]] = []
    for name, channel, secret in channels:
        receiver: dict[str, Any] = {"name": name, "slack_configs": [slack(options, channel, secret)]}
        if mails := email(options):
            receiver["email_configs"] = mails
        configured.append(receiver)
    if options.heartbeat:
        beat = {"url_file": options.secret(Secret.HEARTBEAT), "send_resolved": False, "max_alerts": 1}
        configured.append({"name": HEARTBEAT, "webhook_configs": [beat]})
    return [*configured, {"name": NULL_RECEIVER}]
