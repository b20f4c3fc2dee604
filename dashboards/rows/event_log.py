"""Events from Loki, one line each: type, outcome, publisher, story, task, agent."""

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
"""Format of a line: labels and structured metadata first, then the start of the event."""


def events(selector: str, *stages: str, containing: str = "") -> Logs:
    """Lines of the streams that `selector` selects, after further LogQL stages.

    `containing` is a case-insensitive regular expression, or a variable with one, that matches anywhere in the line.

    """
    text = " | ".join((f"{{{selector}}}", *stages, f"line_format `{_LINE}`"))
    return Logs(f"{text} |~ `(?i){containing}`" if containing else text)
