"""Options: `shard`, `web`, `log` and one group per source, set by flags, variables or YAML keys.

Flags take precedence over `FLEET_EXPORTER_…` variables, these over well-known variables (`NATS_URL`), these over the file.
All errors are reported together, one sentence each.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo

from exporter.config.log import Log
from exporter.config.options import Options
from exporter.config.options import option as declared
from exporter.config.sharding import WHOLE, Shard, ShardText
from exporter.config.web import Web
from exporter.metrics.profile import Profile
from exporter.source import Source, SourceOptions, created

PREFIX = "FLEET_EXPORTER_"
CONFIG_FILE = "config.file"


class SettingsError(Exception):
    """All errors of a configuration, one sentence each."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


@functools.cache
def option_types() -> dict[str, type[SourceOptions]]:
    """The options of every source, by its name.

    They are in a module of that name in `exporter/source_options/`, or with the source, which is then imported.

    """
    packages = {
        module.name: package  # by name, because options do not know their source
        for package in ("exporter.sources", "exporter.source_options")
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
    }
    found = {}
    for name in sorted(packages):
        module = importlib.import_module(f"{packages[name]}.{name}")
        found[name] = next(
            value
            for value in vars(module).values()
            if inspect.isclass(value) and issubclass(value, SourceOptions) and value.__module__ == module.__name__
        )
    return found


def source_type(name: str) -> type[Source]:
    """The source of this name, from the module in `exporter/sources/`."""
    module = importlib.import_module(f"exporter.sources.{name}")  # by name, because options do not know their source
    return next(
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Source) and value.kind == name
    )


def source_types() -> tuple[type[Source], ...]:
    """Every source, by name."""
    return tuple(source_type(name) for name in option_types())


class Settings(Options):
    """The whole configuration; `sources` are those with an address that this shard reads."""

    shard: ShardText = str(WHOLE)
    profile: Annotated[Profile, declared("Series to export: full, or essential for alerts and the overview.")] = Profile.FULL
    web: Web = Web()
    log: Log = Log()

    @property
    def part(self) -> Shard:
        return Shard.parse(self.shard)

    @functools.cached_property
    def sources(self) -> tuple[Source, ...]:
        """Sources with an address that this shard reads; created once."""
        groups = ((name, getattr(self, name)) for name in option_types())
        found = (created(source_type(name), options, self.part) for name, options in groups if options.enabled)
        return tuple(source for source in found if source is not None)


@functools.cache
def settings_type() -> type[Settings]:
    """Settings with one field per source."""
    groups: dict[str, Any] = {name: (kind, kind()) for name, kind in option_types().items()}
    return create_model("Settings", __base__=Settings, __doc__=Settings.__doc__, **groups)


@dataclass(frozen=True)
class Option:
    """One field of a group, or of the top level (""), with its flag, variables and key."""

    group: str
    name: str
    field: FieldInfo

    @property
    def path(self) -> str:
        return f"{self.group}.{self.name}" if self.group else self.name

    @property
    def is_secret(self) -> bool:
        return self.field.annotation is SecretStr

    @property
    def flag(self) -> str | None:
        """`--web.listen-address`; None for secrets, because process lists show flags."""
        if self.is_secret:
            return None
        return self._extra("flag") or f"--{self.path.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"{PREFIX}{self.path.replace('.', '_')}".upper()

    def put(self, value: Any, into: dict[str, Any]) -> None:
        """Set it in a mapping of groups."""
        (into.setdefault(self.group, {}) if self.group else into)[self.name] = value

    @property
    def well_known_variable(self) -> str | None:
        return self._extra("env")

    def _extra(self, name: str) -> str | None:
        extra = self.field.json_schema_extra
        return cast(str | None, extra.get(name)) if isinstance(extra, dict) else None

    @property
    def help(self) -> str:
        return self.field.description or ""

    @property
    def default(self) -> str:
        """The default in its text form; empty if there is none."""
        value = self.field.get_default(call_default_factory=True)
        if value is None or value == () or value == "":
            return ""
        if isinstance(value, dict):
            return ",".join(f"{name}={text}" for name, text in value.items())
        if isinstance(value, bool):
            return str(value).lower()
        return ",".join(str(item) for item in value) if isinstance(value, tuple) else str(value)


@functools.cache
def options() -> tuple[Option, ...]:
    """Every option: top level first, then by group, in declaration order."""
    fields = settings_type().model_fields
    groups = {name: field.annotation for name, field in fields.items() if _is_group(field)}
    return (
        *(Option("", name, field) for name, field in fields.items() if name not in groups),
        *(
            Option(group, name, field)
            for group, kind in groups.items()
            for name, field in cast(type[BaseModel], kind).model_fields.items()
        ),
    )


