"""One Prometheus exporter for a fleet of LLM agents on Kubernetes: NATS, Ray, vLLM, Neo4j, ValKey and the fleet's events."""

__version__ = "0.1.0"
