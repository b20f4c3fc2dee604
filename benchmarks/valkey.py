"""A ValKey with 100 000 keys: the page over HTTP, next to a bare INFO, and the commands of a scrape."""

from __future__ import annotations

import os

import httpx
import redis

from benchmarks.figure import Figure, median
from servers import valkey as servers
from tests.support.process import exporter

KEYS = 100_000


def figures() -> list[Figure]:
    with servers.start() as server, redis.Redis(port=server.port) as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(KEYS):
            pipeline.set(f"planning:story:{number}", "x" * 20)
        pipeline.execute()
        bare = median(lambda: client.execute_command("INFO", "ALL"), rounds=51)
        with exporter(variables={**os.environ, "REDIS_URL": server.url}) as process, httpx.Client() as http:

            def page() -> None:
                response = http.get(f"{process.url}/metrics", headers={"accept-encoding": "identity"})
                assert 'valkey_db_keys{server="' in response.text

            for _ in range(20):
                page()
            took = median(page, rounds=101)
            before = client.info("stats")["total_commands_processed"]
            for _ in range(10):
                page()
            commands = (client.info("stats")["total_commands_processed"] - before - 1) / 10
    return [
        Figure(
            f"page of a ValKey with {KEYS:,} keys, over HTTP",
            f"{took * 1000:.2f} ms, {commands:.0f} commands",
            "≤ 3 ms, ≤ 3 commands",
            took <= 0.003 and commands <= 3,
            f"bare INFO ALL: {bare * 1000:.2f} ms",
        )
    ]