def _is_group(field: FieldInfo) -> bool:
    return inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every option that has one, and `--config.file`."""
    parser.add_argument(f"--{CONFIG_FILE}", metavar="FILE", help="YAML file with these options as keys.")
    for option in options():
        if option.flag is None:
            continue
        names = f"{option.variable}" + (f", {option.well_known_variable}" if option.well_known_variable else "")
        default = f" Default: {option.default}." if option.default else ""
        switch: dict[str, Any] = {"nargs": "?", "const": "true"} if option.field.annotation is bool else {}
        text = f"{option.help}{default} [{names}]".replace("%", "%%")
        parser.add_argument(option.flag, dest=option.path, metavar=option.name.upper(), help=text, **switch)


def _from_file(path: str, mistakes: list[str]) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        mistakes.append(f"--{CONFIG_FILE} {path}: {error.strerror or error}; expected a readable file; check the path")
        return {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        # For tags and aliases, the problem contains the text, which may be the start of an unquoted secret.
        quotes = isinstance(error, yaml.composer.ComposerError | yaml.constructor.ConstructorError)
        problem = "a tag or alias; quote the value" if quotes else getattr(error, "problem", None) or "not UTF-8"
        mistakes.append(f"--{CONFIG_FILE} {path}{place}: not YAML ({problem})")
        return {}
    if content is None:
        return {}
    alone = {option.name for option in options() if not option.group}
    if not isinstance(content, dict):
        mistakes.append(
            f"--{CONFIG_FILE} {path}: expected a mapping of groups (web, log, valkey, …) to options at the top level"
        )
        return {}
    read = {}
    for name, value in content.items():
        if name in alone or isinstance(value, dict | None):
            read[str(name)] = value if name in alone else {str(key): inner for key, inner in (value or {}).items()}
        else:
            kind = "a list" if isinstance(value, list) else "a text" if isinstance(value, str) else "a number or boolean"
            mistakes.append(f"--{CONFIG_FILE} {path}: {name}: expected a mapping of options, got {kind}")
    return read


def _from_environment(environment: Mapping[str, str], mistakes: list[str]) -> Iterator[tuple[Option, str]]:
    """Options from variables; well-known variables first, so that FLEET_EXPORTER_ variables take precedence."""
    own = {option.variable: option for option in options()}
    for option in options():
        if option.well_known_variable and (value := environment.get(option.well_known_variable)):
            yield option, value
    for name, value in environment.items():
        if name == f"{PREFIX}CONFIG_FILE":
            continue
        if name in own:
            yield own[name], value
        elif name.startswith(PREFIX):
            mistakes.append(f"{name}: no such variable; `fleet-exporter --help` lists them")


def _sentence(error: Mapping[str, Any], known: Mapping[str, Option]) -> str:
    path = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
    where = ".".join(path.split(".")[:2])
    if error["type"] == "extra_forbidden":
        return f"{path}: no such option; `fleet-exporter --help` lists them"
    option = known.get(where)
    names = (option.flag or option.variable, option.well_known_variable) if option else ()
    names_text = f" ({', '.join(name for name in names if name)})" if option else ""
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}{names_text}: {message[:1].lower()}{message[1:]}"


def _share_servers(merged: dict[str, Any]) -> set[str]:
    """Copy the address and credentials of another source that reads the same server, unless the source has its own.

    Returns the paths of the copied options.

    """
    shared_paths = set()
    for name, kind in option_types().items():
        inheritance = kind.same_server_as
        if inheritance is None:
            continue
        group, shared = inheritance
        prefix = kind.same_server_prefix
        given, own = merged.get(group, {}), merged.get(name, {})
        if own.get(f"{prefix}url", given.get("url")) == given.get("url"):
            inherited = {f"{prefix}{field}": given[field] for field in shared.model_fields if field in given}
            merged[name] = inherited | own
            shared_paths |= {f"{name}.{field}" for field, value in inherited.items() if own.get(field, value) == value}
    return shared_paths


def load(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Settings from parsed flags ({"web.listen_address": text}), variables and the configuration file.

    Raises SettingsError with all errors.

    """
    mistakes: list[str] = []
    path = flags.get(CONFIG_FILE) or environment.get(f"{PREFIX}CONFIG_FILE")
    merged = _from_file(path, mistakes) if path else {}
    for option, value in _from_environment(environment, mistakes):
        option.put(value, merged)
    known = {option.path: option for option in options()}
    for name, text in flags.items():
        if text is not None and name in known:
            known[name].put(text, merged)
    shared = _share_servers(merged)
    try:
        settings = settings_type().model_validate(merged)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        mistakes.extend(
            _sentence(detail, known) for detail in details if ".".join(map(str, detail["loc"][:2])) not in shared
        )
        raise SettingsError(mistakes) from None
    if mistakes:
        raise SettingsError(mistakes)
    return settings
