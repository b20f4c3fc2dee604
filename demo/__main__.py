"""`make demo`: real servers, the simulated fleet on them, the exporter and Prometheus, until Ctrl-C.

What starts at once is up within seconds; Neo4j and the Kubernetes API server join when they are ready and say so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from demo.files import Board, Broker, Ledger
from demo.fleet import Fleet, Step
from demo.servers import kubernetes, loki, nats, neo4j, prometheus, valkey, vllm
from demo.servers.cache import ServerMissing
from demo.servers.process import ServerFailed, answers, free_port, process, temporary_folder
from demo.services import Services, serving
from demo.traffic import Cache, Events, Graph, Jobs, answer_with

_PAUSE = 0.3  # seconds between two steps of the simulated fleet
_SOURCES = {
    "broker",
    "costs",
    "fleet",
    "jetstream",
    "journal",
    "neo4j",
    "rayjob",
    "taskboard",
    "valkey",
    "vllm",
    "workloads",
}
_EXPORTER_PORT, _PROMETHEUS_PORT = 9847, 9090
_RULES = Path(__file__).parents[1] / "deploy/helm/files/alerts.yaml"

_QUERIES = (
    ("agents by state", "sum by (role, state) (fleet_agents)"),
    ("answers a minute, and how many fail", "sum by (outcome) (rate(fleet_agent_responses_total[1m])) * 60"),
    ("time of an answer, 95 of 100",
     "histogram_quantile(0.95, sum by (le, role) (rate(fleet_agent_response_duration_seconds_bucket[1m])))"),
    ("stories by stage", "fleet_stories"),
    ("the task board", "fleet_board_column_tasks"),
    ("US dollars spent", "fleet_cost_spent_usd"),
    ("consumers that lag", "nats_consumer_lag > 0"),
    ("messages refused again and again", "nats_consumer_num_redelivered > 0"),
    ("workloads that are not up", 'fleet_workload_status{state!="up"} == 1'),
    ("RayJobs by state", "sum by (state) (ray_jobs)"),
    ("tokens per second", "rate(vllm_generation_tokens_total[1m])"),
    ("growth of the graph", "deriv(neo4j_nodes[1m])"),
    ("share of lookups that hit",
     "valkey_keyspace_hits_total / (valkey_keyspace_hits_total + valkey_keyspace_misses_total)"),
    ("alerts that fire, or will", "ALERTS"),
    ("what is down, and why", "fleet_exporter_source_failure == 1"),
)  # fmt: skip

Send = Callable[[Step], Awaitable[None]]


@dataclass
class Demo:
    """What is running: the simulated fleet's ways to the servers grow as those join."""

    began: float = field(default_factory=time.monotonic)
    sends: list[Send] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)


async def _entered(stack: contextlib.AsyncExitStack, context: contextlib.AbstractContextManager[object]) -> object:
    """Start a server in a thread, and have it stopped in one at the end."""
    server = await asyncio.to_thread(context.__enter__)
    stack.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
    return server


async def _neo4j(demo: Demo, stack: contextlib.AsyncExitStack, port: int) -> None:
    try:
        await asyncio.to_thread(neo4j.prepare, demo.say)
        server = await _entered(stack, neo4j.start(port=port))
    except (ServerMissing, ServerFailed) as missing:
        demo.say(f"Without Neo4j: {missing}")
        return
    assert isinstance(server, neo4j.Neo4j)
    graph = Graph(server)
    stack.push_async_callback(graph.close)
    demo.sends.append(graph.send)
    demo.say("Neo4j has joined")


async def _kubernetes(demo: Demo, stack: contextlib.AsyncExitStack, kubeconfig: Path) -> None:
    try:
        await asyncio.to_thread(kubernetes.prepare, demo.say)
        server = await _entered(stack, kubernetes.start())
    except (ServerMissing, ServerFailed) as missing:
        demo.say(f"Without Kubernetes: {missing}")
        return
    assert isinstance(server, kubernetes.Kubernetes)
    jobs = Jobs(server)
    await asyncio.to_thread(jobs.prepare)
    server.write_kubeconfig(server.admin_token, kubeconfig)

    async def send(step: Step) -> None:
        await asyncio.to_thread(jobs.send, step)

    demo.sends.append(send)
    demo.say("The Kubernetes API server has joined")


