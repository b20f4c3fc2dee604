"""One Prometheus exporter for a fleet of LLM agents on Kubernetes: NATS, Ray, vLLM, Neo4j, ValKey and the fleet's events."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fleet-exporter")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
