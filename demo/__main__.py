"""`make demo`: real servers, the simulated fleet on them, the exporter and what reads it, until Ctrl-C.

What starts at once is up within seconds; Neo4j, the Kubernetes API server, Loki and Alertmanager join when they are ready
and say so. Faults begin and end on request: type `faults`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import httpx

from demo.scenario.faults import USUAL, Backend, Fault, FaultError, Faults, named
from demo.scenario.files import Board, Broker, Ledger
from demo.scenario.fleet import EXPECTED_STREAM, Fleet, Step
from demo.scenario.services import Services, serving
from demo.scenario.traffic import Cache, Events, answer_with
from demo.stack.monitoring import Monitoring, monitored
from demo.stack.running import Demo, Servers, entered, wished_port
from demo.stack.startup import join_alertmanager, join_kubernetes, join_loki, join_neo4j
from demo.stack.terminal import lines
from servers import nats, prometheus, valkey, vllm
from servers.cache import ServerMissing
from servers.process import ServerFailed, answers, free_port, process, temporary_folder

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
_EXPORTER_PORT = 9847

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


async def _up(url: str) -> set[str]:
    """The sources whose last reading succeeded."""
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(f"{url}/metrics", params={"name[]": "fleet_exporter_source_up"}, timeout=15)).text
    lines = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up") and line.endswith(" 1")]
    return {line.partition('source="')[2].partition('"')[0] for line in lines}


def _table(exporter: str, monitoring: Monitoring, loki: str) -> str:
    rows = [
        ("The page", f"{exporter}/metrics"),
        ("The fleet as it moves", exporter),
        ("The API", f"{exporter}/docs"),
        ("Prometheus, with the alerts", monitoring.prometheus),
        ("Alertmanager", monitoring.alertmanager),
        ("What Slack would show", monitoring.slack),
        ("Loki", loki),
    ]
    if monitoring.grafana:
        rows.append(("Grafana", monitoring.grafana))
    queries = "\n".join(f"    # {text}\n    {query}" for text, query in _QUERIES)
    links = "\n".join(f"  {name:<30}{url}" for name, url in rows)
    return (
        f"\n{links}\n\n  PromQL to try at {monitoring.prometheus}:\n\n{queries}\n\n"
        "  The alerts are those of production in a hurry: windows are 30 times shorter, but ten seconds or more, and\n"
        "  waits 60 times. Type `break NAME`, `mend NAME` or `faults`; Ctrl-C stops everything.\n"
    )


def _environment(folder: Path, kubeconfig: Path, services: str) -> dict[str, str]:
    """What the exporter is told besides the addresses of the fleet's own servers."""
    return {
        "NEO4J_PASSWORD": "fleet-demo",
        "FLEET_EXPORTER_RAYJOB_KUBECONFIG": str(kubeconfig),
        "FLEET_EXPORTER_WORKLOADS_KUBECONFIG": str(kubeconfig),
        "FLEET_EXPORTER_WORKLOADS_EXPECTED": "default/planning,default/orchestrator,default/monitoring",
        "FLEET_EXPORTER_WORKLOADS_NODES": "true",
        "FLEET_EXPORTER_FLEET_UNRESPONSIVE_AFTER": "10",
        "FLEET_EXPORTER_JETSTREAM_EXPECTED": f"PLANNING_EVENTS,AGENT_RESPONSES,{EXPECTED_STREAM[0]}",
        "FLEET_EXPORTER_VALKEY_KEY_GROUPS": "true",
        "FLEET_EXPORTER_VALKEY_SIZES": "planning:stories:all",
        "FLEET_EXPORTER_SERVICES_GRPC": f"orchestrator={services},ray-executor={services},context={services}",
        "FLEET_EXPORTER_TASKBOARD_ROOT": str(folder / "collaboration"),
        "FLEET_EXPORTER_COSTS_DATABASE": str(folder / "telemetry.db"),
        "FLEET_EXPORTER_COSTS_BUDGET_PER_DAY": "5",
        "FLEET_EXPORTER_BROKER_DATABASE": str(folder / "broker.db"),
    }


