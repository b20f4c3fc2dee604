"""A Docker engine and the images of this checkout, for all end-to-end tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import docker
from tests.support.servers import required

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.Engine]:
    with required():
        docker.prepare()
    with docker.engine() as started:
        yield started


@pytest.fixture(scope="session")
def base_image(engine: docker.Engine) -> str:
    """The tag of the Dockerfile's base image, which exists locally."""
    found = re.search(r"^FROM (\S+) AS base$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    with required():
        engine.provide_base(found[1])
    return found[1]


@pytest.fixture(scope="session")
def image(engine: docker.Engine, base_image: str) -> str:
    """The exporter's image, built as README.md says."""
    engine.docker("build", "-t", "fleet-exporter", ".", folder=ROOT)
    return "fleet-exporter"


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this checkout that a clone would have, uncommitted changes included."""
    folder = tmp_path_factory.mktemp("clone") / "fleet-exporter"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder
