"""Commands that read the configuration: serve, collect, health. Each returns its exit code."""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from exporter import __version__
from exporter.errors import SourceError

if TYPE_CHECKING:
    from exporter.metrics.metric import Sample
    from exporter.metrics.profile import Profile
    from exporter.settings import Settings

log = logging.getLogger("exporter")


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not available on every platform
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


def _exit(*_: object) -> None:
    raise SystemExit(0)


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; 2 if the exporter cannot listen."""
    from exporter.config.log import configure
    from exporter.fleet.registry import connect_registries
    from exporter.metrics import process
    from exporter.scrape import Scraper
    from exporter.web.server import StartError, serve
    from exporter.web.web_config import WebConfigError

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # changed files are reloaded without a signal
    signal.signal(signal.SIGTERM, _exit)  # until the server installs its own handlers
    configure(settings.log)
    process.tune_garbage_collection()
    sources, shard = settings.sources, settings.part
    connect_registries(sources)
    names = ", ".join(source.kind for source in sources)
    part = {"shard": str(shard)} if shard.count > 1 else {}
    started = {"version": __version__, "python": platform.python_version(), "sources": names or "none", **part}
    log.info("starting fleet-exporter", extra=started)
    if not sources and shard.is_first:
        log.warning("no source is configured; set NATS_URL, REDIS_URL or NEO4J_URI, or see `fleet-exporter --help`")
    try:
        _run(serve(Scraper(sources, shard=shard, kept=_kept(settings.profile)), settings.web))
    except (StartError, WebConfigError) as error:
        print(f"fleet-exporter: {error}", file=sys.stderr)
        return 2
    return 0


def _kept(profile: Profile) -> Callable[[Iterable[Sample]], Iterable[Sample]]:
    """The filter of the samples for a profile."""
    from exporter.metrics.profile import Profile, essential

    return essential().kept if profile is Profile.ESSENTIAL else iter


def collect(name: str, settings: Settings) -> int:
    """Print one source's metrics; 1 with a sentence if it cannot be collected, 2 if it is not configured."""
    from exporter.config.log import configure
    from exporter.config.redaction import redacted
    from exporter.metrics.exposition import ExpositionFormat, grouped, rendered
    from exporter.scrape import read_once

    options = getattr(settings, name)
    source = next((source for source in settings.sources if source.kind == name), None)
    if not options.enabled:
        print(f"fleet-exporter: {name} has no address; see `fleet-exporter options`", file=sys.stderr)
        return 2
    if source is None:
        first = f"0/{settings.part.count}"
        print(f"fleet-exporter: {name} is not sharded; --shard={first} reads it", file=sys.stderr)
        return 2
    found = source
    configure(settings.log)

    async def read() -> None:
        samples = _kept(settings.profile)(await read_once(found))
        sys.stdout.write(rendered(grouped(samples), ExpositionFormat.TEXT).decode())

    try:
        _run(read())
    except SourceError as error:
        print(f"fleet-exporter: {name}: {error.reason}: {redacted(str(error))}", file=sys.stderr)
        return 1
    return 0


def health(settings: Settings) -> int:
    """Ask the exporter at web.listen_address; 1 with a sentence if it does not respond."""
    from exporter.web.health import Unhealthy, check
    from exporter.web.web_config import WebConfigError

    try:
        check(settings.web)
    except (Unhealthy, WebConfigError) as error:
        print(f"fleet-exporter: {error}", file=sys.stderr)
        return 1
    return 0
