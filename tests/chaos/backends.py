"""The backends of a run: how each is started, and how the exporter finds it behind its proxy."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers import kubernetes, loki, nats, neo4j, valkey
from tests.sources.vllm_pages import CURRENT, serving


@dataclass(frozen=True)
class Backend:
    """A running server: its URL, the exporter's variables by the address of the proxy, and the sources that read it."""

    url: str
    variables: Callable[[str], Mapping[str, str]]
    sources: frozenset[str]


@contextmanager
def _valkey() -> Iterator[Backend]:
    with valkey.start() as server:
        yield Backend(server.url, lambda address: {"REDIS_URL": f"redis://{address}"}, frozenset({"valkey"}))


@contextmanager
def _nats() -> Iterator[Backend]:
    with nats.start() as server:
        yield Backend(server.url, lambda address: {"NATS_URL": f"nats://{address}"}, frozenset({"jetstream", "fleet"}))


@contextmanager
def _neo4j() -> Iterator[Backend]:
    with neo4j.start() as server:

        def variables(address: str) -> dict[str, str]:
            return {"NEO4J_URI": f"bolt://{address}", "NEO4J_USER": server.user, "NEO4J_PASSWORD": server.password}

        yield Backend(server.url, variables, frozenset({"neo4j"}))


@contextmanager
def _loki() -> Iterator[Backend]:
    with loki.start() as server:
        # It also needs NATS, so it may be down although Loki responds.
        yield Backend(server.url, lambda address: {"LOKI_URL": f"http://{address}"}, frozenset())


@contextmanager
def _vllm() -> Iterator[Backend]:
    with serving(CURRENT.encode()) as url:
        yield Backend(url, lambda address: {"VLLM_URL": f"http://{address}"}, frozenset({"vllm"}))


@contextmanager
def _kubernetes() -> Iterator[Backend]:
    with kubernetes.start() as server, tempfile.TemporaryDirectory() as folder:
        server.apply_ray_crds()

        def variables(address: str) -> dict[str, str]:
            behind = dataclasses.replace(server, url=f"https://{address}")
            file = behind.write_kubeconfig(server.admin_token, Path(folder, "kubeconfig"))
            return {"FLEET_EXPORTER_RAYJOB_KUBECONFIG": str(file)}

        yield Backend(server.url, variables, frozenset({"rayjob"}))


BACKENDS: Mapping[str, Callable[[], AbstractContextManager[Backend]]] = {
    "kubernetes": _kubernetes,
    "loki": _loki,
    "nats": _nats,
    "neo4j": _neo4j,
    "valkey": _valkey,
    "vllm": _vllm,
}
