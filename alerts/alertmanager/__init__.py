"""Alertmanager configuration as code: routes, receivers, inhibition and message templates."""
