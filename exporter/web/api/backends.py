"""/api/sources, /api/ray/jobs, /api/metrics/vllm, /api/graph/nodes, /api/cache/keys and more: the backends as JSON.

Collections are shared with scrapes in progress.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field
from starlette.responses import JSONResponse, Response

from exporter.events.values import role_of
from exporter.metrics.timestamps import rfc3339
from exporter.scrape import Scraper
from exporter.scrape.state import TargetState
from exporter.source import Source
from exporter.sources.broker import Broker
from exporter.sources.costs import Costs
from exporter.sources.costs.ledger import CostsSnapshot
from exporter.sources.neo4j import Neo4j, Neo4jSnapshot
from exporter.sources.rayjob import Rayjob, RayjobSnapshot, job_view
from exporter.sources.rayjob.jobs import DEPLOYMENT_STATES, JOB_STATES
from exporter.sources.services import Services, ServicesSnapshot
from exporter.sources.services.probe import Job
from exporter.sources.taskboard import Taskboard
from exporter.sources.taskboard.samples import BoardSnapshot, columns_view, stats_view
from exporter.sources.valkey import Valkey, ValkeySnapshot
from exporter.sources.vllm import Vllm
from exporter.sources.vllm.engines import engines
from exporter.sources.vllm.page import VllmSnapshot
from exporter.web.api.parameters import Limit, NoParameters, OneOf, Parameters, Role, Text, rows
from exporter.web.api.problems import documented
from exporter.web.api.table import csv_table

_BUDGET = 9.5
"""Timeout of backend requests in seconds: Prometheus' default scrape timeout minus 0.5."""


COST_COLUMNS = ("day", "model", "invocations", "prompt_tokens", "completion_tokens", "cost_usd")


class CostFormat(StrEnum):
    JSON = "json"
    CSV = "csv"


class SourcesQuery(Parameters):
    source: Text | None = Field(None, description="Source (valkey, jetstream, …).")
    server: Text | None = Field(None, description="Server, as host:port.")
    up: bool | None = Field(None, description="Whether the last collection succeeded.")


class RayJobsQuery(Parameters):
    namespace: Text | None = Field(None, description="Namespace.")
    status: Annotated[str, OneOf(JOB_STATES)] | None = Field(None, description="State of the Ray job, in any case.")
    deployment_status: Annotated[str, OneOf(DEPLOYMENT_STATES)] | None = Field(
        None, description="State of the RayJob resource, in any case."
    )
    role: Role | None = None
    agent: Text | None = Field(None, description="Agent id.")
    story: Text | None = Field(None, description="Story id.")
    limit: Limit = None


class VllmQuery(Parameters):
    server: Text | None = Field(None, description="Server, as host:port.")
    model: Text | None = Field(None, description="Model name.")


class GraphQuery(Parameters):
    database: Text | None = Field(None, description="Database; default: the first one of neo4j.databases.")
    label: Text | None = Field(None, description="Node label; selects the patterns that start or end at it.")


class KeysQuery(Parameters):
    server: Text | None = Field(None, description="Server, as host:port.")
    group: Text | None = Field(None, description="Key group.")
    limit: Limit = None


class CostsQuery(Parameters):
    days: int = Field(30, ge=1, le=400, description="Number of days, today included.")
    model: Text | None = Field(None, description="Model name.")
    format: CostFormat = Field(CostFormat.JSON, description="json or csv.")


class HoursQuery(Parameters):
    hours: float = Field(1.0, gt=0, le=168, description="Hours to look back.")


def _source_view(state: TargetState) -> dict[str, Any]:
    return {
        "source": state.source.kind,
        "server": state.source.server or None,
        "location": state.source.location or None,
        "up": state.up,
        "reason": state.reason,
        "message": state.message or None,
        "duration_seconds": state.duration if state.up is not None else None,
        "series": state.series if state.up else None,
        "last_success": rfc3339(state.last_success),
    }


def _running_job(job: Job) -> dict[str, Any]:
    """A job of the Ray executor in the shape of a RayJob; it has no namespace and no agent."""
    return {
        "namespace": None,
        "name": job.name or job.id,
        "status": job.status or "RUNNING",
        "deployment_status": None,
        "started": rfc3339(job.started),
        "ended": None,
        "agent": None,
        "task": job.task or None,
        "role": job.role,
        "story": None,
    }


