"""Carries the simulated fleet's steps to the real servers, each in the way the real services do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import nats.errors
import neo4j
import redis.asyncio
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig

from demo.fleet import CONSUMERS, POISONED, SLOW, STREAMS, Step
from demo.servers.kubernetes import Kubernetes
from demo.servers.neo4j import Neo4j
from demo.servers.vllm import VllmStandIn

_JOBS = "/apis/ray.io/v1/namespaces/default/rayjobs"
_CLUSTERS = "/apis/ray.io/v1/namespaces/default/rayclusters"
_PODS = "/api/v1/namespaces/default/pods"
_KEPT_JOBS = 20
_SERVICES = ("planning", "orchestrator", "context", "ray-executor", "workflow")
_BROKEN = "workflow"


class Events:
    """NATS: the fleet's streams, its durable consumers at work, and its messages."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = Client()
        self._js: JetStreamContext

    async def run(self) -> None:
        """Create streams and consumers and let the consumers work until cancelled."""
        await self._client.connect(self._url, name="simulated fleet")
        self._js = self._client.jetstream()
        try:
            for name, subjects in STREAMS.items():
                await self._js.add_stream(StreamConfig(name=name, subjects=[subjects], max_age=3600, max_msgs=100_000))
            stream, name, subject = SLOW
            await self._js.add_consumer(stream, ConsumerConfig(durable_name=name, filter_subject=subject))
            async with asyncio.TaskGroup() as group:
                for stream, name, subject in CONSUMERS:
                    group.create_task(self._consume(stream, name, subject, accept=True))
                group.create_task(self._consume(*POISONED, accept=False))
        finally:
            await self._client.close()

    async def _consume(self, stream: str, name: str, subject: str, *, accept: bool) -> None:
        config = ConsumerConfig(ack_wait=30, sample_freq="100" if accept else None)
        subscription = await self._js.pull_subscribe(subject, durable=name, stream=stream, config=config)
        while True:
            with contextlib.suppress(nats.errors.TimeoutError, TimeoutError):
                for message in await subscription.fetch(10, timeout=5):
                    await (message.ack() if accept else message.nak(delay=2))

    async def send(self, step: Step) -> None:
        if self._client.is_connected:
            for message in step.messages:
                await self._js.publish(message.subject, message.data)


class Cache:
    """ValKey: stories and workflow states, some with a time to live, read again and again."""

    def __init__(self, url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(url)

    async def send(self, step: Step) -> None:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hset(f"planning:story:{step.story}", mapping={"id": step.story, "state": step.state or "BUILD"})
        pipeline.sadd("planning:stories:all", step.story)
        pipeline.get(f"planning:story:{step.story}:state")
        if step.task:
            pipeline.set(f"workflow:state:{step.task}", step.role, ex=3600)
            pipeline.get(f"workflow:state:{step.task}")
        await pipeline.execute()

    async def close(self) -> None:
        await self._client.aclose()


class Graph:
    """Neo4j: stories with their tasks and who was asked."""

    def __init__(self, server: Neo4j) -> None:
        self._driver = neo4j.AsyncGraphDatabase.driver(server.url, auth=(server.user, server.password))

    async def send(self, step: Step) -> None:
        async with self._driver.session() as session:
            await session.run("MERGE (s:Story {id: $story}) SET s.state = $state", story=step.story, state=step.state)
            if step.task:
                await session.run(
                    "MATCH (s:Story {id: $story}) CREATE (s)-[:HAS_TASK]->(t:Task {id: $task}) "
                    "WITH t UNWIND $agents AS agent CREATE (t)-[:HAS_DISPATCH]->(:TaskDispatch {agent_id: agent})",
                    story=step.story,
                    task=step.task,
                    agents=[answer.agent for answer in step.answers],
                )

    async def close(self) -> None:
        await self._driver.close()


class Jobs:
    """Kubernetes: a RayCluster, and a RayJob for each deliberation that runs and ends."""

    def __init__(self, server: Kubernetes) -> None:
        self._server = server
        self._names: deque[str] = deque()
        self._numbers = itertools.count(1)

    def prepare(self) -> None:
        self._server.apply_ray_crds()
        self._create(_CLUSTERS, "RayCluster", "ray-gpu")
        workers = {f"{what}WorkerReplicas": 2 for what in ("desired", "available", "ready")}
        status = {"state": "ready", **workers, "minWorkerReplicas": 0, "maxWorkerReplicas": 4}
        self._patch(f"{_CLUSTERS}/ray-gpu", status | {"desiredCPU": "6", "desiredMemory": "32Gi", "desiredGPU": "2"})
        for service in _SERVICES:
            self._pod(service, ready=service != _BROKEN)

    def _pod(self, service: str, *, ready: bool) -> None:
        """A pod as a Deployment's controller would have made it; nobody runs it."""
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": f"{service}-7d9f",
            "uid": service,
            "controller": True,
        }
        resources = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
        body = {
            "metadata": {
                "name": f"{service}-7d9f-1",
                "labels": {"pod-template-hash": "7d9f"},
                "ownerReferences": [owner],
            },
            "spec": {"containers": [{"name": service, "image": f"fleet/{service}:v1.4.2", "resources": resources}]},
        }
        self._server.request("POST", _PODS, body)
        container: dict[str, Any] = {"name": service, "image": service, "imageID": "", "ready": ready, "restartCount": 0}
        if not ready:
            container |= {"restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        conditions = [{"type": "Ready", "status": str(ready)}]
        status = {"phase": "Running", "startTime": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")}
        self._patch(f"{_PODS}/{service}-7d9f-1", status | {"conditions": conditions, "containerStatuses": [container]})

    def send(self, step: Step) -> None:
        if not step.task:
            return
        name = f"deliberation-{next(self._numbers)}"
        labels = {"fleet/role": step.role, "fleet/story": step.story, "fleet/task": step.task}
        self._create(_JOBS, "RayJob", name, labels)
        self._names.append(name)
        ended = datetime.now(UTC)
        started = ended - timedelta(seconds=max(answer.seconds for answer in step.answers))
        failed = all(answer.failed for answer in step.answers) or int(name.rpartition("-")[2]) % 12 == 0
        status: dict[str, Any] = {
            "rayClusterName": "ray-gpu",
            "jobStatus": "FAILED" if failed else "SUCCEEDED",
            "jobDeploymentStatus": "Failed" if failed else "Complete",
            "startTime": started.isoformat(),
            "endTime": ended.isoformat(),
        }
        self._patch(f"{_JOBS}/{name}", status | ({"reason": "AppFailed", "failed": 1} if failed else {"succeeded": 1}))
        while len(self._names) > _KEPT_JOBS:
            self._server.request("DELETE", f"{_JOBS}/{self._names.popleft()}")

    def _create(self, path: str, kind: str, name: str, labels: dict[str, str] | None = None) -> None:
        meta = {"name": name, "labels": labels or {}}
        self._server.request("POST", path, {"apiVersion": "ray.io/v1", "kind": kind, "metadata": meta, "spec": {}})

    def _patch(self, path: str, status: dict[str, Any]) -> None:
        self._server.request("PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json")


def answer_with(engine: VllmStandIn, step: Step) -> None:
    """Count a step's answers at the pretended engine."""
    engine.load(len(step.answers) * 2)
    for answer in step.answers:
        engine.generate(answer.prompt_tokens, answer.tokens, answer.seconds)
