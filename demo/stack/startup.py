"""Servers that take a while to build or to start: each joins when it is ready, or reports why it cannot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from demo.scenario.cluster import SimulatedCluster
from demo.scenario.faults import Backend
from demo.scenario.fleet import Step
from demo.scenario.traffic import Graph
from demo.stack.state import Demo, sentence
from demo.stack.threads import RunningServers, in_thread
from servers import alertmanager, kubernetes, loki, neo4j
from servers.cache import ServerMissing
from servers.process import ServerFailed
from servers.progress import Display

T = TypeVar("T")


class Startup:
    """Prepares and starts servers in the background; `clients` are closed before the servers stop."""

    def __init__(self, demo: Demo, shown: Display, clients: contextlib.AsyncExitStack) -> None:
        self._demo = demo
        self._shown = shown
        self._clients = clients

    async def prepare(self, name: str, module: ModuleType) -> None:
        """Fetch or build a server. Raises ServerMissing."""
        with self._shown.stage(name) as progress:
            await in_thread(lambda: module.prepare(progress))

    async def _join(self, name: str, module: ModuleType, start: Callable[[], Awaitable[T]]) -> T | None:
        """The started server, or None after a message that says why it is missing."""
        try:
            await self.prepare(name, module)
            self._demo.say(f"{name} is starting")
            return await start()
        except (ServerMissing, ServerFailed) as missing:
            self._demo.say(f"Without {name}: {sentence(missing)}")
            return None

    async def neo4j(self, servers: RunningServers, port: int) -> bool:
        server = await self._join("Neo4j", neo4j, lambda: servers.start(neo4j.start(port=port)))
        if server is None:
            return False
        graph = Graph(server.url, user=server.user, password=server.password)
        self._clients.push_async_callback(graph.close)
        self._demo.sends.append(graph.send)
        self._demo.say("Neo4j is up")
        return True

    async def kubernetes(self, servers: RunningServers, kubeconfig: Path) -> bool:
        name = "The Kubernetes API server"
        server = await self._join(name, kubernetes, lambda: servers.start(kubernetes.start()))
        if server is None:
            return False
        jobs = SimulatedCluster(server, self._demo.faults)
        await in_thread(jobs.prepare)
        server.write_kubeconfig(server.admin_token, kubeconfig)

        async def send(step: Step) -> None:
            await asyncio.to_thread(jobs.send, step)

        self._demo.sends.append(send)
        self._demo.faults.backends.add(Backend.KUBERNETES)
        self._demo.say("The Kubernetes API server is up")
        return True

    async def loki(self, servers: RunningServers, port: int) -> bool:
        server = await self._join("Loki", loki, lambda: servers.start(loki.start(port=port)))
        if server is None:
            return False
        self._demo.say("Loki is up; it serves queries in about ten seconds")
        return True

    async def alertmanager(self, readers: RunningServers, port: int, config: str) -> bool:
        start = alertmanager.start(config=config, port=port)
        server = await self._join("Alertmanager", alertmanager, lambda: readers.start(start))
        if server is None:
            return False
        self._demo.say("Alertmanager is up")
        return True
