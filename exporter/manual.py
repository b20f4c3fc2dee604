"""`fleet-exporter --help` and the man page, written by `make generate`, so that showing them imports nothing."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from itertools import groupby
from typing import Final

from exporter import __version__
from exporter.cli import COMMANDS
from exporter.settings import CONFIG_FILE, PREFIX, Option, options

COMMON: Final = (
    "web.listen_address", "web.config_file", "log.level", "log.format", "jetstream.url", "jetstream.user",
    "jetstream.credentials_file", "jetstream.expected", "valkey.url", "valkey.key_groups", "neo4j.uri", "neo4j.user",
    "neo4j.databases", "vllm.url", "rayjob.in_cluster", "rayjob.namespaces", "workloads.in_cluster", "services.grpc",
    "loki.url", "shard",
)  # fmt: skip
"""The most common options."""

SECRETS: Final = ("jetstream.password", "jetstream.token", "valkey.password", "neo4j.password", "vllm.token")

PURPOSE: Final = "Prometheus exporter for a fleet of LLM agents: NATS JetStream, RayJobs, vLLM, Neo4j and ValKey."

WIDTH: Final = 100
_FIRST: Final = 30


def _entry(name: str, text: str) -> str:
    lines = textwrap.wrap(text, WIDTH - _FIRST, break_on_hyphens=False)
    if len(name) + 4 > _FIRST:
        lines = ["", *lines]
    head = f"  {name}".ljust(_FIRST) + (lines[0] if lines else "")
    return "\n".join([head.rstrip(), *(" " * _FIRST + line for line in lines[1:])])


def _flag(option: Option) -> str:
    known = f" [{option.well_known_variable}]" if option.well_known_variable else ""
    default = f" Default: {option.default}." if option.default else ""
    return _entry(str(option.flag), f"{option.help}{default}{known}")


def help_text() -> str:
    """At most 80 lines of at most 100 columns. Raises KeyError if a common option no longer exists."""
    named = {option.path: option for option in options()}
    secrets = [named[path] for path in SECRETS]
    return "\n".join(
        [
            "usage: fleet-exporter [COMMAND] [FLAGS]",
            "",
            *textwrap.wrap(
                f"{PURPOSE} A source is enabled if it has an address.",
                WIDTH,
            ),
            "",
            "Commands (`fleet-exporter COMMAND --help` shows the flags of one):",
            *(_entry(name, text) for name, text in COMMANDS.items()),
            "",
            "Common options (in brackets: the environment variable):",
            _entry(f"--{CONFIG_FILE} FILE", "YAML file with these options as keys."),
            *(_flag(named[path]) for path in COMMON),
            "",
            "Secrets have no flag because process lists show flags; use a variable or a key of the file:",
            *(_entry(option.well_known_variable or option.variable, f"{option.path}: {option.help}") for option in secrets),
            "",
            "Other flags:",
            _entry("--version", "Print the version."),
            _entry("--print-completion SHELL", "Print the completion script of bash, zsh or fish."),
            "",
            "All options, with their keys and FLEET_EXPORTER_… variables: `fleet-exporter options`.",
            "",
        ]
    )


def _roff(text: str) -> str:
    """A line of text, escaped for troff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _items(items: Iterable[tuple[str, str]]) -> list[str]:
    return [line for term, text in items for line in (".TP", f"\\fB{_roff(term)}\\fR", _roff(text))]


def _meaning(option: Option) -> str:
    names = [option.path, option.variable, option.well_known_variable]
    default = f" Default: {option.default}." if option.default else ""
    return f"{option.help}{default} Also {', '.join(name for name in names if name)}."


def man_page() -> str:
    """fleet-exporter(1), in the man macros."""
    groups = groupby(options(), key=lambda option: option.group)
    return "\n".join(
        [
            f'.TH FLEET\\-EXPORTER 1 "" "fleet\\-exporter {__version__}" "User Commands"',
            ".ad l",  # names are long: do not justify lines
            *(".SH NAME", _roff(f"fleet-exporter - {PURPOSE[0].lower()}{PURPOSE[1:].rstrip('.')}")),
            *(".SH SYNOPSIS", ".B fleet\\-exporter", _roff("[COMMAND] [FLAGS]")),
            *(".SH DESCRIPTION", _roff(f"{PURPOSE} A source is enabled if it has an address.")),
            *(".SH COMMANDS", *_items(COMMANDS.items())),
            ".SH OPTIONS",
            _roff(
                "Every option is a flag, an environment variable and a key of the YAML file. Flags take precedence over "
                f"{PREFIX}... variables, these over well-known variables such as NATS_URL, and these over the file. "
                "Secrets have no flag."
            ),
            *_items([(f"--{CONFIG_FILE}", f"YAML file with these options as keys. Also {PREFIX}CONFIG_FILE.")]),
            *_items([("--version", "Print the version."), ("--print-completion", "Print the script of bash, zsh or fish.")]),
            *(
                line
                for group, members in groups
                for line in (
                    *([f".SS {_roff(group)}"] if group else []),
                    *_items((option.flag or option.variable, _meaning(option)) for option in members),
                )
            ),
            ".SH EXIT STATUS",
            *_items([("0", "Success."), ("1", "A source or file failed."), ("2", "Invalid configuration or command line.")]),
            ".SH SIGNALS",
            *_items(
                [
                    ("SIGTERM, SIGINT", "Close connections and exit."),
                    (
                        "SIGHUP",
                        "Ignored: the web configuration and certificates are reloaded when their files change.",
                    ),
                ]
            ),
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(man_page() if sys.argv[1:] == ["man"] else help_text())
