"""/api/sources, /api/ray/jobs, /api/metrics/vllm, /api/graph/nodes, /api/cache/keys: the backends' figures as JSON.

Figures are those of a page: asked for like one, shared with scrapes that come at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import JSONResponse, Response

from exporter.errors import SourceError
from exporter.events.redaction import timestamp
from exporter.metrics.exposition import Format, grouped, rendered
from exporter.metrics.metric import Metric
from exporter.scrape import Scraper, State
from exporter.source import AnySource
from exporter.sources.broker import Broker
from exporter.sources.costs import Costs
from exporter.sources.neo4j import Neo4j, counts
from exporter.sources.rayjob import Rayjob
from exporter.sources.services import Services
from exporter.sources.services.probe import Job
from exporter.sources.taskboard import Taskboard
from exporter.sources.valkey import Valkey, ValkeySnapshot
from exporter.sources.vllm import Vllm
from exporter.web.api.table import csv_table

_BUDGET = 9.5
"""Seconds a request may wait for the backends; Prometheus's default scrape timeout less half a second."""


COST_COLUMNS = ("day", "model", "invocations", "prompt_tokens", "completion_tokens", "cost_usd")


class CostFormat(StrEnum):
    JSON = "json"
    CSV = "csv"


class Figures:
    """A page's samples as (labels, value) rows by metric."""

    def __init__(self, page: str) -> None:
        self._rows: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self._rows.setdefault(sample.name, []).append((sample.labels, sample.value))

    def rows(self) -> Iterable[tuple[str, list[tuple[Mapping[str, str], float]]]]:
        return self._rows.items()

    def of(self, metric: Metric) -> list[tuple[Mapping[str, str], float]]:
        return self._rows.get(metric.name, [])

    def one(self, metric: Metric) -> float | None:
        rows = self.of(metric)
        return rows[0][1] if rows else None

    def by(self, metric: Metric, label: str) -> dict[str, float]:
        return {labels[label]: value for labels, value in self.of(metric)}


def _source_view(state: State) -> dict[str, Any]:
    return {
        "source": state.source.kind,
        "server": state.source.server or None,
        "up": state.up,
        "reason": state.reason,
        "message": state.message or None,
        "duration_seconds": state.duration if state.up is not None else None,
        "series": state.series if state.up else None,
        "last_success": timestamp(state.last_success),
    }


def _running_job(job: Job) -> dict[str, Any]:
    """A job of the Ray executor's in the shape of a RayJob; it has no namespace and no agent."""
    return {
        "namespace": None,
        "name": job.name or job.id,
        "status": job.status or "RUNNING",
        "deployment_status": None,
        "started": timestamp(job.started),
        "ended": None,
        "agent": None,
        "task": job.task or None,
        "role": job.role,
        "story": None,
    }


