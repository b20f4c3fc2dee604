"""Events as Loki has them from the journal: one line each of what happened, who said so, and what about."""

from __future__ import annotations

from typing import Final

from dashboards.grafana.queries import Logs

_LINE: Final = (
    "{{if .type}}{{.type}}{{else}}{{.subject}} ({{.reason}}){{end}}"
    '{{if ne .outcome "none"}} [{{.outcome}}]{{end}}'
    "{{if .producer}}  from {{.producer}}{{end}}"
    "{{if .story}}  story {{.story}}{{end}}"
    "{{if .task}}  task {{.task}}{{end}}"
    "{{if .agent}}  {{.agent}}{{end}}"
    "  {{trunc 400 __line__}}"
)
"""What a line of the journal is made into: its labels and metadata first, then as much of the event as fits."""


def events(selector: str, *stages: str, containing: str = "") -> Logs:
    """Lines of the streams that `selector` leaves, through further LogQL stages; the text may be anywhere in a line.

    `containing` is a regular expression without regard to case, or a variable that holds one.
    """
    text = " | ".join((f"{{{selector}}}", *stages, f"line_format `{_LINE}`"))
    return Logs(f"{text} |~ `(?i){containing}`" if containing else text)
