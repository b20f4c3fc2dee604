"""Alerting and recording rules, and the Alertmanager configuration, as code."""
