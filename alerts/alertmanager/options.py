"""What a site may choose: channels, where its secrets and templates lie, paces, hours and e-mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

NAME: Final = "fleet-alerts"
"""Of the Secret, of the AlertmanagerConfig, and of the folder that Kubernetes mounts the Secret in."""
TEMPLATES: Final = ("slack.tmpl", "email.tmpl")

_CHANNEL = re.compile(r"[#@]\S+|[CGD][A-Z0-9]{8,}")
_HOURS = re.compile(r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d) (?P<days>[a-z]+(?::[a-z]+)?) (?P<zone>\w+(?:/[\w+-]+)*)")


class OptionError(ValueError):
    """One sentence: which option is wrong, and what would be right."""


class Secret(StrEnum):
    """A secret's file in the folder of secrets, and its key in the Kubernetes Secret.

    Each Slack channel has its own: an incoming webhook of a Slack app posts to the one channel it was made for.
    """

    CRITICAL = "slack-critical-url"
    WARNING = "slack-warnings-url"
    HEARTBEAT = "heartbeat-url"
    EMAIL = "email-password"


class Told(StrEnum):
    """The ways on which alerts go out, each at its own pace."""

    CRITICAL = "critical"
    WARNING = "warning"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True)
class Pace:
    """Prometheus durations: before a group's first message, between changes of it, until an unchanged one is repeated."""

    wait: str
    interval: str
    repeat: str

    @property
    def document(self) -> dict[str, str]:
        """As a route has it."""
        return {"group_wait": self.wait, "group_interval": self.interval, "repeat_interval": self.repeat}


PACES: Final[Mapping[Told, Pace]] = {
    Told.CRITICAL: Pace("10s", "1m", "2h"),
    Told.WARNING: Pace("30s", "5m", "12h"),
    Told.HEARTBEAT: Pace("0s", "1m", "5m"),
}


@dataclass(frozen=True)
class Email:
    """Where every critical and warning alert goes besides Slack; the password is a secret's file."""

    to: str
    sender: str
    smarthost: str
    """host:port"""


@dataclass(frozen=True)
class WorkingHours:
    """When warnings are told; those of other hours are told when the next ones begin, if they still last."""

    start: str
    end: str
    days: str
    zone: str

    @classmethod
    def parse(cls, text: str) -> WorkingHours:
        """From such as `09:00-18:00 monday:friday Europe/Madrid`. Raises OptionError."""
        found = _HOURS.fullmatch(text)
        if found is None:
            raise OptionError(f"{text!r} are no working hours: write such as 09:00-18:00 monday:friday Europe/Madrid")
        return cls(**found.groupdict())


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that differs between sites; `same_fleet` are the labels by which a site tells its fleets apart."""

    critical_channel: str = "#fleet-critical"
    warning_channel: str = "#fleet-warnings"
    secrets: str = f"/etc/alertmanager/secrets/{NAME}"
    templates: str = f"/etc/alertmanager/configmaps/{NAME}"
    preview: bool = False
    """Sends `message_text`, the line that a phone shows; Alertmanager 0.31 and newer know it."""
    heartbeat: bool = True
    working_hours: WorkingHours | None = None
    email: Email | None = None
    same_fleet: tuple[str, ...] = ("cluster",)
    paces: Mapping[Told, Pace] = field(default_factory=lambda: PACES)

    def __post_init__(self) -> None:
        for channel in (self.critical_channel, self.warning_channel):
            if not _CHANNEL.fullmatch(channel):
                raise OptionError(f"{channel!r} is no Slack channel: write #name, or the channel's id")

    def secret(self, secret: Secret) -> str:
        """The file that holds it."""
        return f"{self.secrets}/{secret}"
