"""Removes credentials from all messages, labels and log lines; defaults of the redaction of events."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"

REDACT: Final = ("password", "secret", "token", "api_key", "apikey", "authorization", "credentials", "private_key")
"""Fields of events whose values are redacted; `tokens` is a count and is kept."""

TEXT_LIMIT: Final = 2000
"""Default max. characters of a text in an event."""

# Up to the last @ of the word, because a password that is not percent-encoded may contain @, / or #.
_USER_INFORMATION: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s\"'<>]*@")
_QUERY_VALUE: Final = re.compile(r"([?&][^\s\"'<>=&#?]+=)[^\s\"'<>&#]+")
_AUTHORIZATION: Final = re.compile(r"\b(Bearer|Basic) +(?!authentication\b|token\b)[A-Za-z0-9._~+/=-]+")


def redacted(text: str) -> str:
    """The text with user information, query values and header credentials masked."""
    text = _USER_INFORMATION.sub(rf"\1{MASK}@", text)
    text = _QUERY_VALUE.sub(rf"\1{MASK}", text)
    return _AUTHORIZATION.sub(rf"\1 {MASK}", text)
