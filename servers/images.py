"""Images of real servers under the tags that the Compose file names, where no registry has them: made from the cache.

Each holds the server that the demo and the tests use on the Debian base image, with the entry point, user and folders of
the original. Versions are the cache's, not the tag's. Two differences: Neo4j's HTTP port serves an empty page, because its
embedded database has only Bolt; `wget` is BusyBox's, as in Alpine. Grafana is in no registry in reach and has no image here.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servers import alertmanager, debian, loki, nats, neo4j, prometheus, valkey
from servers.cache import Progress, ServerMissing, silent
from servers.docker import RECIPE, Engine
from servers.process import temporary_folder

_LIBRARIES = "/usr/local/lib/server"
_C_LIBRARY = re.compile(r"(ld-linux|libc|libm|libdl|librt|libpthread|libresolv)[.-]")
_VALKEY_START = """#!/bin/sh
# As built into the original image: who reaches the port may connect.
exec "$@" --protected-mode no
"""
_NEO4J_START = """#!/bin/sh
# Starts the database with the variables of the original image; the HTTP port answers when Bolt does.
set -eu
export NEO4J_PASSWORD="${NEO4J_AUTH#neo4j/}"
java -Xms128m -Xmx512m -XX:-UsePerfData -Djava.io.tmpdir=/tmp -cp '/opt/neo4j/lib/*:/opt/neo4j/launcher' \\
    FleetGraph /data/graph 7687 0.0.0.0 >/tmp/neo4j.log &
server=$!
trap 'kill $server' TERM INT
until grep -qx ready /tmp/neo4j.log; do
    kill -0 $server || { cat /tmp/neo4j.log; exit 1; }
    sleep 0.2
done
mkdir -p /tmp/page && echo > /tmp/page/index.html
busybox httpd -p 7474 -h /tmp/page
wait $server || wait $server
"""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The contents of one image: files by path, and the Dockerfile's lines after FROM."""

    lines: tuple[str, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def _with_libraries(*binaries: Path) -> dict[str, Path]:
    """The shared libraries of binaries, but for the C library, by their place in an image."""
    found: dict[str, Path] = {}
    for binary in binaries:
        env = debian.libraries(binary)
        shown = subprocess.run(["ldd", binary], env=env, capture_output=True, text=True, check=False).stdout
        paths = re.findall(r"=> (/\S+)", shown)
        found |= {f"{_LIBRARIES}/{Path(path).name}": Path(path) for path in paths if not _C_LIBRARY.match(Path(path).name)}
    return found


def _nats(progress: Progress) -> Recipe:
    return Recipe(files={"/usr/local/bin/nats-server": nats.prepare(progress)}, lines=('ENTRYPOINT ["nats-server"]',))


def _valkey(progress: Progress) -> Recipe:
    server = valkey.prepare(progress)
    client = valkey.prepare(progress, engine="redis").with_name("redis-cli")
    files = {"/usr/local/bin/valkey-server": server, "/usr/local/bin/valkey-cli": client}
    start = ('ENTRYPOINT ["sh", "/usr/local/bin/start"]', 'CMD ["valkey-server"]')
    lines = (f"ENV LD_LIBRARY_PATH={_LIBRARIES}", "WORKDIR /data", *start)
    texts = {"/usr/local/bin/start": _VALKEY_START}
    return Recipe(files=files | _with_libraries(server, client), texts=texts, lines=lines)


def _neo4j(progress: Progress) -> Recipe:
    jars, launcher = neo4j.prepare(progress)
    files = {"/opt/java": neo4j.runtime(progress), "/opt/neo4j/lib": jars, "/opt/neo4j/launcher": launcher}
    lines = ("ENV PATH=/opt/java/bin:$PATH", "VOLUME /data", 'ENTRYPOINT ["sh", "/opt/neo4j/start"]')
    return Recipe(files=files, texts={"/opt/neo4j/start": _NEO4J_START}, lines=lines)


def _loki(progress: Progress) -> Recipe:
    lines = ("RUN install -d -o 10001 -g 10001 /loki", "USER 10001", 'ENTRYPOINT ["loki"]')
    return Recipe(files={"/usr/local/bin/loki": loki.prepare(progress)}, lines=lines)


def _prometheus(progress: Progress) -> Recipe:
    binary = prometheus.prepare(progress) / "prometheus"
    files = {"/usr/local/bin/prometheus": binary}
    if (pages := binary.parents[1] / "share/prometheus").is_dir():
        files["/usr/share/prometheus"] = pages
    place = ("RUN install -d -o nobody -g nogroup /prometheus", "USER nobody", "WORKDIR /prometheus")
    lines = (f"ENV LD_LIBRARY_PATH={_LIBRARIES}", *place, 'ENTRYPOINT ["prometheus"]')
    return Recipe(files=files | _with_libraries(binary), lines=lines)


def _alertmanager(progress: Progress) -> Recipe:
    place = ("RUN install -d -o nobody -g nogroup /alertmanager", "USER nobody", "WORKDIR /alertmanager")
    binary = alertmanager.prepare(progress) / "alertmanager"
    return Recipe(files={"/usr/local/bin/alertmanager": binary}, lines=(*place, 'ENTRYPOINT ["alertmanager"]'))


_RECIPES: dict[str, Callable[[Progress], Recipe]] = {
    "nats": _nats,
    "valkey/valkey": _valkey,
    "neo4j": _neo4j,
    "grafana/loki": _loki,
    "prom/prometheus": _prometheus,
    "prom/alertmanager": _alertmanager,
}


def provide(engine: Engine, tag: str, base: str, progress: Progress = silent) -> None:
    """Put a server under that tag, on the image `base`, unless the original is there or can be pulled.

    Raises ServerMissing for a server that is not available here, and DockerFailed.
    """
    if engine.made_from(tag) == "" or (not engine.has(tag) and engine.pull(tag)):
        return
    name = tag.partition(":")[0]
    if name not in _RECIPES:
        raise ServerMissing(f"{tag} cannot be pulled, and no registry in reach has what it holds")
    recipe = _RECIPES[name](progress)
    files = {"/usr/local/bin/busybox": debian.unpacked("busybox-static", progress) / "bin/busybox", **recipe.files}
    copies = [f"COPY {place.lstrip('/')} {place}" for place in (*files, *recipe.texts)]
    lines = [f"FROM {base}", *copies, "RUN ln -s busybox /usr/local/bin/wget", *recipe.lines]
    made_of = [*lines, *map(str, files.values()), *recipe.texts.values()]
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:12]
    if engine.made_from(tag) == digest:
        return
    progress(f"making an image of {name}")
    with temporary_folder("image") as folder:
        for place, source in files.items():
            target = folder / place.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy(source, target)
        for place, text in recipe.texts.items():
            (folder / place.lstrip("/")).write_text(text)
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        engine.docker("build", "-q", "--label", f"{RECIPE}={digest}", "-t", tag, folder)
