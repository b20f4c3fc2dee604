"""JSON as the fleet's programs write it → values that can be encoded again. Pure.

Strict JSON takes the fast path. Python's `json.dumps` also writes NaN, Infinity and escaped lone surrogates, and some
programs add a byte order mark: numbers that JSON does not have become None, lone surrogates U+FFFD.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS = 300
"""Digits of an integer; `int` refuses texts of thousands."""
_NOTHING: frozenset[str] = frozenset()


def decoded(data: bytes | str) -> tuple[Any, frozenset[str]]:
    """(value, names of the fields whose number is not a number). Raises ValueError if it is not JSON."""
    try:
        return _decode(data), _NOTHING
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass  # perhaps as Python writes it
    dropped: set[str] = set()
    try:
        return _cleaned(json.loads(data, parse_int=_integer), "", dropped), frozenset(dropped)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


def _cleaned(value: Any, name: str, dropped: set[str]) -> Any:
    if type(value) is str:
        return _text(value)
    if type(value) is float and not math.isfinite(value):
        dropped.add(name)
        return None
    if type(value) is dict:
        return {_text(key): _cleaned(inner, key, dropped) for key, inner in value.items()}
    if type(value) is list:
        return [_cleaned(inner, name, dropped) for inner in value]
    return value


def _text(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
