"""Grafana, where the machine has one: no registry has it, so it is never fetched. Ready in some seconds.

It is provisioned with the data sources under the uids that the dashboards ask for, and with the dashboards themselves.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from servers.cache import ServerMissing
from servers.process import Server, answers, free_port, process, temporary_folder

_PACKAGED = Path("/usr/share/grafana")
"""Location of Grafana's files in the packages of Debian and Red Hat."""


class Grafana(Server):
    """A running Grafana; every visitor is an administrator, so it listens on 127.0.0.1 only."""


def prepare() -> Path:
    """The `grafana` (or older `grafana-server`) of the PATH. Raises ServerMissing."""
    for name in ("grafana", "grafana-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ServerMissing("there is no grafana on the PATH: install Grafana 12.4 or newer to see the dashboards")


def data_sources(*, prometheus: str, loki: str, alertmanager: str, interval: int) -> dict[str, Any]:
    """Three data sources by their URLs; `interval` is the seconds between two scrapes."""
    fixed = {"access": "proxy", "editable": False}
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "prometheus": (prometheus, {"httpMethod": "POST", "timeInterval": f"{interval}s", "manageAlerts": True}),
        "loki": (loki, {}),
        "alertmanager": (alertmanager, {"implementation": "prometheus"}),
    }
    listed = [
        {"name": kind.capitalize(), "uid": kind, "type": kind, "url": url, "jsonData": more, **fixed}
        for kind, (url, more) in settings.items()
    ]
    listed[0]["isDefault"] = True
    return {"apiVersion": 1, "datasources": listed}


def dashboards(folder: Path) -> dict[str, Any]:
    """A provider of every dashboard in a folder of JSON files."""
    provider = {
        "name": "fleet",
        "folder": "Fleet",
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": str(folder)},
    }
    return {"apiVersion": 1, "providers": [provider]}


@contextlib.contextmanager
def start(*, sources: Mapping[str, Any], boards: Mapping[str, Any], port: int | None = None) -> Iterator[Grafana]:
    """A Grafana with `data_sources` and `dashboards`; its own data is deleted when it stops."""
    binary = prepare()
    port = free_port(port)
    url = f"http://127.0.0.1:{port}"
    with temporary_folder("grafana") as folder:
        provisioning = folder / "provisioning"
        for kind, document in (("datasources", sources), ("dashboards", boards)):
            (provisioning / kind).mkdir(parents=True)
            (provisioning / kind / "fleet.yaml").write_text(json.dumps(document))  # JSON is YAML
        archive = binary.resolve().parent.parent  # the archive's layout: bin/grafana, conf/, public/
        home = archive if (archive / "conf").is_dir() else _PACKAGED
        command: list[str | Path] = [binary, *(["server"] if binary.name == "grafana" else []), f"--homepath={home}"]
        settings = {
            "GF_PATHS_DATA": str(folder / "data"),
            "GF_PATHS_LOGS": str(folder / "logs"),
            "GF_PATHS_PLUGINS": str(folder / "plugins"),
            "GF_PATHS_PROVISIONING": str(provisioning),
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(port),
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_AUTH_ANONYMOUS_ORG_ROLE": "Admin",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        }
        with process(
            command, name="grafana", folder=folder, ready=lambda: answers(f"{url}/api/health"), env=settings
        ) as running:
            yield Grafana(url=url, port=port, process=running)
