"""The command `fleet-exporter`: serve (default), collect NAME, metrics, schema."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from exporter import __version__, log, program
from exporter.settings import Settings, SettingsError, add_flags, load, source_types
from exporter.source import Source, SourceError

_DESCRIPTION = "Prometheus exporter for a fleet of LLM agents: NATS JetStream, RayJobs, vLLM, Neo4j and ValKey."
_EPILOG = "Every option is also a key of the configuration file (web.listen_address) and the variable named in brackets."


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    add_flags(options)
    parser = argparse.ArgumentParser(
        "fleet-exporter", description=_DESCRIPTION, epilog=_EPILOG, parents=[options], allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"fleet-exporter {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, parents=[options], allow_abbrev=False)

    command("serve", "serve /metrics; what happens without a command")
    collect = command("collect", "read one source now and print its part of the page")
    collect.add_argument("name", choices=[kind.kind for kind in source_types()])
    command("metrics", "print the reference of all metrics (Markdown)")
    command("schema", "print the JSON Schema of the configuration file")
    return parser


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not offered for every platform
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


def _serve(settings: Settings) -> int:
    from exporter.roster import introduce
    from exporter.scrape import Scraper
    from exporter.web import StartError, serve
    from exporter.web_config import WebConfigError

    log.configure(settings.log)
    program.tune_garbage_collection()
    sources = settings.sources
    introduce(sources)
    try:
        _run(serve(Scraper(sources), settings.web))
    except (StartError, WebConfigError) as error:
        print(f"fleet-exporter: {error}", file=sys.stderr)
        return 2
    return 0


def _collect(source: Source) -> int:
    from exporter.exposition import Format, grouped, rendered
    from exporter.scrape import read_once

    if not source.enabled:
        print(f"fleet-exporter: {source.kind} has no address; see `fleet-exporter --help`", file=sys.stderr)
        return 1

    async def read() -> None:
        sys.stdout.write(rendered(grouped(await read_once(source)), Format.TEXT).decode())

    try:
        _run(read())
    except SourceError as error:
        print(f"fleet-exporter: {source.kind}: {error.reason}: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a source failed, 2 the configuration is wrong."""
    given = vars(_parser().parse_args(arguments))
    try:
        settings = load(given, os.environ)
    except SettingsError as error:
        for mistake in error.mistakes:
            print(f"fleet-exporter: {mistake}", file=sys.stderr)
        return 2
    match given["command"]:
        case "collect":
            return _collect(getattr(settings, given["name"]))
        case "metrics":
            from exporter.reference import metrics_markdown

            print(metrics_markdown())
        case "schema":
            from exporter.reference import configuration_schema

            print(json.dumps(configuration_schema(), indent=2))
        case _:
            return _serve(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
