"""actionlint, the checker of GitHub Actions workflows: from the PATH, or else built with Go (half a minute, 8 MB)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from servers import go
from servers.cache import Progress, cached, silent

_BUILD = Path(__file__).parent / "actionlint_build"
_MODULE = "github.com/rhysd/actionlint"


def prepare(progress: Progress = silent) -> Path:
    """The binary. Raises ServerMissing."""
    if found := shutil.which("actionlint"):
        return Path(found)
    version = re.search(rf"{re.escape(_MODULE)} v([\d.]+)", (_BUILD / "go.mod").read_text())
    assert version is not None

    def build(folder: Path) -> None:
        progress(f"building actionlint {version[1]}, half a minute the first time")
        go.build(_BUILD, [f"{_MODULE}/cmd/actionlint"], folder, ldflags="", progress=progress)

    return cached(f"actionlint-{version[1]}", build) / "actionlint"