async def _loki(demo: Demo, stack: contextlib.AsyncExitStack, port: int) -> None:
    try:
        await asyncio.to_thread(loki.prepare, demo.say)
        server = await _entered(stack, loki.start(port=port))
    except (ServerMissing, ServerFailed) as missing:
        demo.say(f"Without Loki: {missing}")
        return
    assert isinstance(server, loki.Loki)
    demo.say(f"Loki has joined at {server.url}; the journal follows when it answers queries, in about ten seconds")


async def _fleet(demo: Demo) -> None:
    """Send step after step for ever; a server that is away for a moment does not end the fleet."""
    for step in Fleet().steps():
        for send in tuple(demo.sends):
            try:
                await send(step)
            except Exception as error:  # noqa: BLE001 - a simulated service logs and goes on, as the real ones do
                demo.say(f"the simulated fleet met {type(error).__name__}: {error}")
        await asyncio.sleep(_PAUSE)


async def _up(url: str) -> set[str]:
    """The sources whose last reading succeeded."""
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(f"{url}/metrics", params={"name[]": "fleet_exporter_source_up"}, timeout=15)).text
    lines = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up") and line.endswith(" 1")]
    return {line.partition('source="')[2].partition('"')[0] for line in lines}


def _table(exporter: str, monitor: str) -> str:
    rows = [
        ("The page", f"{exporter}/metrics"),
        ("The fleet as it moves", exporter),
        ("The API", f"{exporter}/docs"),
        ("Prometheus, with the alerts", f"{monitor}/alerts"),
    ]
    queries = "\n".join(f"    # {text}\n    {query}" for text, query in _QUERIES)
    links = "\n".join(f"  {name:<30}{url}" for name, url in rows)
    return f"\n{links}\n\n  PromQL to try at {monitor}/graph:\n\n{queries}\n\n  Ctrl-C stops everything.\n"


def _wished(port: int) -> int:
    """A well-known port where it is free, another where it is not."""
    try:
        return free_port(port)
    except ServerFailed:
        return free_port()


