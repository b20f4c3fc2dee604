"""A Kubernetes API server and its etcd, built with Go: RBAC on, no kubelet and no controllers; ready in about 3 s.

The first build takes about three minutes; two binaries stay (130 MB). A running pair takes 400 MiB.
Nothing here collects garbage: a deleted namespace stays Terminating, so take a fresh one instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from servers import debian, kubernetes_binaries
from servers.cache import Progress, ServerMissing, silent
from servers.kubernetes_crds import CRDS, GROUP, KINDS, ray_crds
from servers.process import Process, ServerFailed, answers, free_port, process, temporary_folder, wait_for

_ADMIN = "fleet-administrator"

Tokens = Mapping[str, Sequence[str]] | Sequence[tuple[str, Sequence[str]]]
"""Static tokens: each token, which is its user's name too, with the user's groups."""


def prepare(progress: Progress = silent) -> Path:
    """The folder with `kube-apiserver` and `etcd`. Raises ServerMissing."""
    binaries = kubernetes_binaries.prepare(progress)
    _openssl(progress)
    return binaries


def _openssl(progress: Progress = silent) -> str:
    """The command that creates the signing key of ServiceAccount tokens. Raises ServerMissing."""
    if shutil.which("openssl") is None and os.geteuid() == 0:
        progress("installing Debian's openssl")
        debian.install("openssl")
    if (found := shutil.which("openssl")) is None:
        raise ServerMissing("the Kubernetes API server needs a key made by the openssl command: install openssl")
    return found


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """A running API server (`api`) on its `etcd`; either may be paused or restarted. `folder` goes at the end."""

    url: str
    port: int
    ca_file: Path
    admin_token: str
    kubeconfig: Path
    """The administrator's."""
    service_account_key: Path
    """The signing key of ServiceAccount tokens."""
    folder: Path
    etcd_url: str
    etcd: Process
    api: Process
    client: httpx.Client = field(repr=False)

    @property
    def pid(self) -> int:
        return self.api.pid

    def write_kubeconfig(self, token: str, file: Path) -> Path:
        """A kubeconfig with that token."""
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fleet",
            "clusters": [{"name": "fleet", "cluster": cluster}],
            "users": [{"name": "fleet", "user": {"token": token}}],
            "contexts": [{"name": "fleet", "context": {"cluster": "fleet", "user": "fleet"}}],
        }
        file.touch(mode=0o600)
        file.write_text(json.dumps(content))
        return file

    def request(
        self, method: str, path: str, body: Any = None, *, token: str = _ADMIN, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """(status, decoded JSON) of one call of the REST API."""
        headers = {"authorization": f"Bearer {token}", "content-type": content_type}
        content = None if body is None else json.dumps(body)
        response = self.client.request(method, path, content=content, headers=headers)
        return response.status_code, response.json() if "json" in response.headers.get("content-type", "") else None

    def create(self, path: str, body: Any) -> Any:
        """Create an object, or take it as it is when it exists. Raises ServerFailed when the server refuses."""
        status, response = self.request("POST", path, body)
        if status not in (200, 201, 202, 409):
            raise ServerFailed(f"the API server refused to create {path}: {status} {(response or {}).get('message', '')}")
        return response

    def service_account_token(self, name: str, *, namespace: str = "default") -> str:
        """A token for an hour for a ServiceAccount, made when it is missing (as is its namespace)."""
        self.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.create(accounts, {"metadata": {"name": name}})
        response = self.create(f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 3600}})
        return str(response["status"]["token"])

    def apply_ray_crds(self, version: str = "v1") -> None:
        """Create KubeRay's CRDs in this version; returns when all are served."""
        for crd in ray_crds(version):
            self.create(CRDS, crd)
        served = [f"/apis/{GROUP}/{version}/{plural}" for plural in KINDS]
        wait_for(lambda: all(self.request("GET", path)[0] == 200 for path in served), what="RayJobs to be served")

    def delete_ray_crds(self) -> None:
        """Delete these CRDs and their objects; returns when they are deleted."""
        definitions = [f"{CRDS}/{plural}.{GROUP}" for plural in KINDS]
        for path in definitions:
            self.request("DELETE", path)
        gone = [*definitions, *(f"/apis/{GROUP}/{one}/{plural}" for plural in KINDS for one in ("v1", "v1alpha1"))]
        wait_for(lambda: all(self.request("GET", path)[0] == 404 for path in gone), what="RayJobs to be forgotten")

    def stop_api(self) -> None:
        """Stop the API server only; etcd keeps the objects."""
        self.api.stop()

    def start_api(self) -> None:
        """Start it again on the same port, with the same certificate."""
        self.api.start()

    def restart_api(self) -> None:
        """Restart both: watches end, and their resource versions are too old afterwards."""
        self.api.restart()


