"""Runs the demo: backends, the simulated fleet on them, the exporter, and the monitoring stack, until cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Final

import httpx

from demo.scenario.faults import Backend, Fault
from demo.scenario.files import BoardWriter, BrokerWriter, LedgerWriter
from demo.scenario.fleet import EXPECTED_STREAM, SimulatedFleet, Step
from demo.scenario.services import SimulatedServices, serving
from demo.scenario.traffic import Cache, Events, generate
from demo.stack.addresses import Backends, addresses
from demo.stack.monitoring import Monitoring, monitored
from demo.stack.soak import alerts_during
from demo.stack.startup import Startup
from demo.stack.state import Demo
from demo.stack.threads import GRACE, RunningServers
from servers import nats, prometheus, valkey, vllm
from servers.process import answers, free_port, process
from servers.progress import display

_SOURCES_OF: Final = {"neo4j": {"neo4j"}, "kubernetes": {"rayjob", "workloads"}, "loki": {"loki"}}
"""The sources that are up after a server has joined."""
_SOURCES: Final = {"broker", "costs", "fleet", "jetstream", "services", "taskboard", "valkey", "vllm"}.union(
    *_SOURCES_OF.values()
)
_EXPORTER_PORT = 9847
_NEO4J_PASSWORD = "fleet-demo"


class _Stack:
    """Everything that runs. Clients close first, then the readers of the backends, so that no server waits for them."""

    def __init__(self) -> None:
        self.clients = contextlib.AsyncExitStack()
        self.readers = RunningServers()
        self.servers = RunningServers()

    async def stop(self) -> None:
        closing = asyncio.create_task(self.clients.aclose())
        await asyncio.wait([closing], timeout=GRACE)
        try:
            await self.readers.stop()
        finally:
            await self.servers.stop()
        await closing  # without servers, no client waits for a response


async def run(demo: Demo, folder: Path) -> None:
    """Until cancelled; then stops everything. Raises ServerMissing and ServerFailed where the first page cannot be shown."""
    stack = _Stack()
    try:
        with contextlib.ExitStack() as showing:
            await _start(demo, stack, showing, folder)
    finally:
        demo.say("Stopping every server")
        await stack.stop()


async def _start(demo: Demo, stack: _Stack, showing: contextlib.ExitStack, folder: Path) -> None:
    startup = Startup(demo, showing.enter_context(display(demo.say)), stack.clients)
    demo.say("Starting NATS, ValKey, Prometheus and a stand-in for vLLM")
    for name, module in (("NATS", nats), ("ValKey", valkey), ("Prometheus", prometheus)):
        await startup.prepare(name, module)
    varz = free_port()
    bus = await stack.servers.start(nats.start(config=f"http: 127.0.0.1:{varz}\nmax_connections: 1000\n"))
    cache = await stack.servers.start(valkey.start())
    engine = await stack.servers.start(vllm.start())
    demo.faults.backends |= {Backend.NATS, Backend.VLLM}
    events, keys = Events(bus.url, demo.faults), Cache(cache.url)
    await events.connect()
    stack.clients.push_async_callback(keys.close)
    stack.clients.push_async_callback(events.close)
    demo.say("NATS and ValKey are up")

    services = SimulatedServices()
    address = await stack.clients.enter_async_context(serving(services))
    backends = Backends(
        nats=bus.url,
        nats_monitoring=f"http://127.0.0.1:{varz}",
        valkey_port=cache.port,
        neo4j_port=free_port(),
        neo4j_password=_NEO4J_PASSWORD,
        kubeconfig=folder / "kubeconfig",
        loki=f"http://127.0.0.1:{free_port()}",
    )
    files = (
        BoardWriter(folder / "collaboration"),
        LedgerWriter(folder / "telemetry.db"),
        BrokerWriter(folder / "broker.db"),
    )

    async def at_engine(step: Step) -> None:
        generate(engine, step, slow=Fault.VLLM in demo.faults)

    async def at_services(step: Step) -> None:
        services.send(step)

    async def in_files(step: Step) -> None:
        for system in files:
            await asyncio.to_thread(system.send, step)

    fleet = SimulatedFleet()

    def check_faults() -> None:
        fleet.silent = Fault.AGENT in demo.faults

    demo.sends += [events.send, keys.send, at_engine, at_services, in_files]
    async with asyncio.TaskGroup() as group:
        group.create_task(events.run())
        group.create_task(demo.run(fleet, check_faults))
        exporter = f"http://127.0.0.1:{demo.port('the exporter', _EXPORTER_PORT)}"
        environment = _environment(folder, backends, address) | {"REDIS_URL": cache.url, "VLLM_URL": engine.url}
        monitoring, _ = await asyncio.gather(
            monitored(demo, stack.readers, folder, exporter=exporter, loki=backends.loki, hidden=_SOURCES),
            stack.readers.start(_exporter(exporter, folder, environment)),
        )
        monitoring.admit(first := await _up(exporter), _SOURCES)
        demo.say(f"The exporter's first page has {', '.join(sorted(first))}")
        print(addresses(exporter, monitoring, backends), flush=True)
        joining = {
            "alertmanager": group.create_task(
                startup.alertmanager(stack.readers, monitoring.alertmanager_port, monitoring.alertmanager_config)
            ),
            "neo4j": group.create_task(startup.neo4j(stack.servers, backends.neo4j_port)),
            "kubernetes": group.create_task(startup.kubernetes(stack.servers, backends.kubeconfig)),
            "loki": group.create_task(startup.loki(stack.servers, int(backends.loki.rpartition(":")[2]))),
        }
        await _all_up(exporter, monitoring, joining)
        showing.close()
        demo.missing = missing = sorted(name for name, task in joining.items() if not task.result())
        demo.say(f"Everything is up but {', '.join(missing)}" if missing else "Every source is up")
        if demo.soak_minutes is not None:
            demo.alerts = await alerts_during(monitoring.prometheus.url, demo.soak_minutes, demo.say)
            demo.end()


async def _all_up(exporter: str, monitoring: Monitoring, joining: dict[str, asyncio.Task[bool]]) -> None:
    """Admit each source to Prometheus when it is up; return when every server has joined or failed to."""
    while True:
        try:
            up = await _up(exporter)
        except httpx.TransportError:  # the server ends with the demo, before this task
            await asyncio.sleep(1)
            continue
        monitoring.admit(up, _SOURCES)
        if all(task.done() for task in joining.values()):
            missing = {name for name, task in joining.items() if not task.result()}
            if up >= _SOURCES.difference(*(_SOURCES_OF.get(name, set()) for name in missing)):
                return
        await asyncio.sleep(1)


async def _up(url: str) -> set[str]:
    """The sources whose last collection succeeded."""
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(f"{url}/metrics", params={"name[]": "fleet_exporter_source_up"}, timeout=15)).text
    lines = [line for line in page.splitlines() if line.startswith("fleet_exporter_source_up") and line.endswith(" 1")]
    return {line.partition('source="')[2].partition('"')[0] for line in lines}


def _exporter(url: str, folder: Path, environment: dict[str, str]) -> contextlib.AbstractContextManager[object]:
    command = [sys.executable, "-m", "exporter", f"--web.listen-address={url.removeprefix('http://')}"]
    ready = f"{url}/-/healthy"
    return process(command, name="fleet-exporter", folder=folder, ready=lambda: answers(ready), env=environment)


def _environment(folder: Path, backends: Backends, services: str) -> dict[str, str]:
    """The exporter's configuration."""
    return {
        "NATS_URL": backends.nats,
        "FLEET_EXPORTER_JETSTREAM_MONITORING_URL": backends.nats_monitoring,
        "LOKI_URL": backends.loki,
        "NEO4J_URI": f"bolt://127.0.0.1:{backends.neo4j_port}",
        "NEO4J_PASSWORD": backends.neo4j_password,
        "FLEET_EXPORTER_RAYJOB_KUBECONFIG": str(backends.kubeconfig),
        "FLEET_EXPORTER_WORKLOADS_KUBECONFIG": str(backends.kubeconfig),
        "FLEET_EXPORTER_WORKLOADS_EXPECTED": "default/planning,default/orchestrator,default/monitoring",
        "FLEET_EXPORTER_WORKLOADS_NODES": "true",
        "FLEET_EXPORTER_FLEET_UNRESPONSIVE_AFTER": "10",
        "FLEET_EXPORTER_JETSTREAM_EXPECTED": f"PLANNING_EVENTS,AGENT_RESPONSES,{EXPECTED_STREAM[0]}",
        "FLEET_EXPORTER_VALKEY_KEY_GROUPS": "true",
        "FLEET_EXPORTER_VALKEY_COLLECTION_KEYS": "planning:stories:all",
        "FLEET_EXPORTER_SERVICES_GRPC": f"orchestrator={services},ray-executor={services},context={services}",
        "FLEET_EXPORTER_TASKBOARD_ROOT": str(folder / "collaboration"),
        "FLEET_EXPORTER_COSTS_DATABASE": str(folder / "telemetry.db"),
        "FLEET_EXPORTER_COSTS_BUDGET_PER_DAY": "500",
        "FLEET_EXPORTER_BROKER_DATABASE": str(folder / "broker.db"),
    }