async def _run(
    demo: Demo, servers: contextlib.AsyncExitStack, readers: contextlib.AsyncExitStack, folder: Path, *, until_ready: bool
) -> None:
    demo.say("Getting what is needed for the first page")
    for prepare in (nats.prepare, valkey.prepare, prometheus.prepare):
        await asyncio.to_thread(prepare, demo.say)
    bus, cache = await _entered(servers, nats.start()), await _entered(servers, valkey.start())
    engine = await _entered(servers, vllm.start())
    assert isinstance(bus, nats.Nats)
    assert isinstance(cache, valkey.Valkey)
    assert isinstance(engine, vllm.VllmStandIn)
    demo.say("NATS, ValKey and a stand-in for vLLM are up")

    services = Services()
    address = await readers.enter_async_context(serving(services))
    graph_port, loki_port, kubeconfig = free_port(), free_port(), folder / "kubeconfig"
    exporter_url = f"http://127.0.0.1:{_wished(_EXPORTER_PORT)}"
    environment = {
        "NATS_URL": bus.url,
        "REDIS_URL": cache.url,
        "VLLM_URL": engine.url,
        "LOKI_URL": f"http://127.0.0.1:{loki_port}",
        "NEO4J_URI": f"bolt://127.0.0.1:{graph_port}",
        "NEO4J_PASSWORD": "fleet-demo",
        "FLEET_EXPORTER_RAYJOB_KUBECONFIG": str(kubeconfig),
        "FLEET_EXPORTER_WORKLOADS_KUBECONFIG": str(kubeconfig),
        "FLEET_EXPORTER_WORKLOADS_EXPECTED": "default/planning,default/orchestrator,default/monitoring",
        "FLEET_EXPORTER_JETSTREAM_EXPECTED": "PLANNING_EVENTS,AGENT_RESPONSES,AGENT_RESULTS",
        "FLEET_EXPORTER_VALKEY_KEY_GROUPS": "true",
        "FLEET_EXPORTER_VALKEY_SIZES": "planning:stories:all",
        "FLEET_EXPORTER_SERVICES_GRPC": f"orchestrator={address},ray-executor={address},context={address}",
        "FLEET_EXPORTER_TASKBOARD_ROOT": str(folder / "collaboration"),
        "FLEET_EXPORTER_COSTS_DATABASE": str(folder / "telemetry.db"),
        "FLEET_EXPORTER_COSTS_BUDGET_PER_DAY": "5",
        "FLEET_EXPORTER_BROKER_DATABASE": str(folder / "broker.db"),
    }
    files = (Board(folder / "collaboration"), Ledger(folder / "telemetry.db"), Broker(folder / "broker.db"))
    command = [sys.executable, "-m", "exporter", f"--web.listen-address={exporter_url.removeprefix('http://')}"]
    ready = f"{exporter_url}/-/healthy"
    await _entered(
        readers, process(command, name="fleet-exporter", folder=folder, ready=lambda: answers(ready), env=environment)
    )
    target = exporter_url.removeprefix("http://")
    job = {"job_name": "fleet-exporter", "static_configs": [{"targets": [target]}]}
    every = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    scrape = json.dumps({"global": every, "rule_files": [str(_RULES)], "scrape_configs": [job]})  # JSON is YAML
    monitor = await _entered(readers, prometheus.start(config=scrape, port=_wished(_PROMETHEUS_PORT)))
    assert isinstance(monitor, prometheus.Prometheus)

    events, keys = Events(bus.url), Cache(cache.url)
    readers.push_async_callback(keys.close)

    async def at_engine(step: Step) -> None:
        answer_with(engine, step)

    async def at_services(step: Step) -> None:
        services.send(step)

    async def in_files(step: Step) -> None:
        for system in files:
            await asyncio.to_thread(system.send, step)

    demo.sends += [events.send, keys.send, at_engine, at_services, in_files]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(events.run()), group.create_task(_fleet(demo))]
        up = await _up(exporter_url)
        demo.say(f"The first page is there, with {', '.join(sorted(up))}")
        print(_table(exporter_url, monitor.url), flush=True)
        joining = [
            _neo4j(demo, servers, graph_port),
            _kubernetes(demo, servers, kubeconfig),
            _loki(demo, servers, loki_port),
        ]
        tasks += [group.create_task(join) for join in joining]
        while not until_ready or not up >= _SOURCES:
            await asyncio.sleep(1)
            up = await _up(exporter_url) if until_ready else up
        demo.say("Every source is up")
        for task in tasks:
            task.cancel()


async def _main(*, until_ready: bool) -> None:
    demo = Demo()
    asked = asyncio.current_task()
    assert asked is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.cancel)
    with temporary_folder("demo") as folder:
        # Those who read end before what they read, so that no server waits for them to hang up.
        async with contextlib.AsyncExitStack() as servers, contextlib.AsyncExitStack() as readers:
            try:
                await _run(demo, servers, readers, folder, until_ready=until_ready)
            except asyncio.CancelledError:
                asked.uncancel()
                print(flush=True)
            demo.say("Stopping everything")
    demo.say("Nothing is left running")


def main() -> int:
    parser = argparse.ArgumentParser("python -m demo", description="A simulated fleet on real servers, and its exporter.")
    parser.add_argument("--until-ready", action="store_true", help="stop as soon as every source is up")
    failed = False
    try:
        asyncio.run(_main(until_ready=parser.parse_args().until_ready))
    except* (ServerMissing, ServerFailed) as group:
        failed = True
        for error in group.exceptions:
            print(f"demo: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
