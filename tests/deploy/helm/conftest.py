"""Fixtures: the chart rendered by `helm template`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers import helm
from tests.support.servers import required

CHART = Path(__file__).parents[3] / "deploy/helm"
CASES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
RELEASE, NAMESPACE = "fleet-exporter", "monitoring"

Helm = Callable[..., subprocess.CompletedProcess[str]]
"""helm(*arguments, kubeconfig=None): the completed command."""
Objects = list[dict[str, Any]]
Render = Callable[..., Objects]
"""render(values): the objects of the chart; values are a file or a mapping."""


class _Loader(yaml.CSafeLoader):
    """YAML as Go reads it: `=` is a string; PyYAML has a type for it."""


_Loader.yaml_implicit_resolvers = {
    key: found for key, found in yaml.SafeLoader.yaml_implicit_resolvers.items() if key != "="
}


def documents(text: str) -> Objects:
    """The objects of a manifest."""
    return [each for each in yaml.load_all(text, Loader=_Loader) if each]


@pytest.fixture(scope="session")
def helm_command(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    with required():
        binary = helm.prepare()
    home = tmp_path_factory.mktemp("helm")

    def run(*arguments: str | Path, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        return helm.run(binary, arguments, home=home, kubeconfig=kubeconfig)

    return run


@pytest.fixture(scope="session")
def template(helm_command: Helm, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """template(values): Helm's own answer, for values that may be wrong."""
    folder = tmp_path_factory.mktemp("values")

    def run(values: Path | dict[str, Any]) -> subprocess.CompletedProcess[str]:
        file = values
        if isinstance(file, dict):
            file = folder / "values.yaml"
            file.write_text(json.dumps(values))
        return helm_command("template", RELEASE, CHART, "--namespace", NAMESPACE, "--values", file)

    return run


@pytest.fixture(scope="session")
def render(template: Helm) -> Render:
    def objects(values: Path | dict[str, Any] | None = None) -> Objects:
        done = template(values or {})
        assert done.returncode == 0, done.stderr
        return documents(done.stdout)

    return objects


def only(objects: Objects, kind: str) -> dict[str, Any]:
    """The one object of its kind."""
    found = [each for each in objects if each["kind"] == kind]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]
