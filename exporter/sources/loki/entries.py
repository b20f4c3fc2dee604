"""Events as Loki entries, batches and push bodies, and the newest entry in Loki as a position. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from exporter.events.model import Event, Message, Unparsed, parsed
from exporter.events.redaction import redacted_text, shown
from exporter.events.subjects import known
from exporter.events.values import ROLES
from exporter.fleet.limits import LabelLimiter

UNPARSED = "unparsed"
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LineStyle:
    """How a payload is rendered: redacted fields (lower case), max. characters of a text, max. bytes of a line."""

    redact: Collection[str]
    text_limit: int
    line_limit: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: few and bounded `labels`, IDs in `metadata`, `nanoseconds` since 1970."""

    labels: tuple[tuple[str, str], ...]
    nanoseconds: int
    line: str
    metadata: dict[str, str]
    sequence: int
    """Sequence of the message in its stream."""

    @property
    def size(self) -> int:
        """Bytes of the line in UTF-8, plus metadata."""
        return len(self.line.encode()) + sum(len(name) + len(value) for name, value in self.metadata.items()) + 64


@dataclass(slots=True)
class LokiPosition:
    """The last message of a stream in Loki: sequence and timestamp; 0 if there is none."""

    sequence: int = 0
    nanoseconds: int = 0


def label_limiter() -> LabelLimiter:
    """Valid values of the label `role`."""
    return LabelLimiter(40, ROLES)


def entry(message: Message, position: LokiPosition, style: LineStyle, admitted: Callable[[str], str]) -> Entry:
    """The entry for the message after `position`.

    Its time is the server's, or one nanosecond after the previous entry: strictly increasing times keep equal payloads
    apart in Loki, and are reproducible from the same position.

    """
    event = parsed(message)
    family = known(message.subject, "").family
    labels = {"stream": message.stream, "family": family}
    metadata = {"subject": message.subject, "sequence": str(message.sequence)}
    if isinstance(event, Unparsed):
        labels["outcome"] = UNPARSED
        metadata["reason"] = str(event.reason)
        text = message.data[: 4 * style.line_limit].decode("utf-8", "replace")
        line = redacted_text(text, style.redact)
    else:
        labels["outcome"] = str(event.outcome)
        if event.role:
            labels["role"] = admitted(event.role)
        metadata |= _identifiers(event)
        line = msgspec.json.encode(shown(event.payload, style.redact, style.text_limit)).decode()
    if len(line) > style.line_limit:
        line = f"{line[: style.line_limit]}… ({event.size} bytes)"
    moment = max(round(message.stored * _NANO), position.nanoseconds + 1)
    return Entry(tuple(labels.items()), moment, line, metadata, message.sequence)


def _identifiers(event: Event) -> dict[str, str]:
    named = {
        "type": event.kind,
        "producer": event.producer,
        "story": event.story,
        "plan": event.plan,
        "task": event.task,
        "agent": event.agent,
        "ceremony": event.ceremony,
        "deliberation": event.deliberation,
    }
    return {name: value for name, value in named.items() if value}


def push_body(entries: Iterable[Entry]) -> bytes:
    """The body of POST /loki/api/v1/push."""
    streams: dict[tuple[tuple[str, str], ...], list[tuple[str, str, dict[str, str]]]] = {}
    for one in entries:
        streams.setdefault(one.labels, []).append((str(one.nanoseconds), one.line, one.metadata))
    return msgspec.json.encode({"streams": [{"stream": dict(labels), "values": rows} for labels, rows in streams.items()]})


def batches(entries: Sequence[Entry], limit: int) -> Iterable[Sequence[Entry]]:
    """Entries in order, in batches of at most `limit` bytes; a larger entry is a separate batch."""
    first = size = 0
    for index, one in enumerate(entries):
        if index > first and size + one.size > limit:
            yield entries[first:index]
            first, size = index, 0
        size += one.size
    if entries:
        yield entries[first:]


class _Result(msgspec.Struct):
    stream: dict[str, str] = {}
    values: list[tuple[str, str]] = []


class _Data(msgspec.Struct):
    result: list[_Result] = []


class _QueryResponse(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)


def last_position(response: bytes) -> LokiPosition:
    """The newest entry in a query_range response. Raises msgspec.DecodeError or ValueError."""
    newest = LokiPosition()
    for result in msgspec.json.decode(response, type=_QueryResponse).data.result:
        for moment, _ in result.values:
            if int(moment) > newest.nanoseconds:
                newest = LokiPosition(int(result.stream.get("sequence", "0")), int(moment))
    return newest
