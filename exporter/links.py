"""Where links lead when nobody says otherwise; generated rules and messages hold these, and are given others by name."""

from __future__ import annotations

from typing import Final

GRAFANA_URL: Final = "http://localhost:3000"
"""Grafana, before `/d/<uid>`."""

RUNBOOK_URL: Final = "https://github.com/fleet-exporter/fleet-exporter/blob/main/docs/runbooks"
"""The folder of the runbooks, before `/<AlertName>.md`."""
