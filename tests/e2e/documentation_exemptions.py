"""The commands of the documentation that cannot run in the tests, each with its reason and the test that replaces it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_DOCKER: Final = "needs an empty Docker engine and registry names; tests/e2e/test_image.py runs it"
_COMPOSE: Final = "needs Docker Compose and its images; tests/e2e/test_compose.py runs the file"
_CLUSTER: Final = "needs a cluster with pods; tests/e2e/cluster runs it"
_KUBELET: Final = "needs pods that run; the API server here has no kubelet"
_NATS: Final = "the client natscli cannot be downloaded here; tests/privileges requests the subjects behind it"
_MAINTAINER: Final = "needs the reader's own program, file or machine"


@dataclass(frozen=True)
class Exemption:
    """Blocks of pages that match `page` (a glob) and begin with `command`."""

    page: str
    command: str
    reason: str


EXEMPTIONS: Final = (
    Exemption("README.md", "make demo", "builds an environment; tests/e2e/test_bare_machine.py runs it"),
    Exemption("README.md", "make test", "runs this test"),
    Exemption("README.md", "curl -N", "streams until it is interrupted; tests/web/api/test_event_stream.py reads it"),
    Exemption("README.md", "docker build", _DOCKER),
    Exemption("README.md", "cd deploy/compose", _COMPOSE),
    Exemption("README.md", "helm install", _CLUSTER),
    Exemption("docs/quick-start.md", "docker build", _DOCKER),
    Exemption("docs/quick-start.md", "helm install", _CLUSTER),
    Exemption("docs/image.md", "docker", _DOCKER),
    Exemption("docs/kubernetes.md", "docker build", _CLUSTER),
    Exemption("docs/kubernetes.md", "helm", _CLUSTER),
    Exemption("docs/upgrading.md", "helm upgrade", _CLUSTER),
    Exemption(
        "docs/least-privilege.md", "NATS_URL", "needs the documented account; tests/privileges/test_nats_account.py uses it"
    ),
    Exemption("deploy/compose/README.md", "", _COMPOSE),
    Exemption("deploy/helm/README.md", "helm install", _CLUSTER),
    Exemption(
        "deploy/systemd/README.md", "", "installs a service on the host; tests/e2e/test_systemd_service.py runs the unit"
    ),
    Exemption("docs/runbooks/*.md", "nats ", _NATS),
    Exemption("docs/runbooks/*.md", "kubectl exec", _KUBELET),
    Exemption("docs/runbooks/*.md", "kubectl logs", _KUBELET),
    Exemption("docs/runbooks/*.md", "kubectl -n <namespace> logs", _KUBELET),
    Exemption("docs/runbooks/*.md", "kubectl -n <operator-namespace> logs", _KUBELET),
    Exemption("docs/runbooks/*.md", "kubectl -n <namespace> exec", _KUBELET),
    Exemption("docs/runbooks/*.md", "kubectl -n <namespace> top", "needs a metrics-server"),
    Exemption(
        "docs/runbooks/*.md", "kubectl -n <namespace> rollout undo", "needs revisions, which a controller-manager makes"
    ),
    Exemption(
        "docs/runbooks/*.md", "valkey-cli -h <sentinel>", "needs a Sentinel; tests/sources/test_valkey_modes.py has it"
    ),
    Exemption(
        "docs/runbooks/*.md", "valkey-cli -h <host> cluster", "needs a cluster; tests/sources/test_valkey_modes.py has it"
    ),
    Exemption("docs/runbooks/*.md", "valkey-cli --cluster fix", "changes the slots of a cluster"),
    Exemption("docs/runbooks/*.md", "kubectl get servicemonitor", "needs the Prometheus Operator; tests/e2e/cluster has it"),
    Exemption("docs/runbooks/*.md", "kubectl diff", "names the command without its file"),
    Exemption("docs/runbooks/*.md", "kubectl get pods -A -o wide | grep <ip>", _KUBELET),
    Exemption(
        "docs/runbooks/*.md",
        "sqlite3",
        "needs the reader's file; tests/sources reads such files",
    ),
    Exemption("docs/runbooks/*.md", "grpcurl", "the client cannot be downloaded here"),
    Exemption("docs/runbooks/*.md", "cypher-shell", "the client cannot be downloaded here"),
    Exemption("docs/runbooks/*.md", "valkey-check-aof", _MAINTAINER),
    Exemption("docs/runbooks/*.md", "curl -i <url>", _MAINTAINER),
)
