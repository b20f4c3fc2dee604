"""amtool, and a running Alertmanager with the demo's intervals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.alertmanager.configuration import as_yaml, configuration
from demo.slack import receiver
from demo.stack.monitoring import alertmanager_options
from servers import alertmanager
from tests.alerts.alertmanager import Receiving
from tests.support.servers import required


@pytest.fixture(scope="session")
def amtool() -> Path:
    with required():
        return alertmanager.amtool()
    raise AssertionError  # not reached: `required` ends the test


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    with required():
        alertmanager.prepare()
    with receiver.start() as slack:
        config = as_yaml(configuration(alertmanager_options(slack, tmp_path_factory.mktemp("secrets"))))
        with alertmanager.start(config=config) as server:
            yield Receiving(server.url, slack)
