"""The commands of the documentation that cannot run where the tests run, each with its reason and, if any, the test instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_DOCKER: Final = "needs an empty Docker engine and registry names; tests/e2e/test_image.py runs it"
_COMPOSE: Final = "needs Docker Compose and its images; tests/deploy/test_compose_files.py checks the file"
_CLUSTER: Final = "needs a cluster with pods; tests/e2e/cluster runs it"
_KUBELET: Final = "needs pods that run; the API server here has no kubelet"
_NATS: Final = "the client natscli cannot be downloaded here; test_nats_commands_match_the_api requests the same subjects"
_MAINTAINER: Final = "needs the reader's own program, file or machine"


@dataclass(frozen=True)
class Exemption:
    """Blocks of pages that match `page` (a glob) and begin with `command`."""

    page: str
    command: str
    reason: str


EXEMPTIONS: Final = (
    Exemption("README.md", "make test", "runs this test"),
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
    Exemption("docs/runbooks/*.md", "kubectl get servicemonitor", "needs the Prometheus Operator; tests/e2e/cluster has it"),
    Exemption("docs/runbooks/*.md", "kubectl diff", "names the command without its file"),
    Exemption("docs/runbooks/*.md", "kubectl get pods -A -o wide | grep <ip>", _KUBELET),
    Exemption("docs/runbooks/*.md", "sqlite3", "needs the reader's file; test_sql_of_the_runbooks runs its SQL"),
    Exemption("docs/runbooks/*.md", "grpcurl", "the client cannot be downloaded here"),
    Exemption("docs/runbooks/*.md", "cypher-shell", "the client cannot be downloaded here"),
    Exemption("docs/runbooks/*.md", "valkey-check-aof", _MAINTAINER),
    Exemption("docs/runbooks/*.md", "curl -i <url>", _MAINTAINER),
)
