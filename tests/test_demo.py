"""The demo, as its user runs it: everything comes up, is said, and is gone afterwards."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from demo.servers import kubernetes, loki, neo4j, prometheus
from tests.conftest import required

ROOT = Path(__file__).parents[1]


def test_the_demo_shows_every_source_and_leaves_nothing_behind() -> None:
    with required():
        for server in (kubernetes, loki, neo4j, prometheus):
            server.prepare()
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--until-ready"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for said in ("The first page is there", "Neo4j has joined", "Loki has joined", "Every source is up", "Nothing is left"):
        assert said in done.stdout
    urls = set(re.findall(r"http://127\.0\.0\.1:\d+", done.stdout))
    assert len(urls) >= 2
    for url in urls:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
