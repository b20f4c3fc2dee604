"""Loki, one binary built with Go: it accepts pushes immediately, and queries about ten seconds after its start.

The first build takes four minutes and leaves one binary (130 MB). A running one takes 130 MiB.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from servers import go
from servers.cache import Progress, cached, silent
from servers.process import Server, answers, free_port, listening, process, temporary_folder

_BUILD = Path(__file__).parent / "loki_build"
_MODULE = "github.com/grafana/loki/v3"


class Loki(Server):
    """A running Loki."""

    def answers_queries(self) -> bool:
        """Whether it has joined its own ring: pushes are accepted before that, queries are not."""
        return answers(f"{self.url}/ready")


def prepare(progress: Progress = silent) -> Path:
    """The binary: the PATH's, or one built here. Raises ServerMissing."""
    if found := shutil.which("loki"):
        return Path(found)
    version = re.search(rf"{re.escape(_MODULE)} (v[\d.]+)", (_BUILD / "go.mod").read_text())
    assert version is not None

    def build(folder: Path) -> None:
        stamp = f"-X {_MODULE}/pkg/util/build.Version={version[1]}"
        go.build(_BUILD, [f"{_MODULE}/cmd/loki"], folder, ldflags=stamp, progress=progress)

    return cached(f"loki-{version[1]}", build, progress) / "loki"


def _configuration(folder: Path, address: str, http: int, grpc: int, limits: Mapping[str, Any]) -> dict[str, Any]:
    local = "127.0.0.1"
    period = {"from": "2024-01-01", "store": "tsdb", "object_store": "filesystem", "schema": "v13"}
    return {
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        "server": {
            "http_listen_address": address,
            "http_listen_port": http,
            "grpc_listen_address": local,
            "grpc_listen_port": grpc,
            "log_level": "warn",
        },
        "common": {
            "instance_addr": local,
            "path_prefix": str(folder / "data"),
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {
                "filesystem": {"chunks_directory": str(folder / "chunks"), "rules_directory": str(folder / "rules")}
            },
        },
        "schema_config": {"configs": [period | {"index": {"prefix": "index_", "period": "24h"}}]},
        "limits_config": {
            "allow_structured_metadata": True,
            "reject_old_samples": False,
            **limits,
        },
        # Entries with old times are found at once: they stay in memory, and queries look for them there.
        "ingester": {"lifecycler": {"min_ready_duration": "0s"}, "max_chunk_age": "24h"},
        "querier": {"query_ingesters_within": "0s"},
    }


@contextlib.contextmanager
def start(
    *, port: int | None = None, address: str = "127.0.0.1", limits: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[Loki]:
    """A Loki on a free port with its data in a folder that is deleted when it stops.

    It is returned as soon as it accepts pushes; `answers_queries` is true when it also answers queries.
    """
    binary = prepare()
    port, grpc = free_port(port), free_port()
    with temporary_folder("loki") as folder:
        file = folder / "loki.yml"
        file.write_text(json.dumps(_configuration(folder, address, port, grpc, limits)))  # JSON is YAML
        command: list[str | Path] = [binary, f"-config.file={file}"]
        with process(command, name="loki", folder=folder, ready=lambda: listening(port, address)) as running:
            yield Loki(url=f"http://{address}:{port}", port=port, process=running)
