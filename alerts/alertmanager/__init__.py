"""Alertmanager's configuration as code: who is told of which alert, when, and in which words."""
