"""The blocks of docs/least-privilege.md, by the name behind the language of their fence: the tests use the text itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).parents[2] / "docs/least-privilege.md"
_BLOCK = re.compile(r"^```\w+ (?P<name>[\w-]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    return {found["name"]: found["text"] for found in _BLOCK.finditer(PAGE.read_text())}


def block(name: str) -> str:
    return blocks()[name]


def lines(name: str) -> tuple[str, ...]:
    return tuple(block(name).splitlines())


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(block(name)))
