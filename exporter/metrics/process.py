"""Metrics about the exporter: build, shard and process."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import ProcessCollector

from exporter import __version__
from exporter.config.log import dropped_lines
from exporter.config.sharding import Shard
from exporter.metrics.metric import Metric, Sample, Unit, counter, gauge, info

BUILD = info("fleet_exporter_build_info", "Version of the exporter and of Python.", "version", "python_version")
SHARD = gauge("fleet_exporter_shard", "Index of this shard, from 0 (--shard).")
SHARDS = gauge("fleet_exporter_shards", "Number of shards (--shard).")
LOG_DROPPED = counter(
    "fleet_exporter_log_dropped_lines_total", "Log lines dropped because standard error did not accept them in time."
)
_CPU = counter("process_cpu_seconds_total", "CPU time of this process, user and system.", unit=Unit.SECONDS)
_PROCESS: Final = (
    _CPU,
    gauge("process_resident_memory_bytes", "Resident memory of this process.", unit=Unit.BYTES),
    gauge("process_virtual_memory_bytes", "Virtual memory of this process.", unit=Unit.BYTES),
    gauge("process_start_time_seconds", "Start time of this process, in seconds since 1970.", unit=Unit.SECONDS),
    gauge("process_open_fds", "Open file descriptors of this process."),
    gauge("process_max_fds", "Max open file descriptors."),
)
METRICS: Final[tuple[Metric, ...]] = (BUILD, SHARD, SHARDS, LOG_DROPPED, *_PROCESS)

_SHARED_SECONDS = 0.2
"""Concurrent scrapes share the values: counting thousands of open connections takes longer than the rest of a page."""
_YOUNG_OBJECTS = 100_000


def tune_garbage_collection() -> None:
    """Run the garbage collector less often: a large page creates hundreds of thousands of tuples."""
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


_collector = ProcessCollector(registry=None)
_values: dict[str, float] = {}
_read_at = float("-inf")


def _process_values() -> dict[str, float]:
    """Values by metric name, at most _SHARED_SECONDS old."""
    global _values, _read_at
    if time.monotonic() - _read_at >= _SHARED_SECONDS:
        _values = {sample.name: sample.value for family in _collector.collect() for sample in family.samples}
        _read_at = time.monotonic()
    return _values


def samples(shard: Shard) -> Iterable[Sample]:
    """Read /proc; on systems without it, only build and shard are returned."""
    yield BUILD(1, version=__version__, python_version=platform.python_version())
    yield SHARD(shard.number)
    yield SHARDS(shard.count)
    yield LOG_DROPPED(dropped_lines())
    values = _process_values()
    for metric in _PROCESS:
        if metric.name in values:
            yield metric(values[metric.name])
