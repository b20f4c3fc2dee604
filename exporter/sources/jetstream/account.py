"""$JS.API.INFO → samples: the server, and the account's usage, limits and API requests. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from exporter.clients.jetstream import AccountLimits
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, info
from exporter.sources.jetstream.snapshot import AccountReading

SERVER = info("nats_server_info", "The server the exporter is connected to (INFO).", "server", "version")
RTT = gauge("nats_rtt_seconds", "Round-trip time of $JS.API.INFO.", unit=Unit.SECONDS)
MEMORY = gauge("nats_account_memory_bytes", "Memory storage used by the account (memory).", unit=Unit.BYTES)
STORAGE = gauge("nats_account_storage_bytes", "File storage used by the account (storage).", unit=Unit.BYTES)
RESERVED_MEMORY = gauge(
    "nats_account_reserved_memory_bytes", "Memory reserved by streams with max_bytes (reserved_memory).", unit=Unit.BYTES
)
RESERVED_STORAGE = gauge(
    "nats_account_reserved_storage_bytes", "File storage reserved by streams with max_bytes (reserved_storage).",
    unit=Unit.BYTES,
)  # fmt: skip
STREAMS = gauge("nats_account_streams", "Streams of the account (streams).")
CONSUMERS = gauge(
    "nats_account_consumers",
    "Consumers of the account, including the internal consumers of mirrors and sources (consumers).",
)
MEMORY_LIMIT = gauge(
    "nats_account_limit_memory_bytes", "Max memory storage, absent if unlimited (max_memory).", unit=Unit.BYTES
)
STORAGE_LIMIT = gauge(
    "nats_account_limit_storage_bytes", "Max file storage, absent if unlimited (max_storage).", unit=Unit.BYTES
)
STREAM_LIMIT = gauge("nats_account_limit_streams", "Max streams, absent if unlimited (max_streams).")
CONSUMER_LIMIT = gauge("nats_account_limit_consumers", "Max consumers, absent if unlimited (max_consumers).")
API_REQUESTS = counter(
    "nats_account_api_requests_total", "JetStream API requests of the account since the exporter started (api.total)."
)
API_ERRORS = counter(
    "nats_account_api_errors_total",
    "JetStream API requests of the account that failed since the exporter started (api.errors).",
)

TIER_MEMORY = gauge(
    "nats_account_tier_memory_bytes", "Memory storage used by the streams of a tier (tiers.memory).", "tier",
    unit=Unit.BYTES,
)  # fmt: skip
TIER_STORAGE = gauge(
    "nats_account_tier_storage_bytes", "File storage used by the streams of a tier (tiers.storage).", "tier",
    unit=Unit.BYTES,
)  # fmt: skip
TIER_RESERVED_MEMORY = gauge(
    "nats_account_tier_reserved_memory_bytes", "Memory reserved in a tier (tiers.reserved_memory).", "tier",
    unit=Unit.BYTES,
)  # fmt: skip
TIER_RESERVED_STORAGE = gauge(
    "nats_account_tier_reserved_storage_bytes", "File storage reserved in a tier (tiers.reserved_storage).", "tier",
    unit=Unit.BYTES,
)  # fmt: skip
TIER_STREAMS = gauge("nats_account_tier_streams", "Streams of a tier (tiers.streams).", "tier")
TIER_CONSUMERS = gauge("nats_account_tier_consumers", "Consumers of a tier (tiers.consumers).", "tier")
TIER_MEMORY_LIMIT = gauge(
    "nats_account_tier_limit_memory_bytes", "Max memory storage of a tier, absent if unlimited (tiers.limits.max_memory).",
    "tier", unit=Unit.BYTES,
)  # fmt: skip
TIER_STORAGE_LIMIT = gauge(
    "nats_account_tier_limit_storage_bytes", "Max file storage of a tier, absent if unlimited (tiers.limits.max_storage).",
    "tier", unit=Unit.BYTES,
)  # fmt: skip
TIER_STREAM_LIMIT = gauge(
    "nats_account_tier_limit_streams", "Max streams of a tier, absent if unlimited (tiers.limits.max_streams).", "tier"
)
TIER_CONSUMER_LIMIT = gauge(
    "nats_account_tier_limit_consumers", "Max consumers of a tier, absent if unlimited (tiers.limits.max_consumers).",
    "tier",
)  # fmt: skip

METRICS: Final[tuple[Metric, ...]] = (
    SERVER, RTT, MEMORY, STORAGE, RESERVED_MEMORY, RESERVED_STORAGE, STREAMS, CONSUMERS, MEMORY_LIMIT, STORAGE_LIMIT,
    STREAM_LIMIT, CONSUMER_LIMIT, API_REQUESTS, API_ERRORS, TIER_MEMORY, TIER_STORAGE,
    TIER_RESERVED_MEMORY, TIER_RESERVED_STORAGE, TIER_STREAMS, TIER_CONSUMERS, TIER_MEMORY_LIMIT, TIER_STORAGE_LIMIT,
    TIER_STREAM_LIMIT, TIER_CONSUMER_LIMIT,
)  # fmt: skip

_LIMITS: Final = (MEMORY_LIMIT, STORAGE_LIMIT, STREAM_LIMIT, CONSUMER_LIMIT)
_TIER_LIMITS: Final = (TIER_MEMORY_LIMIT, TIER_STORAGE_LIMIT, TIER_STREAM_LIMIT, TIER_CONSUMER_LIMIT)


def account_samples(reading: AccountReading) -> Iterable[Sample]:
    """The account's usage and limits; a limit of -1 or 0 means unlimited."""
    account = reading.account
    yield SERVER(1, server=reading.server, version=reading.version)
    yield RTT(reading.rtt)
    yield MEMORY(account.memory)
    yield STORAGE(account.storage)
    yield RESERVED_MEMORY(account.reserved_memory)
    yield RESERVED_STORAGE(account.reserved_storage)
    yield STREAMS(account.streams)
    yield CONSUMERS(account.consumers)
    yield from _limits(account.limits, _LIMITS)
    yield API_REQUESTS(reading.requests)
    yield API_ERRORS(reading.errors)
    for name, tier in (account.tiers or {}).items():
        yield TIER_MEMORY(tier.memory, tier=name)
        yield TIER_STORAGE(tier.storage, tier=name)
        yield TIER_RESERVED_MEMORY(tier.reserved_memory, tier=name)
        yield TIER_RESERVED_STORAGE(tier.reserved_storage, tier=name)
        yield TIER_STREAMS(tier.streams, tier=name)
        yield TIER_CONSUMERS(tier.consumers, tier=name)
        yield from _limits(tier.limits, _TIER_LIMITS, tier=name)


def _limits(limits: AccountLimits, metrics: tuple[Metric, ...], **labels: str) -> Iterable[Sample]:
    values = (limits.max_memory, limits.max_storage, limits.max_streams, limits.max_consumers)
    for metric, value in zip(metrics, values, strict=True):
        if value > 0:
            yield metric(value, **labels)
