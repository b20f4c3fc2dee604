"""A real Prometheus with the production rules and an hour of history, while it, the exporter or NATS is restarted.

Nothing is scaled: an alert whose `for` is longer than the test would be pending at its end, and none is.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import httpx
import nats as client
import pytest
from nats.js.api import ConsumerConfig, StorageType, StreamConfig

from alerts.alertmanager.routes import WATCHDOG
from servers import nats, prometheus
from servers.process import free_port
from servers.valkey import RunningValkey
from tests.alerts.quiet import JOB, RULES
from tests.support.pages import eventually
from tests.support.process import exporter
from tests.support.servers import required

pytestmark = pytest.mark.slow

HISTORY, DOWN = 3600, 600
"""Seconds of history, and for how long Prometheus did not run after it."""
EVALUATIONS = 8


def config(port: int) -> str:
    return f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{RULES}"]
scrape_configs: [{{job_name: {JOB}, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


def backfilled(page: str, target: str, folder: Path) -> Path:
    """Blocks in which the target has had this page every 15 seconds, timestamps with the same age, until DOWN ago."""
    now = int(time.time())
    series = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    series.append(("up", " ", "1"))
    text = folder / "history.txt"
    with text.open("w") as file:
        for name, _, value in series:
            bare, _, labels = name.rstrip("}").partition("{")
            whole = f'{bare}{{{labels}{"," if labels else ""}job="{JOB}",instance="{target}"}}'
            is_time = bare.endswith("_timestamp_seconds")
            for moment in range(now - HISTORY, now - DOWN, 15):
                file.write(f"{whole} {float(value) + moment - now if is_time else value} {moment}\n")
        file.write("# EOF\n")
    command: list[str | Path] = [prometheus.promtool(), "tsdb", "create-blocks-from", "openmetrics", text, folder / "data"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "data"


def found(server: prometheus.Prometheus, query: str) -> list[dict[str, str]]:
    """The labels of each series of the answer."""
    response = httpx.get(f"{server.url}/api/v1/query", params={"query": query}, trust_env=False).raise_for_status()
    return [series["metric"] for series in response.json()["data"]["result"]]


def alerts(server: prometheus.Prometheus) -> list[str]:
    """Alerts that are pending, or fired in the last minutes; not the Watchdog.

    Until its first scrape, a Prometheus that did not run for ten minutes has no target: that alert is pending for a moment.
    """
    others = f'ALERTS{{alertname!="{WATCHDOG}",alertstate='
    query = f'{others}"pending"}} or max_over_time({others}"firing"}}[5m])'
    return [f"{labels['alertname']} {labels['alertstate']}" for labels in found(server, query)]


async def evaluated(server: prometheus.Prometheus, since: float) -> None:
    """Return when every group has been evaluated several times on scrapes after that time."""

    async def is_done() -> bool:
        seconds = int(time.time() - since) + 1
        counts = (f'count_over_time(ALERTS{{alertname="{WATCHDOG}"}}[{seconds}s])', f"sum_over_time(up[{seconds}s])")
        return all([await asyncio.to_thread(found, server, f"{count} > {EVALUATIONS}") for count in counts])

    await eventually(is_done)


async def complete_page(url: str) -> str:
    text = ""

    async def every_source_is_up() -> bool:
        nonlocal text
        text = (await asyncio.to_thread(httpx.get, f"{url}/metrics", trust_env=False)).text
        ups = [line for line in text.splitlines() if line.startswith("fleet_exporter_source_up{")]
        return len(ups) == 3 and all(line.endswith(" 1") for line in ups)

    await eventually(every_source_is_up)
    return text


async def fill(url: str) -> None:
    """A stream on disk with a durable consumer that has acked all but one of its messages."""
    connection = await client.connect(url)
    js = connection.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"], storage=StorageType.FILE))
    await js.add_consumer("S", ConsumerConfig(durable_name="c", ack_wait=600))
    for _ in range(20):
        await js.publish("s.x", b"{}")
    subscription = await js.pull_subscribe_bind("c", stream="S")
    for message in (await subscription.fetch(20, timeout=5))[:-1]:
        await message.ack_sync()
    await connection.close()


async def test_prometheus_the_exporter_and_nats_restart(valkey_server: RunningValkey, tmp_path: Path) -> None:
    with required():
        nats.prepare()
        prometheus.prepare()
    port = free_port()
    with nats.start(store=tmp_path / "jetstream") as broker:
        await fill(broker.url)
        flags = (
            f"--web.listen-address=127.0.0.1:{port}",
            f"--jetstream.url={broker.url}",
            "--jetstream.expected=S,S/c",
            f"--valkey.url={valkey_server.url}",
        )
        with exporter(*flags) as running:
            data = backfilled(await complete_page(running.url), f"127.0.0.1:{port}", tmp_path)
            for _ in range(2):  # after ten minutes of absence, and once more at once
                with prometheus.start(config=config(port), data=data) as server:
                    await evaluated(server, time.time())
                    assert alerts(server) == []
        # The exporter is rolled, and so is NATS.
        with prometheus.start(config=config(port), data=data) as server, exporter(*flags) as running:
            await complete_page(running.url)
            await evaluated(server, time.time())
            assert alerts(server) == []
            broker.process.restart()
            await complete_page(running.url)
            await evaluated(server, time.time())
            assert alerts(server) == []