def router(scraper: Scraper) -> APIRouter:
    """Routes for the backends that are configured; one that is not answers 404 and says how it would be."""
    routes = APIRouter(tags=["backends"])

    def on(kind: type[AnySource], hint: str) -> AnySource:
        for source in scraper.sources:
            if isinstance(source, kind):
                return source
        raise HTTPException(404, f"no {kind.kind} is configured: {hint}")

    async def current(source: AnySource) -> list[Any]:
        """The source's snapshots, collected with scrapes that run at the same time; 502 if all its targets fail."""
        try:
            return await scraper.snapshots(source.kind, _BUDGET)
        except SourceError as error:
            raise HTTPException(502, str(error)) from None

    async def figures(source: AnySource) -> Figures:
        samples = await scraper.read(_BUDGET)
        states = [state for state in scraper.states if state.source.kind == source.kind]
        failed = [state for state in states if state.up is False]
        if failed and len(failed) == len(states):
            raise HTTPException(502, failed[0].message)
        declared = frozenset(source.metrics)
        page = rendered(grouped(sample for sample in samples if sample.metric in declared), Format.TEXT)
        return Figures(page.decode())

    @routes.get("/api/sources", summary="What is read, and whether it could be at the last scrape")
    async def all_sources() -> list[dict[str, Any]]:
        return [_source_view(state) for state in scraper.states]

    @routes.get("/api/ray/jobs", summary="RayJobs, and what the Ray executor runs, with agent, task, role and story")
    async def ray_jobs() -> list[dict[str, Any]]:
        executor = next((source for source in scraper.sources if isinstance(source, Services)), None)
        running = [_running_job(job) for job in executor.jobs] if executor is not None else []
        if running and not any(isinstance(source, Rayjob) for source in scraper.sources):
            return running
        source = on(Rayjob, "--rayjob.kubeconfig or --rayjob.in-cluster")
        assert isinstance(source, Rayjob)
        try:
            return [*source.jobs(), *running]
        except SourceError as error:
            raise HTTPException(502, str(error)) from None

    @routes.get("/api/ray/jobs/{namespace}/{name}", summary="One RayJob and its last 20 log lines")
    async def ray_job(namespace: str, name: str) -> dict[str, Any]:
        source = on(Rayjob, "--rayjob.kubeconfig or --rayjob.in-cluster")
        assert isinstance(source, Rayjob)
        try:
            found = await source.job(namespace, name)
        except SourceError as error:
            raise HTTPException(502, str(error)) from None
        if found is None:
            raise HTTPException(404, f"there is no RayJob {namespace}/{name}")
        return found

    @routes.get("/api/metrics/vllm", summary="vLLM's figures by server and model, histograms as sums and counts")
    async def vllm() -> list[dict[str, Any]]:
        found = await figures(on(Vllm, "--vllm.url or VLLM_URL"))
        return [
            {"name": name, "labels": dict(labels), "value": value}
            for name, rows in found.rows()
            if not name.endswith("_bucket")
            for labels, value in rows
        ]

    @routes.get("/api/graph/nodes", summary="Neo4j's counts of nodes, relationships, labels, types and patterns")
    async def graph() -> dict[str, Any]:
        found = await figures(on(Neo4j, "--neo4j.uri or NEO4J_URI"))
        patterns = [
            {name: labels[name] for name in ("start", "type", "end")} | {"relationships": value}
            for labels, value in found.of(counts.PATTERN_RELATIONSHIPS)
        ]
        return {
            "nodes": found.one(counts.NODES),
            "relationships": found.one(counts.RELATIONSHIPS),
            "labels": found.by(counts.LABEL_NODES, "label"),
            "types": found.by(counts.TYPE_RELATIONSHIPS, "type"),
            "patterns": patterns,
            "last_change": timestamp(found.one(counts.LAST_CHANGE)),
        }

    @routes.get("/api/cache/keys", summary="Groups of ValKey's keys, where the option for it is set")
    async def cache_keys() -> list[dict[str, Any]]:
        source = on(Valkey, "--valkey.url or REDIS_URL")
        assert isinstance(source, Valkey)
        if not source.options.key_groups:
            raise HTTPException(404, "keys are not looked at; --valkey.key-groups allows a bounded SCAN at each scrape")
        snapshots: list[ValkeySnapshot] = await current(source)
        return [
            {
                "server": snapshot.server,
                "group": name,
                "keys": group.keys,
                "expiring_ratio": group.expiring_ratio,
                "mean_ttl_seconds": group.mean_ttl_seconds,
                "every_key_seen": snapshot.key_groups.complete,
            }
            for snapshot in snapshots
            if snapshot.key_groups is not None
            for name, group in snapshot.key_groups.groups.items()
        ]

    @routes.get("/api/costs", summary="Cost, tokens and invocations by day and model, the newest day first")
    async def costs(
        days: Annotated[int, Query(ge=1, le=400)] = 30, format: Annotated[CostFormat, Query()] = CostFormat.JSON
    ) -> Response:
        source = on(Costs, "--costs.database")
        assert isinstance(source, Costs)
        try:
            rows = source.by_day(days)
        except SourceError as error:
            raise HTTPException(502, str(error)) from None
        if format is CostFormat.JSON:
            return JSONResponse(rows)
        return Response(csv_table(COST_COLUMNS, rows), media_type="text/csv; charset=utf-8")

    @routes.get("/api/tasks", summary="The task board: its columns as the folders have them")
    async def board_tasks() -> dict[str, Any]:
        return board().columns()

    @routes.get("/api/stats", summary="The task board in numbers")
    async def stats() -> dict[str, Any]:
        return board().stats()

    def board() -> Taskboard:
        source = on(Taskboard, "--taskboard.root")
        assert isinstance(source, Taskboard)
        return source

    @routes.get("/api/monitoring/dashboard", summary="The agent broker's dashboard")
    async def monitoring() -> dict[str, Any]:
        source = on(Broker, "--broker.database")
        assert isinstance(source, Broker)
        try:
            return await source.dashboard()
        except SourceError as error:
            raise HTTPException(502, str(error)) from None

    @routes.get("/api/monitoring/agents/{agent}", summary="One of the broker's agents: figures, events, errors")
    async def monitored(agent: str, hours: Annotated[float, Query(gt=0, le=168)] = 1.0) -> dict[str, Any]:
        source = on(Broker, "--broker.database")
        assert isinstance(source, Broker)
        try:
            found = await source.agent(agent, hours)
        except SourceError as error:
            raise HTTPException(502, str(error)) from None
        if found is None:
            raise HTTPException(404, f"the broker knows no agent {agent}")
        return found

    return routes
