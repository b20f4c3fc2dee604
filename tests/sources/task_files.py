"""Task files as agents write them."""

from __future__ import annotations

import os
from pathlib import Path


def body(**fields: str) -> str:
    given = {"id": "t-1", "agent": "backend", "status": "assigned", "title": "Fix: it", "priority": "HIGH"} | fields
    return "".join(f"{name}: {value!r}\n" for name, value in given.items())


def put(root: Path, path: str, text: str, *, ago: float = 60.0) -> Path:
    """A file with an old modification time, because recent files may be half-written."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    moment = file.stat().st_mtime - ago
    os.utime(file, (moment, moment))
    return file
