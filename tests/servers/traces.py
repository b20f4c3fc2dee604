"""What a stopped server must not leave: processes and folders."""

from __future__ import annotations

from pathlib import Path


def processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder, as every server works in its own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = (process / "cwd").readlink()
        except OSError:  # gone, or a zombie
            continue
        if place.is_relative_to(folder):
            found.append(int(process.name))
    return found
