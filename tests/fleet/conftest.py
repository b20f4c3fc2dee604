"""Servers that the tests of events ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.servers import nats as nats_servers
from demo.servers.nats import Nats


@pytest.fixture
def server() -> Iterator[Nats]:
    with nats_servers.start() as running:
        yield running
