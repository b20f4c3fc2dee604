"""Options of a site: channels, folders of secrets and templates, intervals, working hours and e-mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

NAME: Final = "fleet-alerts"
"""Name of the Secret, the AlertmanagerConfig, and the mount folder of the Secret."""
TEMPLATES: Final = ("slack.tmpl", "email.tmpl")

_CHANNEL = re.compile(r"[#@]\S+|[CGD][A-Z0-9]{8,}")
_HOURS = re.compile(r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d) (?P<days>[a-z]+(?::[a-z]+)?) (?P<zone>\w+(?:/[\w+-]+)*)")


class OptionError(ValueError):
    """One sentence: which option is invalid, and what is expected."""


class Secret(StrEnum):
    """File name in the folder of secrets, and key in the Kubernetes Secret.

    Each Slack channel needs one, because an incoming webhook of a Slack app posts to one channel.
    """

    CRITICAL = "slack-critical-url"
    WARNING = "slack-warnings-url"
    HEARTBEAT = "heartbeat-url"
    EMAIL = "email-password"


class Route(StrEnum):
    """Routes with separate intervals."""

    CRITICAL = "critical"
    WARNING = "warning"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True)
class Pace:
    """group_wait, group_interval and repeat_interval of a route, as Prometheus durations."""

    wait: str
    interval: str
    repeat: str

    @property
    def document(self) -> dict[str, str]:
        """The fields of an Alertmanager route."""
        return {"group_wait": self.wait, "group_interval": self.interval, "repeat_interval": self.repeat}


PACES: Final[Mapping[Route, Pace]] = {
    Route.CRITICAL: Pace("10s", "1m", "2h"),
    Route.WARNING: Pace("30s", "5m", "12h"),
    Route.HEARTBEAT: Pace("0s", "1m", "5m"),
}


@dataclass(frozen=True)
class Email:
    """E-mail in addition to Slack for critical and warning alerts; the password is a secret file."""

    to: str
    sender: str
    smarthost: str
    """host:port"""


@dataclass(frozen=True)
class WorkingHours:
    """When warnings are sent; outside these hours they wait, and are sent at the next start if still firing."""

    start: str
    end: str
    days: str
    zone: str

    @classmethod
    def parse(cls, text: str) -> WorkingHours:
        """Parse text such as `09:00-18:00 monday:friday Europe/Madrid`. Raises OptionError."""
        found = _HOURS.fullmatch(text)
        if found is None:
            raise OptionError(f"{text!r} are no working hours: write such as 09:00-18:00 monday:friday Europe/Madrid")
        return cls(**found.groupdict())


@dataclass(frozen=True, kw_only=True)
class SiteOptions:
    """All options of a site; `same_fleet` are the labels that distinguish its fleets."""

    critical_channel: str = "#fleet-critical"
    warning_channel: str = "#fleet-warnings"
    secrets: str = f"/etc/alertmanager/secrets/{NAME}"
    templates: str = f"/etc/alertmanager/configmaps/{NAME}"
    preview: bool = False
    """Send `message_text`, the text of phone notifications (Alertmanager 0.31 or later)."""
    heartbeat: bool = True
    working_hours: WorkingHours | None = None
    email: Email | None = None
    same_fleet: tuple[str, ...] = ("cluster",)
    paces: Mapping[Route, Pace] = field(default_factory=lambda: PACES)

    def __post_init__(self) -> None:
        for channel in (self.critical_channel, self.warning_channel):
            if not _CHANNEL.fullmatch(channel):
                raise OptionError(f"{channel!r} is no Slack channel: write #name, or the channel's id")

    def secret(self, secret: Secret) -> str:
        """Path of the secret's file."""
        return f"{self.secrets}/{secret}"
