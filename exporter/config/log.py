"""Log lines in logfmt or JSON, one record per line, with `extra` as fields.

Not structlog: libraries log through the standard library, so it needs a formatter for their records too, and saves no line
here; importing it takes 8.8 MB (tried).
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import threading
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import QueueHandler
from typing import Annotated

from exporter.config.options import Options, option
from exporter.config.redaction import redacted


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class LogFormat(StrEnum):
    LOGFMT = "logfmt"
    JSON = "json"


class Log(Options):
    """Logging to standard error."""

    level: Annotated[LogLevel, option("Minimum log level: debug, info, warn or error.")] = LogLevel.INFO
    format: Annotated[LogFormat, option("Log format: logfmt or json.")] = LogFormat.LOGFMT


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class Formatter(logging.Formatter):
    """A record as one line: ts, level, logger, msg, then the fields of `extra`."""

    def __init__(self, style: LogFormat) -> None:
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
        if self._form is LogFormat.JSON:
            return json.dumps(fields)
        return " ".join(f"{name}={_logfmt(str(value))}" for name, value in fields.items() if value != "")


def _logfmt(value: str) -> str:
    plain = value and value.isprintable() and not set(value) & set(' ="')
    return value if plain else json.dumps(value, ensure_ascii=False)


_MAX_WAITING = 10_000
"""Lines kept in memory while standard error is blocked."""
_FLUSH_SECONDS = 1.0
_STDERR = 2

_dropped = 0
_dropped_lock = threading.Lock()


def dropped_lines() -> int:
    """Log lines dropped since start because standard error did not accept them."""
    return _dropped


def _count_dropped() -> None:
    global _dropped
    with _dropped_lock:
        _dropped += 1


class _Writer(QueueHandler):
    """Writes lines in a thread, so that a blocked standard error cannot block the exporter."""

    queue: queue.Queue[logging.LogRecord | None]

    def __init__(self, formatter: Formatter) -> None:
        super().__init__(queue.Queue(_MAX_WAITING))
        self.setFormatter(formatter)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.finish)

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            _count_dropped()

    def _write(self) -> None:
        while (record := self.queue.get()) is not None:
            line = f"{record.getMessage()}\n".encode(errors="backslashreplace")
            try:
                while line:
                    # Not sys.stderr: the interpreter cannot exit while a thread holds its lock.
                    line = line[os.write(_STDERR, line) :]
            except OSError:
                _count_dropped()

    def finish(self, seconds: float = _FLUSH_SECONDS) -> None:
        """Write pending lines, for at most `seconds`; later lines are not written."""
        try:
            self.queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(seconds)


def flush(seconds: float) -> None:
    """Write pending lines, for at most `seconds`, before the process ends."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Writer):
            handler.finish(seconds)


def configure(options: Log) -> None:
    """Log to standard error in the selected format."""
    handler = _Writer(Formatter(options.format))
    level = logging.WARNING if options.level is LogLevel.WARN else options.level.upper()
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Clients log every lost connection; the exporter logs and exports the relevant ones itself.
    for client in ("nats", "neo4j", "httpx", "httpcore", "kubernetes", "asyncio"):
        logging.getLogger(client).setLevel(logging.CRITICAL if options.level is not LogLevel.DEBUG else logging.DEBUG)
    if options.level is LogLevel.INFO:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the exporter logs start and stop itself