async def _run(demo: Demo, servers: Servers, readers: Servers, folder: Path) -> None:
    demo.say("Getting what is needed for the first page")
    for prepare in (nats.prepare, valkey.prepare, prometheus.prepare):
        await asyncio.to_thread(prepare, demo.say)
    bus, cache = await entered(servers, nats.start()), await entered(servers, valkey.start())
    engine = await entered(servers, vllm.start())
    demo.faults.joined |= {Backend.NATS, Backend.VLLM}
    demo.say("NATS, ValKey and a stand-in for vLLM are up")

    services = Services()
    address = await readers.enter_async_context(serving(services))
    graph_port, loki_port, kubeconfig = free_port(), free_port(), folder / "kubeconfig"
    exporter_url, loki_url = f"http://127.0.0.1:{wished_port(_EXPORTER_PORT)}", f"http://127.0.0.1:{loki_port}"
    environment = _environment(folder, kubeconfig, address) | {
        "NATS_URL": bus.url,
        "REDIS_URL": cache.url,
        "VLLM_URL": engine.url,
        "LOKI_URL": loki_url,
        "NEO4J_URI": f"bolt://127.0.0.1:{graph_port}",
    }
    files = (Board(folder / "collaboration"), Ledger(folder / "telemetry.db"), Broker(folder / "broker.db"))
    command = [sys.executable, "-m", "exporter", f"--web.listen-address={exporter_url.removeprefix('http://')}"]
    ready = f"{exporter_url}/-/healthy"
    await entered(
        readers, process(command, name="fleet-exporter", folder=folder, ready=lambda: answers(ready), env=environment)
    )
    monitoring = await monitored(demo, readers, folder, exporter=exporter_url, loki=loki_url)

    events, keys = Events(bus.url, demo.faults), Cache(cache.url)
    readers.push_async_callback(keys.close)

    async def at_engine(step: Step) -> None:
        answer_with(engine, step, slow=Fault.VLLM in demo.faults)

    async def at_services(step: Step) -> None:
        services.send(step)

    async def in_files(step: Step) -> None:
        for system in files:
            await asyncio.to_thread(system.send, step)

    fleet = Fleet()

    def look_at_faults() -> None:
        fleet.silent = Fault.AGENT in demo.faults

    demo.sends += [events.send, keys.send, at_engine, at_services, in_files]
    async with asyncio.TaskGroup() as group:
        group.create_task(events.run())
        group.create_task(demo.run(fleet, look_at_faults))
        up = await _up(exporter_url)
        demo.say(f"The first page is there, with {', '.join(sorted(up))}")
        print(_table(exporter_url, monitoring, loki_url), flush=True)
        joining = [
            group.create_task(join)
            for join in (
                join_alertmanager(demo, readers, monitoring.alertmanager_port, monitoring.alertmanager_config),
                join_neo4j(demo, servers, graph_port),
                join_kubernetes(demo, servers, kubeconfig),
                join_loki(demo, servers, loki_port),
            )
        ]
        while not (up >= _SOURCES and all(join.done() for join in joining)):
            await asyncio.sleep(1)
            up = await _up(exporter_url)
        demo.say("Every source is up")


async def _main(faults: Faults) -> None:
    demo = Demo(faults)
    asked = asyncio.current_task()
    assert asked is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.cancel)

    def heard(line: str) -> None:
        if answer := faults.obey(line):
            print(answer, flush=True)

    with temporary_folder("demo") as folder, lines(heard):
        # Those who read end before what they read, so that no server waits for them to hang up.
        async with contextlib.AsyncExitStack() as servers, contextlib.AsyncExitStack() as readers:
            try:
                await _run(demo, servers, readers, folder)
            except asyncio.CancelledError:
                asked.uncancel()
                print(flush=True)
            demo.say("Stopping everything")
    demo.say("Nothing is left running")


def _initial(text: str) -> Faults:
    try:
        return Faults(set(named(text)))
    except FaultError as unknown:
        raise argparse.ArgumentTypeError(str(unknown)) from None


def main() -> int:
    """Exit code 1 when a server that the first page needs cannot be had."""
    parser = argparse.ArgumentParser("python -m demo", description="A simulated fleet on real servers, and its exporter.")
    usual = ",".join(sorted(USUAL))
    parser.add_argument(
        "--break",
        dest="faults",
        type=_initial,
        default=usual,
        metavar="NAME,...|none",
        help=f"what is broken from the beginning (default {usual}; others: {', '.join(sorted(set(Fault) - USUAL))})",
    )
    chosen = parser.parse_args()
    failed = False
    try:
        asyncio.run(_main(chosen.faults))
    except* (ServerMissing, ServerFailed) as group:
        failed = True
        for error in group.exceptions:
            print(f"demo: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
