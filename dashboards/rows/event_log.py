"""Events from Loki, one line each: type, outcome, publisher, story, task, agent."""

from __future__ import annotations

from typing import Final

from dashboards.grafana.queries import LokiTarget

_LINE: Final = (
    "{{if .type}}{{.type}}{{else}}{{.subject}} ({{.reason}}){{end}}"
    '{{if ne .outcome "none"}} [{{.outcome}}]{{end}}'
    "{{if .producer}}  from {{.producer}}{{end}}"
    "{{if .story}}  story {{.story}}{{end}}"
    "{{if .task}}  task {{.task}}{{end}}"
    "{{if .agent}}  {{.agent}}{{end}}"
    "  {{trunc 400 .payload}}"
)
"""Format of a line: labels and structured metadata first, then the start of the event."""


def events(selector: str, *stages: str, containing: str = "") -> LokiTarget:
    """Lines of the streams that `selector` selects, after further LogQL stages.

    `containing` names a variable whose text, ignoring case, is anywhere in the event. The whole event stays in the field
    `payload` of a line, which shows its start.

    """
    # The filter reads the whole line, before it is formatted and cut.
    found = f" |~ `(?i)${{{containing}:regex}}`" if containing else ""
    whole = "label_format payload=`{{__line__}}`"
    return LokiTarget(" | ".join((f"{{{selector}}}{found}", *stages, whole, f"line_format `{_LINE}`")))
