"""Log lines as the field writes them: logfmt or JSON, one event a line, the `extra` of a call as fields."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from exporter.config.options import Options, option
from exporter.config.redaction import redacted


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class Style(StrEnum):
    LOGFMT = "logfmt"
    JSON = "json"


class Log(Options):
    """How the exporter logs, on standard error."""

    level: Annotated[Level, option("Minimum log level: debug, info, warn or error.")] = Level.INFO
    format: Annotated[Style, option("Log format: logfmt or json.")] = Style.LOGFMT


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class Formatter(logging.Formatter):
    """A record as one line: ts, level, logger, msg, then what the call gave as `extra`."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self._form = style

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        fields.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        fields = {name: value if isinstance(value, int | float) else redacted(str(value)) for name, value in fields.items()}
        if self._form is Style.JSON:
            return json.dumps(fields)
        return " ".join(f"{name}={_logfmt(str(value))}" for name, value in fields.items() if value != "")


def _logfmt(value: str) -> str:
    plain = value and value.isprintable() and not set(value) & set(' ="')
    return value if plain else json.dumps(value, ensure_ascii=False)


def configure(options: Log) -> None:
    """Send every logger's lines to standard error in the chosen form."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter(options.format))
    level = logging.WARNING if options.level is Level.WARN else options.level.upper()
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The clients tell of every lost connection themselves; what matters of it is on the page and in our own line.
    for client in ("nats", "neo4j", "httpx", "httpcore", "kubernetes", "asyncio"):
        logging.getLogger(client).setLevel(logging.CRITICAL if options.level is not Level.DEBUG else logging.DEBUG)