def router(scraper: Scraper) -> APIRouter:  # noqa: C901, PLR0915 - the sum of small handlers
    """Routes for the backends; 404 with the option to set if a backend is not configured."""
    routes = APIRouter(tags=["backends"])

    def on(kind: type[Source], hint: str) -> Source:
        for source in scraper.sources:
            if isinstance(source, kind):
                return source
        raise HTTPException(404, f"{kind.kind} is not configured; set {hint}")

    async def current(source: Source) -> list[Any]:
        """The source's snapshots, collected together with concurrent scrapes; 502 if all its targets fail."""
        return await scraper.snapshots(source.kind, _BUDGET)

    @routes.get("/api/sources", summary="Sources with the result of their last collection", responses=documented())
    async def all_sources(query: Annotated[SourcesQuery, Query()]) -> list[dict[str, Any]]:
        return rows(
            [_source_view(state) for state in scraper.states],
            {"source": query.source, "server": query.server, "up": query.up},
        )

    @routes.get(
        "/api/ray/jobs",
        summary="RayJobs and jobs of the Ray executor, with agent, task, role and story",
        responses=documented(404, 502),
    )
    async def ray_jobs(query: Annotated[RayJobsQuery, Query()]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for executor in (source for source in scraper.sources if isinstance(source, Services)):
            checks: list[ServicesSnapshot] = await current(executor)
            found += [_running_job(job) for one in checks for job in one.jobs]
        if not found or any(isinstance(source, Rayjob) for source in scraper.sources):
            source = on(Rayjob, "--rayjob.kubeconfig or --rayjob.in-cluster")
            snapshots: list[RayjobSnapshot] = await current(source)
            found = [*(job_view(*job) for one in snapshots for job in one.jobs.items()), *found]
        wanted = query.model_dump(exclude={"limit"}) | {"role": role_of(query.role)}
        return rows(found, wanted, query.limit)

    @routes.get(
        "/api/ray/jobs/{namespace}/{name}", summary="One RayJob and its last 20 log lines", responses=documented(404, 502)
    )
    async def ray_job(namespace: str, name: str, _: NoParameters) -> dict[str, Any]:
        source = on(Rayjob, "--rayjob.kubeconfig or --rayjob.in-cluster")
        assert isinstance(source, Rayjob)
        found = await source.job(namespace, name)
        if found is None:
            raise HTTPException(404, f"RayJob {namespace}/{name} not found")
        return found

    @routes.get(
        "/api/metrics/vllm",
        summary="vLLM engines by server and model: gauges, totals, and count, sum and mean of histograms",
        responses=documented(404, 502),
    )
    async def vllm(query: Annotated[VllmQuery, Query()]) -> list[dict[str, Any]]:
        snapshots = await current(on(Vllm, "--vllm.url or VLLM_URL"))
        found = [row for one in snapshots if isinstance(one, VllmSnapshot) for row in engines(one)]
        return rows(found, {"server": query.server, "model": query.model})

    @routes.get(
        "/api/graph/nodes",
        summary="Neo4j's counts of nodes, relationships, labels, types and patterns",
        responses=documented(404, 502),
    )
    async def graph(query: Annotated[GraphQuery, Query()]) -> dict[str, Any]:
        source = on(Neo4j, "--neo4j.uri or NEO4J_URI")
        assert isinstance(source, Neo4j)
        if query.database is not None and query.database not in source.options.databases:
            raise HTTPException(404, f"database {query.database} is not among the collected ones; set --neo4j.databases")
        snapshots: list[Neo4jSnapshot] = await current(source)
        found = next((one for one in snapshots if query.database in (None, one.database)), None)
        if found is None:
            raise HTTPException(502, f"database {query.database} is down; GET /api/sources has the reason")
        labels = {name: count for name, count in found.counts.labels.items() if query.label in (None, name)}
        return {
            "database": found.database,
            "nodes": found.counts.nodes,
            "relationships": found.counts.relationships,
            "labels": labels,
            "types": found.counts.types,
            "patterns": [
                {"start": start, "type": name, "end": end, "relationships": count}
                for (start, name, end), count in found.counts.patterns.items()
                if query.label in (None, start, end)
            ],
            "last_change": rfc3339(found.last_change),
        }

    @routes.get("/api/cache/keys", summary="ValKey's key groups (--valkey.key-groups)", responses=documented(404, 502))
    async def cache_keys(query: Annotated[KeysQuery, Query()]) -> list[dict[str, Any]]:
        source = on(Valkey, "--valkey.url or REDIS_URL")
        assert isinstance(source, Valkey)
        if not source.options.key_groups:
            raise HTTPException(404, "keys are not read; --valkey.key-groups allows a bounded SCAN at each scrape")
        snapshots: list[ValkeySnapshot] = await current(source)
        groups = [
            {
                "server": snapshot.server,
                "group": name,
                "keys": group.keys,
                "expiring_ratio": group.expiring_ratio if snapshot.key_groups.with_ttl else None,
                "mean_ttl_seconds": group.mean_ttl_seconds,
                "every_key_seen": snapshot.key_groups.complete,
            }
            for snapshot in snapshots
            if snapshot.key_groups is not None
            for name, group in snapshot.key_groups.groups.items()
        ]
        return rows(groups, {"server": query.server, "group": query.group}, query.limit)

    @routes.get(
        "/api/costs",
        summary="Cost, tokens and invocations by day and model, newest day first",
        responses=documented(404, 502),
    )
    async def costs(query: Annotated[CostsQuery, Query()]) -> Response:
        snapshots: list[CostsSnapshot] = await current(on(Costs, "--costs.database"))
        found = rows([row for one in snapshots for row in one.by_day(query.days)], {"model": query.model})
        if query.format is CostFormat.JSON:
            return JSONResponse(found)
        return Response(csv_table(COST_COLUMNS, found), media_type="text/csv; charset=utf-8")

    @routes.get("/api/tasks", summary="The task board by column", responses=documented(404, 502))
    async def board_tasks(_: NoParameters) -> dict[str, Any]:
        return columns_view(await board())

    @routes.get("/api/stats", summary="Counts of the task board", responses=documented(404, 502))
    async def stats(_: NoParameters) -> dict[str, Any]:
        return stats_view(await board())

    async def board() -> BoardSnapshot:
        [snapshot] = await current(on(Taskboard, "--taskboard.root"))
        assert isinstance(snapshot, BoardSnapshot)
        return snapshot

    @routes.get("/api/monitoring/dashboard", summary="The agent broker's dashboard", responses=documented(404, 502))
    async def monitoring(_: NoParameters) -> dict[str, Any]:
        return await broker().dashboard()

    @routes.get(
        "/api/monitoring/agents/{agent:path}",
        summary="One of the broker's agents: measurements, events, errors",
        responses=documented(404, 502),
    )
    async def monitored(agent: str, query: Annotated[HoursQuery, Query()]) -> dict[str, Any]:
        found = await broker().agent(agent, query.hours)
        if found is None:
            raise HTTPException(404, f"agent {agent} not found in the broker's database")
        return found

    def broker() -> Broker:
        source = on(Broker, "--broker.database")
        assert isinstance(source, Broker)
        return source

    return routes
