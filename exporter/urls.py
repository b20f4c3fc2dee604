"""Where links lead when nobody says otherwise; what is generated holds these, and is given others by name."""

from __future__ import annotations

from typing import Final

GRAFANA_URL: Final = "http://localhost:3000"
"""Grafana, before `/d/<uid>`."""

RUNBOOK_URL: Final = "https://github.com/fleet-exporter/fleet-exporter/blob/main/docs/runbooks"
"""The folder of the runbooks, before `/<AlertName>.md`."""

EXPORTER_URL: Final = "http://localhost:9847"
"""The exporter's pages and API as a browser reaches them; dashboards hold it as the value of a text box."""