def apply_ray_crds(server: Kubernetes) -> None:
    """As the method."""
    server.apply_ray_crds()


def delete_ray_crds(server: Kubernetes) -> None:
    """As the method."""
    server.delete_ray_crds()


def _make_key(file: Path) -> None:
    done = subprocess.run([_openssl(), "genrsa", "-out", file, "2048"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerMissing(f"openssl made no key for the Kubernetes API server: {done.stderr.strip()[-300:]}")


def _users(tokens: Tokens) -> str:
    """The server's token file, the administrator first."""
    users = {_ADMIN: ("system:masters",), **dict(tokens)}
    return "".join(f'{token},{token},{token},"{",".join(groups)}"\n' for token, groups in users.items())


@contextlib.contextmanager
def start(
    *,
    tokens: Tokens = (),
    port: int | None = None,
    api_args: Sequence[str] = (),
    address: str = "127.0.0.1",
    within: Sequence[str] = (),
    services: str = "10.0.0.0/24",
    controllers: bool = False,
) -> Iterator[Kubernetes]:
    """An empty cluster; `tokens` are further users besides the administrator, `api_args` further flags.

    `within` goes before both commands, which listen on `address`; `services` is the network of Services.
    `controllers` says that a controller manager joins: pods get ServiceAccounts, the Service `kubernetes` its endpoint.
    """
    binaries = prepare()
    port = free_port(port)
    url, etcd_url, peer_url = f"https://{address}:{port}", *(f"http://{address}:{free_port()}" for _ in range(2))
    with temporary_folder("kubernetes") as folder:
        key, users, certificate = folder / "service-account.key", folder / "tokens.csv", folder / "tls/apiserver.crt"
        _make_key(key)
        users.touch(mode=0o600)
        users.write_text(_users(tokens))
        etcd_command: list[str | Path] = [
            *within,
            binaries / "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",  # the data is deleted with the folder
            "--log-level=error",
        ]
        api_command: list[str | Path] = [
            *within,
            binaries / "kube-apiserver",
            f"--etcd-servers={etcd_url}",
            f"--bind-address={address}",
            f"--advertise-address={address}",
            f"--secure-port={port}",
            f"--cert-dir={certificate.parent}",
            "--service-account-issuer=https://fleet.test",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            f"--token-auth-file={users}",
            "--authorization-mode=RBAC",
            f"--service-cluster-ip-range={services}",
            f"--endpoint-reconciler-type={'lease' if controllers else 'none'}",
            "--kubelet-preferred-address-types=InternalIP",  # no DNS server knows the node
            *(() if controllers else ("--disable-admission-plugins=ServiceAccount",)),  # it waits for a controller
            *api_args,
        ]

        def etcd_ready() -> bool:
            return answers(f"{etcd_url}/health")

        def api_ready() -> bool:
            return certificate.exists() and answers(f"{url}/readyz", token=_ADMIN, ca_file=certificate)

        with (
            process(etcd_command, name="etcd", folder=folder, ready=etcd_ready) as etcd,
            process(api_command, name="kube-apiserver", folder=folder, ready=api_ready, deadline=120) as api,
            _client(url, certificate) as client,
        ):
            server = Kubernetes(
                url=url,
                port=port,
                ca_file=certificate,
                admin_token=_ADMIN,
                kubeconfig=folder / "kubeconfig",
                service_account_key=key,
                folder=folder,
                etcd_url=etcd_url,
                etcd=etcd,
                api=api,
                client=client,
            )
            server.write_kubeconfig(_ADMIN, server.kubeconfig)
            yield server


def _client(url: str, ca_file: Path) -> httpx.Client:
    verify = ssl.create_default_context(cafile=str(ca_file))
    return httpx.Client(base_url=url, verify=verify, timeout=60, trust_env=False)
