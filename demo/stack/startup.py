"""Servers that take a while to build or to start: each joins when it is ready and says so, or says why it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from demo.scenario.cluster import Jobs
from demo.scenario.faults import Backend
from demo.scenario.fleet import Step
from demo.scenario.traffic import Graph
from demo.stack.running import Demo, Servers, entered
from servers import alertmanager, kubernetes, loki, neo4j
from servers.cache import ServerMissing
from servers.process import ServerFailed


async def join_neo4j(demo: Demo, stack: Servers, port: int) -> None:
    try:
        await asyncio.to_thread(neo4j.prepare, demo.say)
        server = await entered(stack, neo4j.start(port=port))
    except (ServerMissing, ServerFailed) as missing:
        demo.say(f"Without Neo4j: {missing}")
        return
    graph = Graph(server)
    stack.push_async_callback(graph.close)
    demo.sends.append(graph.send)
    demo.say("Neo4j has joined")


async def join_kubernetes(demo: Demo, stack: Servers, kubeconfig: Path) -> None:
    try:
        await asyncio.to_thread(kubernetes.prepare, demo.say)
        server = await entered(stack, kubernetes.start())
    except (ServerMissing, ServerFailed) as missing:
        demo.say(f"Without Kubernetes: {missing}")
        return
    jobs = Jobs(server, demo.faults)
    await asyncio.to_thread(jobs.prepare)
    server.write_kubeconfig(server.admin_token, kubeconfig)

    async def send(step: Step) -> None:
        await asyncio.to_thread(jobs.send, step)

    demo.sends.append(send)
    demo.faults.joined.add(Backend.KUBERNETES)
    demo.say("The Kubernetes API server has joined")


async def join_loki(demo: Demo, stack: Servers, port: int) -> None:
    try:
        await asyncio.to_thread(loki.prepare, demo.say)
        server = await entered(stack, loki.start(port=port))
    except (ServerMissing, ServerFailed) as missing:
        demo.say(f"Without Loki: {missing}")
        return
    demo.say(f"Loki has joined at {server.url}; the journal follows when it answers queries, in about ten seconds")


async def join_alertmanager(demo: Demo, stack: Servers, port: int, config: str) -> None:
    try:
        await asyncio.to_thread(alertmanager.prepare, demo.say)
        server = await entered(stack, alertmanager.start(config=config, port=port))
    except (ServerMissing, ServerFailed) as missing:
        demo.say(f"Without Alertmanager: {missing}")
        return
    demo.say(f"Alertmanager has joined at {server.url}")
