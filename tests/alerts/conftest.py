"""amtool, and a running Alertmanager with the demo's paces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.alertmanager.configuration import as_yaml, configuration
from demo import slack
from demo.monitoring import alertmanager_options
from demo.servers import alertmanager
from tests.alerts.told import Receiving
from tests.conftest import required


@pytest.fixture(scope="session")
def amtool() -> Path:
    with required():
        return alertmanager.amtool()
    raise AssertionError  # not reached: `required` ends the test


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiving]:
    with required():
        alertmanager.prepare()
    with slack.start() as receiver:
        config = as_yaml(configuration(alertmanager_options(receiver, tmp_path_factory.mktemp("secrets"))))
        with alertmanager.start(config=config) as server:
            yield Receiving(server.url, receiver)
