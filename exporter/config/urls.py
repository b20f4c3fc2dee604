"""Default URLs in generated files, replaced by the user's on request."""

from __future__ import annotations

from typing import Final

GRAFANA_URL: Final = "http://localhost:3000"
"""Grafana, before `/d/<uid>`."""

RUNBOOK_URL: Final = "https://github.com/fleet-exporter/fleet-exporter/blob/main/docs/runbooks"
"""Folder of the runbooks, before `/<AlertName>.md`."""

EXPORTER_URL: Final = "http://localhost:9847"
"""The exporter's pages and API in a browser; dashboards have it as the value of a text box."""
