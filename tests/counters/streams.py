"""Backends on a real NATS server: consumers and the JetStream API as its API reports them, and the fleet's events."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

import nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from exporter.config.options import Address
from exporter.source import Source
from exporter.sources.fleet import FleetEvents, FleetOptions
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from servers import nats as nats_servers
from tests.support.fleet_streams import events
from tests.support.pages import Page, eventually, followed, page_now, page_where

WORKER = 'stream="S",consumer="worker"'
EVENTS = "FLEET_EVENTS"
POSITION = f'fleet_exporter_stream_position{{stream="{EVENTS}"}}'


class OnNats:
    """A server whose streams are on disk, and a client."""

    source: Source

    def __init__(self, folder: Path) -> None:
        self._store = folder / "jetstream"
        self._open = AsyncExitStack()
        self._exporter = AsyncExitStack()
        self.numbers = itertools.count()

    def made(self, url: str) -> Source:
        raise NotImplementedError

    async def fill(self) -> None:
        """Create what the exporter reads."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self.server = self._open.enter_context(nats_servers.start(store=self._store))
        self.client = await nats.connect(self.server.url)
        self.js = self.client.jetstream()
        await self.fill()
        await self.start_exporter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exporter.aclose()
        await self.client.close()
        await self._open.aclose()

    async def start_exporter(self) -> None:
        await self._exporter.aclose()
        self.source = self.made(self.server.url)
        for target in self.source.targets():
            self._exporter.push_async_callback(target.close)
        await self._exporter.enter_async_context(followed(self.source))
        await self.ready()

    async def ready(self) -> None:
        await self.page()

    async def restart_nats(self) -> None:
        await self.client.close()
        await asyncio.to_thread(self.server.process.restart)
        self.client = await nats.connect(self.server.url)
        self.js = self.client.jetstream()
        await self.ready()

    async def page(self) -> Page:
        return await page_where(self.source, lambda _: True)


class Consumers(OnNats):
    """A consumer that acks all it receives, and requests for a stream that does not exist."""

    def made(self, url: str) -> Source:
        return Jetstream(JetstreamOptions(url=(Address(url),)))

    async def fill(self) -> None:
        await self.js.add_stream(StreamConfig(name="S", subjects=["s.>"], storage=StorageType.FILE))
        await self.create_again()

    async def create_again(self) -> None:
        """The consumer is deleted and created, so that the server counts from 0."""
        with suppress(NotFoundError):
            await self.js.delete_consumer("S", "worker")
        await self.js.add_consumer("S", ConsumerConfig(durable_name="worker", deliver_policy=DeliverPolicy.NEW))

    async def work(self) -> Mapping[str, float]:
        subscription = await self.js.pull_subscribe_bind("worker", stream="S")
        for _ in range(4):
            await self.js.publish("s.x", b"{}")
        for message in await subscription.fetch(4, timeout=10):
            await message.ack_sync()
        await subscription.unsubscribe()
        for _ in range(2):
            with suppress(NotFoundError):
                await self.js.stream_info("ABSENT")
        return {
            f"nats_consumer_delivered_total{{{WORKER}}}": 4,
            f"nats_consumer_settled_deliveries_total{{{WORKER}}}": 4,
            "nats_account_api_errors_total": 2,
        }


