"""Real servers for the tests, one of each kind per session. A missing server fails a CI run and skips tests elsewhere."""

from __future__ import annotations

import contextlib
import inspect
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import hypothesis
import pytest

from servers import alertmanager, kubernetes, loki, nats, neo4j, prometheus, valkey
from tests.support.demo import RunningDemo, running_demo
from tests.support.servers import required

# A busy machine is not a test failure.
hypothesis.settings.register_profile(
    "no clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.register_profile(
    "fuzz", hypothesis.settings.get_profile("no clock"), max_examples=int(os.environ.get("EXAMPLES", "2000"))
)
hypothesis.settings.load_profile("no clock")


_STARTS_A_SERVER = frozenset(
    {"valkey_server", "nats_server", "server", "neo4j_server", "kubernetes_server", "promtool", "demo_fleet"}
    | {"running", "guarded", "helm_command", "amtool"}  # the exporter as a process; helm and amtool
)
_ONLY_ONCE = frozenset({"demo_fleet", "engine"})
"""The demo takes minutes to start; a second Docker engine would need separate data."""


def _module_of(value: object) -> str:
    return str(getattr(value, "__module__", None) or getattr(value, "__name__", ""))


def _uses_servers(module: ModuleType) -> bool:
    """Whether a test module imports what starts real servers, the demo or a browser."""
    used = {_module_of(value) for value in vars(module).values()}
    return any(name.split(".")[0] == "servers" or name == "tests.support.demo" for name in used)


def _starts_the_exporter(test: FunctionType) -> bool:
    """Whether the code of a test, or of a function within it, names what starts the exporter as a process."""
    codes = [test.__code__]
    for code in codes:
        if any(_module_of(test.__globals__.get(name)) == "tests.support.process" for name in code.co_names):
            return True
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    return False


def _needs_processes(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    named = bool(_STARTS_A_SERVER & set(item.fixturenames))
    return named or _uses_servers(item.module) or _starts_the_exporter(inspect.unwrap(item.function))


def _shared(item: pytest.Item) -> set[str]:
    return set(_ONLY_ONCE & set(getattr(item, "fixturenames", ())))


def _order(item: pytest.Item) -> tuple[bool, bool, bool]:
    """Long tests first and tests without a server last, which fill what the workers have left."""
    return not _shared(item), item.get_closest_marker("slow") is None, item.get_closest_marker("server") is None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers `e2e` and `server`, and the group of tests that one of pytest-xdist's workers runs in their order.

    A group is a file, or all tests that share a single resource; these come first, next to each other.
    """
    for item in items:
        shared = _shared(item)
        item.add_marker(pytest.mark.xdist_group(min(shared) if shared else item.nodeid.partition("::")[0]))
        if "e2e" in item.path.relative_to(item.config.rootpath).parts:
            item.add_marker("e2e")
        elif _needs_processes(item):
            item.add_marker("server")
    items.sort(key=_order)


_demo = contextlib.ExitStack()
_last_of_demo = pytest.StashKey[pytest.Item]()


def pytest_collection_finish(session: pytest.Session) -> None:
    for item in session.items:
        if "demo_fleet" in _shared(item):
            session.stash[_last_of_demo] = item


@pytest.hookimpl(trylast=True)  # after the test's own fixtures
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Stop the demo after its last test: its servers would take a third of a core from all others."""
    if item is item.session.stash.get(_last_of_demo, None):
        _demo.close()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[valkey.RunningValkey]:
    with required():
        valkey.prepare()
    with valkey.start() as server:
        yield server


@pytest.fixture(scope="session")
def nats_server() -> Iterator[nats.Nats]:
    with required():
        nats.prepare()
    with nats.start() as server:
        yield server


@pytest.fixture
def server() -> Iterator[nats.Nats]:
    """A NATS server that belongs to one test."""
    with nats.start() as running:
        yield running


@pytest.fixture(scope="session")
def neo4j_server() -> Iterator[neo4j.RunningNeo4j]:
    with required():
        neo4j.prepare()
    with neo4j.start() as server:
        yield server


@pytest.fixture(scope="session")
def kubernetes_server() -> Iterator[kubernetes.Kubernetes]:
    """A Kubernetes API server with KubeRay's CRDs and a user without permissions."""
    with required():
        kubernetes.prepare()
    with kubernetes.start(tokens={"nobody": ("nobodies",)}) as server:
        server.apply_ray_crds()
        yield server


@pytest.fixture(scope="session")
def promtool() -> Path:
    with required():
        return prometheus.promtool()
    raise AssertionError  # not reached: `required` ends the test


@pytest.fixture(scope="session")
def demo_fleet() -> Iterator[RunningDemo]:
    """The demo with every source up; a test that injects a fault removes it."""
    with required():
        for server in (kubernetes, loki, neo4j, prometheus, alertmanager):
            server.prepare()
    with _demo:
        demo = _demo.enter_context(running_demo())
        demo.wait_until_said("Every source is up", deadline=400)
        yield demo


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed server certificate, and a client certificate with its own authority."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client"):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder
