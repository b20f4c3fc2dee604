"""Row about exporter processes: version, uptime and resource usage."""

from __future__ import annotations

from typing import Final

from alerts.dashboard_uid import DashboardUid
from dashboards.grafana.fields import WARN, FieldOverride, Link, Threshold
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, PrometheusTarget, of_exporters, selector
from exporter.metrics import process
from exporter.metrics.promql import Series

_PROCESS = {metric.name.removeprefix("process_"): metric for metric in process.METRICS}


def _process(name: str) -> Series:
    return selector(_PROCESS[name])


_started = of_exporters(_process("start_time_seconds"))

PROCESS: Final = Row(
    "Process",
    [
        table(
            "Exporters",
            "Version, shard, uptime and open files of each exporter (fleet_exporter_build_info, fleet_exporter_shard, "
            "process_*).",
            ["job", "instance"],
            [
                (
                    FieldOverride("build", hidden=True),
                    PrometheusTarget(selector(process.BUILD).max("job", "instance", "version", "python_version")),
                ),
                (FieldOverride("shard", decimals=0), PrometheusTarget(selector(process.SHARD).max("job", "instance"))),
                (FieldOverride("shards", decimals=0), PrometheusTarget(selector(process.SHARDS).max("job", "instance"))),
                (
                    FieldOverride("uptime", unit="s"),
                    PrometheusTarget(of_exporters(_process("start_time_seconds")).age().max("job", "instance")),
                ),
                (
                    FieldOverride("open files", unit="percentunit", limits=[Threshold(0.8, WARN)], bar=True),
                    PrometheusTarget(of_exporters(_process("open_fds") / _process("max_fds")).max("job", "instance")),
                ),
            ],
            labels={"version": "version", "python_version": "Python"},
            key_columns=[FieldOverride("instance", links=[Link("Overview", DashboardUid.OVERVIEW)])],
            sort="uptime",
            descending=False,
            width=24,
            height=6,
        ),
        graph(
            "CPU",
            "CPU usage of the process (process_cpu_seconds_total); 1 is one core.",
            PrometheusTarget(of_exporters(_process("cpu_seconds_total").rate(RATE)).sum("instance"), "{{instance}}"),
            unit="percentunit",
            width=12,
            height=10,
        ),
        graph(
            "Memory",
            "Resident memory of the process (process_resident_memory_bytes).",
            PrometheusTarget(of_exporters(_process("resident_memory_bytes")).max("instance"), "{{instance}}"),
            unit="bytes",
            width=12,
            height=10,
        ),
    ],
)