class FleetOnNats(OnNats):
    """Events of agents, deliberations, stories and tasks, good and bad."""

    def made(self, url: str) -> Source:
        return FleetEvents(FleetOptions(url=(Address(url),), timeout=5))

    async def fill(self) -> None:
        subjects = ["planning.>", "agent.>", "workflow.>"]
        await self.js.add_stream(StreamConfig(name=EVENTS, subjects=subjects, storage=StorageType.FILE))
        await self.js.add_stream(StreamConfig(name="WORK", subjects=["work.>"], storage=StorageType.FILE))
        config = ConsumerConfig(durable_name="worker", max_deliver=1, ack_wait=30, sample_freq="100")
        await self.js.add_consumer("WORK", config)
        self.last = 0

    async def ready(self) -> None:
        await page_where(self.source, lambda page: page.get(POSITION) == self.last)

    async def page(self) -> Page:
        await self.ready()
        return await page_now(self.source)

    async def purge(self) -> None:
        await self.js.purge_stream(EVENTS)

    async def delete_reader(self) -> None:
        """The consumer with which the exporter reads is deleted."""
        for one in await self.js.consumers_info(EVENTS):
            await self.js.delete_consumer(EVENTS, one.name)

    async def _publish(self, subject: str, **body: Any) -> None:
        text = json.dumps(body).encode() if body else b"not json"
        self.last = (await self.js.publish(subject, text)).seq

    async def work(self) -> Mapping[str, float]:
        number = next(self.numbers)
        before = await self.page()
        story, task = {"story_id": f"US-{number}"}, f"T-{number}"
        answer = {"role": "DEV", "num_agents": 1, "duration_ms": 500, "proposal": {"tokens": 100, "model": "m"}}
        await self._publish("agent.response.completed", task_id=task, agent_id="agent-dev-1", **answer)
        await self._publish("agent.response.completed", task_id=f"{task}-x", agent_id="agent-qa-1", role="QA", tokens="many")
        await self._publish("planning.story.created", **story)
        await self._publish("planning.story.transitioned", from_state="BACKLOG", to_state="DONE", **story)
        await self._publish("workflow.state.changed", task_id=f"{task}-y", from_state="todo", to_state="done")
        await self._publish("planning.plan.approved")
        acked = await self._settle(before)
        stage = "fleet_story_stage_duration_seconds_count"
        return {
            events("planning.story.created"): 1,
            'fleet_event_size_bytes_count{family="agent"}': 2,
            'fleet_event_delay_seconds_count{family="agent"}': 2,
            'fleet_events_unparsed_total{reason="not_json"}': 1,
            'fleet_events_unreadable_values_total{field="tokens"}': 1,
            'fleet_agent_responses_total{role="DEV",outcome="completed"}': 1,
            'fleet_agent_response_duration_seconds_count{role="DEV",model="m"}': 1,
            'fleet_agent_response_duration_seconds_sum{role="DEV",model="m"}': 0.5,
            'fleet_agent_response_tokens_sum{role="DEV",model="m"}': 100,
            'fleet_agent_tasks_total{agent="agent-dev-1",role="DEV",outcome="completed"}': 1,
            'fleet_agent_task_duration_seconds_sum{agent="agent-dev-1",role="DEV"}': 0.5,
            'fleet_deliberations_total{role="DEV",outcome="completed"}': 1,
            'fleet_deliberation_duration_seconds_count{role="DEV"}': 1,
            'fleet_deliberation_agents_total{role="DEV",response="received"}': 1,
            'fleet_story_transitions_total{from_stage="BACKLOG",to_stage="DONE"}': 1,
            "fleet_story_illegal_transitions_total": 1,
            f'{stage}{{stage="BACKLOG"}}': 1,
            "fleet_story_lead_time_seconds_count": 1,
            'fleet_task_transitions_total{from_stage="todo",to_stage="done"}': 1,
            "fleet_task_illegal_transitions_total": 1,
            **dict.fromkeys(_ADVISED, 1),
            _ACKED: acked,
            'fleet_exporter_nats_advisories_total{type="nak"}': 1,
        }

    async def _settle(self, before: Page) -> int:
        """One message is nakked after its last delivery, one terminated; how many were acked.

        The server reports the first when it next looks for a message to deliver.
        """
        subscription = await self.js.pull_subscribe_bind("worker", stream="WORK")

        async def received() -> Msg:
            await self.js.publish("work.x", b"{}")
            [message] = await subscription.fetch(1, timeout=10)
            return message

        await (await received()).nak()
        await (await received()).term()
        acked = 0

        async def is_reported() -> bool:
            nonlocal acked
            await (await received()).ack_sync()
            acked += 1
            page = await page_now(self.source)
            return all(page.get(name, 0) > before.get(name, 0) for name in _ADVISED)

        await eventually(is_reported)
        await subscription.unsubscribe()
        await page_where(self.source, lambda page: page[_ACKED] == before.get(_ACKED, 0) + acked)
        return acked


_WORKER = 'stream="WORK",consumer="worker"'
_ACKED = f"nats_consumer_ack_duration_seconds_count{{{_WORKER}}}"
_ADVISED = tuple(f"nats_consumer_{name}_total{{{_WORKER}}}" for name in ("naks", "terminations", "max_deliveries"))
