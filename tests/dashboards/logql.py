"""LogQL, as far as it can be judged without Loki: words and brackets, the stream selector, stages, functions, windows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

_TOKEN: Final = re.compile(
    r"(?P<space>\s+)"
    r'|(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)'
    r"|(?P<window>\[[^\]]*\])"
    r"|(?P<number>\d[\w.]*)"
    r"|(?P<word>\$?[A-Za-z_][\w.]*)"
    r"|(?P<sign>\|=|\|~|\|>|!=|!~|!>|=~|==|>=|<=|[{}()|=,<>+\-*/%^])"
)
_STAGES: Final = {"json", "logfmt", "pattern", "regexp", "unpack", "line_format", "label_format", "decolorize", "drop",
                  "keep", "unwrap"}  # fmt: skip
_OVER_RANGES: Final = {
    "rate", "count_over_time", "bytes_rate", "bytes_over_time", "absent_over_time", "sum_over_time", "avg_over_time",
    "max_over_time", "min_over_time", "quantile_over_time", "first_over_time", "last_over_time", "stddev_over_time",
    "rate_counter",
}  # fmt: skip
_AGGREGATIONS: Final = {"sum", "avg", "min", "max", "count", "topk", "bottomk", "stddev", "stdvar", "sort", "sort_desc"}
_WORDS: Final = {"by", "without", "on", "ignoring", "vector", "ip", "label_replace", "or", "and", "unless"}
_BEFORE_PARENTHESES: Final = _OVER_RANGES | _AGGREGATIONS | _WORDS
_PAIRS: Final = {")": "(", "}": "{"}

Token = tuple[str, str]


class LogQLError(ValueError):
    """One sentence: what in a query is no LogQL."""


def tokens(query: str) -> list[Token]:
    """(kind, text) of every word. Raises LogQLError for a character that begins none."""
    found: list[Token] = []
    at = 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None:
            raise LogQLError(f"{query[at : at + 20]!r} is no word of LogQL")
        at = match.end()
        if match.lastgroup not in (None, "space"):
            found.append((str(match.lastgroup), match[0]))
    return found


def range_windows(query: str) -> list[str]:
    """The windows of all range vectors, without their brackets."""
    return [text[1:-1] for kind, text in tokens(query) if kind == "window"]


def check(query: str) -> None:
    """Raises LogQLError for brackets that do not pair, a selector of nothing, an unknown stage or function."""
    found = tokens(query)
    _pairs(found)
    selectors = list(_selectors(found))
    if not selectors:
        raise LogQLError("it selects no stream")
    for selector in selectors:
        _selector(selector)
    _stages(found)
    _functions(found)


def _pairs(found: list[Token]) -> None:
    opened: list[str] = []
    for kind, text in found:
        if kind != "sign":
            continue
        if text in _PAIRS.values():
            opened.append(text)
        elif text in _PAIRS and (not opened or opened.pop() != _PAIRS[text]):
            raise LogQLError(f"a {text} closes nothing")
    if opened:
        raise LogQLError(f"a {opened[-1]} is not closed")


def _selectors(found: list[Token]) -> Iterator[list[Token]]:
    inner: list[Token] | None = None
    for token in found:
        if token == ("sign", "{"):
            inner = []
        elif token == ("sign", "}") and inner is not None:
            yield inner
            inner = None
        elif inner is not None:
            inner.append(token)


def _selector(inner: list[Token]) -> None:
    narrows = False
    for place in range(0, len(inner), 4):
        matcher = inner[place : place + 4]
        kinds = [kind for kind, _ in matcher]
        if kinds[:3] != ["word", "sign", "string"] or matcher[1][1] not in ("=", "!=", "=~", "!~"):
            raise LogQLError(f"{' '.join(text for _, text in matcher)!r} is no matcher of a label")
        if len(matcher) == 4 and matcher[3][1] != ",":
            raise LogQLError("matchers are parted by commas")
        value = matcher[2][1][1:-1]
        narrows |= matcher[1][1] in ("=", "=~") and value not in ("", ".*")
    if not narrows:
        raise LogQLError("a selector needs one matcher that no empty label meets")


def _stages(found: list[Token]) -> None:
    for (kind, text), (after, word) in zip(found, [*found[1:], ("", "")], strict=True):
        if (kind, text) == ("sign", "|") and after == "word" and word not in _STAGES:
            _label_filter(found, word)
        elif (kind, text) == ("sign", "|") and after != "word":
            raise LogQLError(f"a stage begins with {word!r}")
        elif text in ("|=", "|~", "|>") and after not in ("string", "word"):
            raise LogQLError(f"the line filter {text} has no text")


def _label_filter(found: list[Token], label: str) -> None:
    for (_, text), (_, sign) in itertools.pairwise(found):
        if text == label and sign in ("=", "!=", "=~", "!~", "==", ">", ">=", "<", "<="):
            return
    raise LogQLError(f"{label} is no stage, and no filter by a label")


def _functions(found: list[Token]) -> None:
    for (kind, text), (_, after) in itertools.pairwise(found):
        if kind == "word" and after == "(" and text not in _BEFORE_PARENTHESES:
            raise LogQLError(f"{text} is no function of LogQL")
