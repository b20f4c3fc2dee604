"""Row about exporter processes: version, uptime and resource usage."""

from __future__ import annotations

from typing import Final

from alerts.view import View
from dashboards.grafana.fields import WARN, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import graph, table
from dashboards.grafana.queries import RATE, Line, of_exporters, shown
from exporter.metrics import process
from exporter.metrics.promql import Series

_PROCESS = {metric.name.removeprefix("process_"): metric for metric in process.METRICS}


def _process(name: str) -> Series:
    return shown(_PROCESS[name])


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
                    Column("build", hidden=True),
                    Line(shown(process.BUILD).max("job", "instance", "version", "python_version")),
                ),
                (Column("shard", decimals=0), Line(shown(process.SHARD).max("job", "instance"))),
                (Column("shards", decimals=0), Line(shown(process.SHARDS).max("job", "instance"))),
                (
                    Column("uptime", unit="s"),
                    Line(of_exporters(_process("start_time_seconds")).age().max("job", "instance")),
                ),
                (
                    Column("open files", unit="percentunit", limits=[Limit(0.8, WARN)], bar=True),
                    Line(of_exporters(_process("open_fds") / _process("max_fds")).max("job", "instance")),
                ),
            ],
            labels={"version": "version", "python_version": "Python"},
            key_columns=[Column("instance", links=[Link("Overview", View.OVERVIEW)])],
            width=24,
            height=6,
        ),
        graph(
            "CPU",
            "CPU usage of the process (process_cpu_seconds_total); 1 is one core.",
            Line(of_exporters(_process("cpu_seconds_total").rate(RATE)).sum("instance"), "{{instance}}"),
            unit="percentunit",
            width=12,
            height=10,
        ),
        graph(
            "Memory",
            "Resident memory of the process (process_resident_memory_bytes).",
            Line(of_exporters(_process("resident_memory_bytes")).max("instance"), "{{instance}}"),
            unit="bytes",
            width=12,
            height=10,
        ),
    ],
)
