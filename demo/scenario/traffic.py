"""Sends the simulated fleet's steps to the real servers, as the real services do."""

from __future__ import annotations

import asyncio
import contextlib
import json

import nats
import nats.errors
import neo4j
import redis.asyncio
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig

from demo.scenario.faults import Fault, Faults
from demo.scenario.fleet import CONSUMERS, DERIVATION, EXPECTED_STREAM, POISONED, SLOW, STREAMS, Step
from demo.stack.cancellation import asked_to_end
from servers.vllm import VllmStandIn

_FLOOD = 150
_FETCH = 1.0  # seconds; messages fetched before a fault begins are still acked
_REST = 0.2
_SLOWER = 10.0


class Events:
    """NATS: the fleet's streams, its durable consumers at work, and its messages."""

    def __init__(self, url: str, faults: Faults) -> None:
        self._url = url
        self._faults = faults
        self._client = Client()
        self._js: JetStreamContext
        self._has_expected: bool | None = None
        self._flooded = False

    async def connect(self) -> None:
        """Connect, and create the streams."""
        await self._client.connect(self._url, name="simulated fleet")
        self._js = self._client.jetstream()
        for name, subjects in STREAMS.items():
            await self._add_stream(name, subjects)
        await self._apply_faults()

    async def run(self) -> None:
        """Create the consumers and let them work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for consumer in CONSUMERS:
                group.create_task(self._consume(*consumer))
            group.create_task(self._consume(*POISONED, refusing=Fault.POISON))
            group.create_task(self._consume(*SLOW, resting=Fault.UNREAD))
            group.create_task(self._consume(*DERIVATION, resting=Fault.LAG))

    async def close(self) -> None:
        await self._client.close()

    async def _add_stream(self, name: str, subjects: str) -> None:
        await self._js.add_stream(StreamConfig(name=name, subjects=[subjects], max_age=3600, max_msgs=100_000))

    async def _consume(
        self, stream: str, name: str, subject: str, *, resting: Fault | None = None, refusing: Fault | None = None
    ) -> None:
        """Ack every message; during a fault fetch nothing, or nak everything."""
        config = ConsumerConfig(ack_wait=30, sample_freq=None if refusing else "100")
        subscription = await self._js.pull_subscribe(subject, durable=name, stream=stream, config=config)
        while not asked_to_end():
            if resting is not None and resting in self._faults:
                await asyncio.sleep(_REST)
                continue
            with contextlib.suppress(nats.errors.TimeoutError, TimeoutError):
                for message in await subscription.fetch(10, timeout=_FETCH):
                    refused = refusing is not None and refusing in self._faults
                    await (message.nak(delay=2) if refused else message.ack())

    async def send(self, step: Step) -> None:
        """Apply the faults that changed since the last step, then publish the step's messages."""
        if not self._client.is_connected:
            return
        await self._apply_faults()
        for message in step.messages:
            await self._js.publish(message.subject, message.data)

    async def _apply_faults(self) -> None:
        wanted = Fault.STREAM not in self._faults
        if wanted != self._has_expected:
            if wanted:
                await self._add_stream(*EXPECTED_STREAM)
            elif self._has_expected:
                await self._js.delete_stream(EXPECTED_STREAM[0])
            self._has_expected = wanted
        flooding = Fault.LAG in self._faults
        if flooding and not self._flooded:
            for number in range(_FLOOD):
                request = {"event_type": "task.derivation.requested", "request_id": f"REQ-{number}"}
                await self._js.publish(DERIVATION[2], json.dumps(request).encode())
        self._flooded = flooding


class Cache:
    """ValKey: stories, and workflow states with a time to live."""

    def __init__(self, url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(url)

    async def send(self, step: Step) -> None:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hset(f"planning:story:{step.story}", mapping={"id": step.story, "state": step.state or "BUILD"})
        pipeline.sadd("planning:stories:all", step.story)
        pipeline.hget(f"planning:story:{step.story}", "state")
        if not step.task:
            pipeline.get(f"planning:story:{step.story}:draft")  # never set, so that the cache has misses
        else:
            pipeline.set(f"workflow:state:{step.task}", step.role, ex=3600)
            pipeline.get(f"workflow:state:{step.task}")
        await pipeline.execute()

    async def close(self) -> None:
        await self._client.aclose()


class Graph:
    """Neo4j: stories, their tasks, and the agents of each task."""

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self._driver = neo4j.AsyncGraphDatabase.driver(url, auth=(user, password))

    async def send(self, step: Step) -> None:
        async with self._driver.session() as session:
            await session.run("MERGE (s:Story {id: $story}) SET s.state = $state", story=step.story, state=step.state)
            if step.task:
                await session.run(
                    "MATCH (s:Story {id: $story}) CREATE (s)-[:HAS_TASK]->(t:Task {id: $task}) "
                    "WITH t UNWIND $agents AS agent CREATE (t)-[:HAS_DISPATCH]->(:TaskDispatch {agent_id: agent})",
                    story=step.story,
                    task=step.task,
                    agents=[response.agent for response in step.responses],
                )

    async def close(self) -> None:
        await self._driver.close()


def generate(engine: VllmStandIn, step: Step, *, slow: bool = False) -> None:
    """Count a step's responses at the stand-in for vLLM, each ten seconds longer when it is slow."""
    engine.load(len(step.responses) * 2)
    for response in step.responses:
        engine.generate(response.prompt_tokens, response.tokens, response.seconds + _SLOWER * slow)
