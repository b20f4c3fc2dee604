"""Headless Chromium, for tests of the exporter's pages."""

from __future__ import annotations

import shutil
from pathlib import Path

from servers import debian
from servers.cache import Progress, ServerMissing, silent


def prepare(progress: Progress = silent) -> Path:
    """The browser: the PATH's, or Debian's, which is installed (100 MB with its libraries). Raises ServerMissing."""
    if (found := shutil.which("chromium")) is None:
        progress("installing Debian's chromium")
        reason = debian.install("chromium")
        found = shutil.which("chromium")
        if found is None:
            raise ServerMissing(f"there is no Chromium here ({reason}): install it")
    return Path(found)
