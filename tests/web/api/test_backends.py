"""The API's views of vLLM and Neo4j, with the values of the collected snapshots."""

from __future__ import annotations

import httpx
import neo4j

from servers import vllm as vllm_servers
from servers.neo4j import RunningNeo4j
from tests.support.process import exporter


def test_a_graphs_counts_by_database_and_label(neo4j_server: RunningNeo4j) -> None:
    auth = (neo4j_server.user, neo4j_server.password)
    variables = {"NEO4J_URI": neo4j_server.url, "NEO4J_PASSWORD": neo4j_server.password, "NEO4J_DATABASE": "neo4j,archive"}
    with neo4j.GraphDatabase.driver(neo4j_server.url, auth=auth) as driver:
        driver.execute_query("CREATE (:Shelf)-[:HOLDS]->(:Book), (:Shelf)")
        with exporter("--neo4j.timeout=60", variables=variables) as running:
            url = f"{running.url}/api/graph/nodes"
            found = httpx.get(url, params={"label": "Shelf"}, timeout=30).json()
            down = httpx.get(url, params={"database": "archive"}, timeout=30)
            absent = httpx.get(url, params={"database": "other"}, timeout=30)
        driver.execute_query("MATCH (n:Shelf|Book) DETACH DELETE n")

    assert (found["database"], found["labels"]) == ("neo4j", {"Shelf": 2})
    assert found["types"]["HOLDS"] == 1
    assert found["patterns"] == [{"start": "Shelf", "type": "HOLDS", "end": "Book", "relationships": 1}]
    assert (down.status_code, down.json()["detail"]) == (502, "database archive is down; GET /api/sources has the reason")
    assert absent.status_code == 404


def test_vllm_engines_with_totals_and_means() -> None:
    with vllm_servers.start() as engine:
        engine.generate(30, 10, 2.0)
        with exporter(variables={"VLLM_URL": engine.url}) as running:
            [found] = httpx.get(f"{running.url}/api/metrics/vllm", params={"model": vllm_servers.MODEL}).json()

    assert (found["model"], found["engine"], found["replica"]) == (vllm_servers.MODEL, "0", "")
    assert found["vllm_prompt_tokens_total"] == 30
    assert found["vllm_prompt_tokens_by_source_total"]["local_cache_hit"] == 10
    assert found["vllm_request_duration_seconds"] == {"count": 1, "sum": 2, "mean": 2}
