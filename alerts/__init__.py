"""Alerts and recording rules as code: what Prometheus is told, and what a person is told then."""
