"""The command `fleet-exporter`: serve (default), collect NAME, dashboards, rules, health, metrics, options, schema."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn

from exporter import __version__, assets
from exporter.config import log
from exporter.errors import SourceError
from exporter.metrics import process
from exporter.settings import Settings, SettingsError, add_flags, load, options, source_types
from exporter.urls import EXPORTER_URL, GRAFANA_URL, RUNBOOK_URL

_DESCRIPTION = "Prometheus exporter for a fleet of LLM agents: NATS JetStream, RayJobs, vLLM, Neo4j and ValKey."
_RULE_FORMATS = ("rules", "prometheusrule")
_EPILOG = "Every option is also a key of the configuration file (web.listen_address) and the variable named in brackets."


_COMMANDS = {
    "serve": "serve /metrics; what happens without a command",
    "collect": "read one source now and print its part of the page",
    "dashboards": "write Grafana's dashboards as JSON files, one for each",
    "rules": "print or write the rules for Prometheus",
    "health": "ask whether the exporter answers at web.listen_address; exit code 1 and a sentence when not",
    "metrics": "print the reference of all metrics (Markdown)",
    "options": "print the reference of all options (Markdown)",
    "schema": "print the JSON Schema of the configuration file",
}


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one sentence: the usage has a line for each of two hundred options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fleet-exporter: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    flags = _Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    add_flags(flags)
    parser = _Parser("fleet-exporter", description=_DESCRIPTION, epilog=_EPILOG, parents=[flags], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fleet-exporter {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=_COMMANDS[name], parents=[flags], allow_abbrev=False)

    command("serve")
    collect = command("collect")
    collect.add_argument("name", choices=[kind.kind for kind in source_types()])
    boards = command("dashboards")
    boards.add_argument("--out", metavar="DIR", required=True, help="Folder to write into; made where there is none.")
    boards.add_argument("--without-loki", action="store_true", default=False, help="Leave out the panels that ask Loki.")
    boards.add_argument(
        "--exporter-url", metavar="URL", default=EXPORTER_URL, help=f"The exporter, for a browser. Default: {EXPORTER_URL}."
    )
    rules = command("rules")
    rules.add_argument("--out", metavar="FILE", default="-", help="File to write; - prints it. Default: -.")
    rules.add_argument("--format", choices=_RULE_FORMATS, default="rules", help="Rule file, or Kubernetes resource.")
    rules.add_argument("--grafana-url", metavar="URL", default=GRAFANA_URL, help=f"Grafana. Default: {GRAFANA_URL}.")
    rules.add_argument("--runbook-url", metavar="URL", default=RUNBOOK_URL, help=f"Runbooks. Default: {RUNBOOK_URL}.")
    command("health")
    command("metrics")
    command("options")
    command("schema")
    return parser


def _words(arguments: Sequence[str]) -> list[str]:
    """The command line with a value for each switch before a command, which would be taken for the switch's value."""
    switches = {option.flag for option in options() if option.field.annotation is bool}
    return [
        f"{word}=true" if word in switches and following in _COMMANDS else word
        for word, following in itertools.pairwise((*arguments, ""))
    ]


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not offered for every platform
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


def _serve(settings: Settings) -> int:
    from exporter.fleet.registry import introduce
    from exporter.scrape import Scraper
    from exporter.web.server import StartError, serve
    from exporter.web.web_config import WebConfigError

    log.configure(settings.log)
    process.tune_garbage_collection()
    sources, shard = settings.sources, settings.part
    introduce(sources)
    if shard.count > 1:
        kinds = ", ".join(source.kind for source in sources)
        logging.getLogger("exporter").info("one of several shards", extra={"shard": str(shard), "sources": kinds})
    try:
        _run(serve(Scraper(sources, shard=shard), settings.web))
    except (StartError, WebConfigError) as error:
        print(f"fleet-exporter: {error}", file=sys.stderr)
        return 2
    return 0


def _collect(kind: str, settings: Settings) -> int:
    from exporter.metrics.exposition import Format, grouped, rendered
    from exporter.scrape import read_once

    if not getattr(settings, kind).enabled:
        print(f"fleet-exporter: {kind} has no address; see `fleet-exporter --help`", file=sys.stderr)
        return 1
    source = next((source for source in settings.sources if source.kind == kind), None)
    if source is None:
        first = f"0/{settings.part.count}"
        print(f"fleet-exporter: {kind} is not divided among shards; --shard={first} reads it", file=sys.stderr)
        return 1

    async def read() -> None:
        sys.stdout.write(rendered(grouped(await read_once(source)), Format.TEXT).decode())

    try:
        _run(read())
    except SourceError as error:
        print(f"fleet-exporter: {source.kind}: {error.reason}: {error}", file=sys.stderr)
        return 1
    return 0


def _write_dashboards(out: Path, *, loki: bool, exporter_url: str) -> None:
    written = assets.dashboards(loki=loki, exporter_url=exporter_url)
    for name, text in written.items():
        assets.write(out / name, text)
    print(f"{len(written)} dashboards written to {out}", file=sys.stderr)


def _write_rules(out: str, form: str, *, grafana_url: str, runbook_url: str) -> None:
    text = assets.rules(grafana_url=grafana_url, runbook_url=runbook_url)
    text = text if form == "rules" else assets.prometheus_rule(text)
    if out == "-":
        sys.stdout.write(text)
    else:
        assets.write(Path(out), text)


def _write_bundled(given: dict[str, Any]) -> int:
    try:
        if given["command"] == "dashboards":
            _write_dashboards(Path(given["out"]), loki=not given["without_loki"], exporter_url=given["exporter_url"])
        else:
            links = {name: given[name] for name in ("grafana_url", "runbook_url")}
            _write_rules(given["out"], given["format"], **links)
    except assets.BundleError as error:
        print(f"fleet-exporter: {error}", file=sys.stderr)
        return 1
    return 0


def _health(settings: Settings) -> int:
    from exporter.web.health import Unhealthy, check
    from exporter.web.web_config import WebConfigError

    try:
        check(settings.web)
    except (Unhealthy, WebConfigError) as error:
        print(f"fleet-exporter: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a source failed, 2 the configuration is wrong."""
    given = vars(_parser().parse_args(_words(sys.argv[1:] if arguments is None else arguments)))
    try:
        settings = load(given, os.environ)
    except SettingsError as error:
        for mistake in error.mistakes:
            print(f"fleet-exporter: {mistake}", file=sys.stderr)
        return 2
    match given["command"]:
        case "collect":
            return _collect(given["name"], settings)
        case "dashboards" | "rules":
            return _write_bundled(given)
        case "health":
            return _health(settings)
        case "metrics":
            from exporter.reference import metrics_markdown

            print(metrics_markdown())
        case "options":
            from exporter.reference import options_markdown

            print(options_markdown())
        case "schema":
            from exporter.reference import configuration_schema

            print(json.dumps(configuration_schema(), indent=2))
        case _:
            return _serve(settings)
    return 0
