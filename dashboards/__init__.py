"""Grafana dashboards as code: one module for each, written to `deploy/helm/files/dashboards` by `make generate`."""
