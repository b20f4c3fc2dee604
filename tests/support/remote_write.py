"""Samples at times that a test chooses, in a real Prometheus: remote write by hand, in snappy's literal form."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import httpx

_LITERAL = 65_536
"""Bytes of a literal whose length fits into two bytes."""


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _label(name: str, value: str) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, value.encode()))


def _sample(at: float, value: float) -> bytes:
    return _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(int(at * 1000)))


def _literals(content: bytes) -> Iterator[bytes]:
    yield _varint(len(content))
    for start in range(0, len(content), _LITERAL):
        part = content[start : start + _LITERAL]
        yield b"\xf4" + struct.pack("<H", len(part) - 1) + part


def write(url: str, series: Iterable[tuple[Mapping[str, str], Sequence[tuple[float, float]]]]) -> None:
    """Store series: labels with the name as `__name__`, and (time in seconds since 1970, value) in ascending order."""
    request = b"".join(
        _field(1, b"".join(_label(*one) for one in sorted(labels.items())) + b"".join(_sample(*one) for one in samples))
        for labels, samples in series
    )
    headers = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
    reply = httpx.post(f"{url}/api/v1/write", content=b"".join(_literals(request)), headers=headers, trust_env=False)
    reply.raise_for_status()
