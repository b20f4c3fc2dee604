"""The command line: `fleet-exporter [COMMAND] [FLAGS]`.

argparse keeps `--version` and `--help` within the standard library: click and typer start no faster, and pydantic-settings
imports every source before it prints a line. Slow modules are imported by the commands that need them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from exporter import __version__, estimate
from exporter.config.urls import EXPORTER_URL, GRAFANA_URL, RUNBOOK_URL

if TYPE_CHECKING:
    from exporter.settings import Option

_SHELLS: Final = ("bash", "zsh", "fish")
_HELP: Final = Path(__file__).with_name("help.txt")
_MORE: Final = "`fleet-exporter --help` lists the common options, `fleet-exporter options` lists all of them."

COMMANDS: Final = {
    "serve": "serve /metrics; the default command",
    "collect": "collect one source now and print its metrics",
    "check": "check the configuration; report every error and exit with code 2 if it is invalid",
    "health": "probe the exporter at web.listen_address; exit with code 1 if it is not healthy",
    "dashboards": "write the Grafana dashboards as JSON files",
    "rules": "print or write the alerting and recording rules",
    "alertmanager": "print or write the Alertmanager configuration, its Slack template, or the AlertmanagerConfig",
    "estimate": "print the series, page size, memory and disk of a fleet",
    "metrics": "print the reference of all metrics (Markdown)",
    "options": "print the reference of all options (Markdown)",
    "schema": "print the JSON Schema of the configuration file",
}
_CONFIGURED: Final = ("serve", "collect", "check", "health")
"""Commands that read the configuration; the others use the installation only."""

Flags = argparse.Namespace


class _ArgumentParser(argparse.ArgumentParser):
    """Reports an error in one sentence instead of the usage, which would list two hundred flags."""

    def __init__(self, prog: str | None = None, *, parents: Sequence[_ArgumentParser] = (), **settings: Any) -> None:
        self.flags: set[str] = {flag for parent in parents for flag in parent.flags}
        super().__init__(prog=prog, parents=parents, allow_abbrev=False, **settings)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        self.flags.update(name for name in names if name.startswith("-"))
        return super().add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fleet-exporter: {message}; see `{self.prog} --help`\n")


def _parsers(
    options: Sequence[Option] = (), sources: Sequence[str] | None = None
) -> tuple[_ArgumentParser, dict[str, _ArgumentParser]]:
    """The parser of the program and its commands, with flags for the options.

    `sources` are the names accepted by `collect`.

    """
    shared = _ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    if options:
        from exporter.settings import add_flags

        add_flags(shared)
    whole = _ArgumentParser("fleet-exporter", parents=[shared])
    whole.add_argument("--version", action="version", version=f"fleet-exporter {__version__}")
    whole.add_argument("--print-completion", choices=_SHELLS, help="print a shell's completion script")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", parser_class=_ArgumentParser)

    def command(name: str) -> _ArgumentParser:
        configured = name in _CONFIGURED
        return commands.add_parser(
            name,
            help=COMMANDS[name],
            description=f"{COMMANDS[name][0].upper()}{COMMANDS[name][1:]}.",
            epilog=_MORE if configured else None,
            parents=[shared] if configured else [],
        )

    command("serve")
    command("collect").add_argument("name", choices=sources, metavar="SOURCE", help="name of the source, such as valkey")
    command("check")
    command("health")
    boards = command("dashboards")
    boards.add_argument("--out", metavar="DIR", required=True, help="folder to write to; created if needed")
    boards.add_argument("--without-loki", action="store_true", help="omit panels that query Loki")
    boards.add_argument(
        "--exporter-url", metavar="URL", default=EXPORTER_URL, help="URL of the exporter in a browser (default: %(default)s)"
    )
    rules = command("rules")
    rules.add_argument("--out", metavar="FILE", default="-", help="file to write; - is standard output (default: -)")
    rules.add_argument(
        "--format", choices=("rules", "prometheusrule"), default="rules", help="rule file, or PrometheusRule resource"
    )
    rules.add_argument("--grafana-url", metavar="URL", default=GRAFANA_URL, help="URL of Grafana (default: %(default)s)")
    rules.add_argument(
        "--runbook-url", metavar="URL", default=RUNBOOK_URL, help="URL of the runbooks (default: %(default)s)"
    )
    routing = command("alertmanager")
    routing.add_argument("--out", metavar="FILE", default="-", help="file to write; - is standard output (default: -)")
    routing.add_argument(
        "--format", choices=("configuration", "template", "resource"), default="configuration", help="what to print"
    )
    for flag, default, meaning in (
        ("--critical-channel", "#fleet-critical", "Slack channel of critical alerts"),
        ("--warning-channel", "#fleet-warnings", "Slack channel of the other alerts"),
        ("--secrets", "/etc/alertmanager/secrets/fleet-alerts", "folder with the webhook URLs, as Alertmanager sees it"),
        ("--templates", "/etc/alertmanager/configmaps/fleet-alerts", "folder with slack.tmpl, as Alertmanager sees it"),
    ):
        routing.add_argument(flag, metavar="VALUE", default=default, help=f"{meaning} (default: %(default)s)")
    estimate.add_flags(command("estimate"))
    for name in ("metrics", "options", "schema"):
        command(name)
    return whole, dict(commands.choices)


def _help(words: Sequence[str]) -> str:
    """Of the command among the words, else of the program."""
    command = next((word for word in words if word in COMMANDS), None)
    if command is None:
        return _HELP.read_text(encoding="utf-8")
    return _parsers()[1][command].format_help()


def _check_flags(words: Sequence[str], known: _ArgumentParser, options: Sequence[Option]) -> None:
    """Exit for a flag that does not exist, before argparse repeats its value, which may be a secret."""
    flags = known.flags
    secrets = {f"--{option.path.replace('_', '-')}": option for option in options if option.is_secret}
    for word in words:
        name = word.partition("=")[0]
        if word == "--":
            break
        if not name.startswith("--") or name in flags:
            continue
        if (secret := secrets.get(name)) is not None:
            variables = " or ".join(filter(None, (secret.variable, secret.well_known_variable)))
            known.error(f"{name} is a secret, and process lists show flags: set {variables}, or {secret.path} in the file")
        near = get_close_matches(name, flags, n=1)
        known.error(f"{name}: no such flag{f'; did you mean {near[0]}?' if near else ''}")


def parsed(words: Sequence[str]) -> Flags:
    """The command line as argparse sees it; exits with 2 and a sentence for a mistake, with 0 for --help."""
    command = next((word for word in words if word in COMMANDS), None)
    if command is not None and command not in _CONFIGURED:
        bare, commands = _parsers()
        _check_flags(words, commands[command], ())
        return bare.parse_args(words)
    from exporter.settings import option_types, options

    whole, commands = _parsers(options(), list(option_types()))
    _check_flags(words, commands[command] if command else whole, options())
    switches = {option.flag for option in options() if option.field.annotation is bool}
    # A command after a switch would be taken for the switch's value.
    following = (*words[1:], "")
    return whole.parse_args(
        [
            f"{word}=true" if word in switches and after in COMMANDS else word
            for word, after in zip(words, following, strict=False)
        ]
    )


def _completion(shell: str) -> str:
    import shtab

    from exporter.settings import option_types, options

    whole, _ = _parsers(options(), list(option_types()))
    return str(shtab.complete(whole, shell=shell))


def _configured(flags: Flags) -> int:
    from exporter import commands
    from exporter.settings import SettingsError, load

    try:
        settings = load(vars(flags), os.environ)
    except SettingsError as error:
        for mistake in error.mistakes:
            print(f"fleet-exporter: {mistake}", file=sys.stderr)
        return 2
    if flags.command == "check":
        return 0
    if flags.command == "collect":
        return commands.collect(flags.name, settings)
    return commands.health(settings) if flags.command == "health" else commands.serve(settings)


def _printed(flags: Flags) -> int:
    from exporter import assets

    try:
        if flags.command == "dashboards":
            boards = assets.dashboards(loki=not flags.without_loki, exporter_url=flags.exporter_url)
            for name, text in boards.items():
                assets.write(Path(flags.out) / name, text, creates_folder=True)
            print(f"{len(boards)} dashboards written to {flags.out}", file=sys.stderr)
            return 0
        if flags.command == "alertmanager":
            text = assets.alertmanager(
                flags.format,
                critical_channel=flags.critical_channel,
                warning_channel=flags.warning_channel,
                secrets=flags.secrets,
                templates=flags.templates,
            )
        else:
            text = assets.rules(grafana_url=flags.grafana_url, runbook_url=flags.runbook_url)
            text = text if flags.format == "rules" else assets.prometheus_rule(text)
        if flags.out == "-":
            sys.stdout.write(text)
        else:
            assets.write(Path(flags.out), text)
    except assets.BundleError as error:
        print(f"fleet-exporter: {error}", file=sys.stderr)
        return 1
    return 0


def _reference(flags: Flags) -> int:
    import json

    from exporter import reference

    texts: dict[str, Callable[[], str]] = {
        "metrics": reference.metrics_markdown,
        "options": reference.options_markdown,
        "schema": lambda: json.dumps(reference.configuration_schema(), indent=2),
    }
    print(texts[flags.command]())
    return 0


def _run(words: Sequence[str]) -> int:
    if {"-h", "--help"} & set(words):
        sys.stdout.write(_help(words))
        return 0
    if "--version" in words:
        print(f"fleet-exporter {__version__}")
        return 0
    flags = parsed(words)
    if flags.print_completion:
        sys.stdout.write(_completion(flags.print_completion))
        return 0
    if flags.command in (None, *_CONFIGURED):
        return _configured(flags)
    if flags.command == "estimate":
        sys.stdout.write(estimate.text(flags))
        return 0
    return _printed(flags) if flags.command in ("dashboards", "rules", "alertmanager") else _reference(flags)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 success, 1 failure, 2 invalid configuration or command line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_standard_streams()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # the output has characters that some locales lack
    try:
        code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is not None:
            raise
        _discard_output()
        print(f"fleet-exporter: standard output: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _open_standard_streams() -> None:
    """Open closed standard streams as /dev/null: the event loop aborts if one of its sockets gets their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # uses the lowest free number
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def _discard_output() -> None:
    """Keep the interpreter from flushing at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
