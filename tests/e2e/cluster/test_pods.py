"""The chart's pods on a real node: started, probed, confined, restarted and upgraded."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from servers.process import wait_for
from tests.e2e.cluster.conftest import NAMESPACE, RELEASE, Release, page_of, processes


def condition(pod: dict[str, Any], kind: str) -> str:
    return next((each["status"] for each in pod["status"].get("conditions", []) if each["type"] == kind), "Unknown")


def test_the_command_of_the_readme_starts_a_pod_that_reads_nats(release: Release) -> None:
    (pod,) = release.pods()
    page = page_of(release.service)

    assert condition(pod, "Ready") == "True"
    assert [each["restartCount"] for each in pod["status"]["containerStatuses"]] == [0]
    assert [value for name, value in page.items() if re.match(r'fleet_exporter_source_up\{.*"jetstream"', name)] == [1]


def test_a_pod_reads_the_api_server_with_its_own_account(release: Release) -> None:
    release.upgrade("config.workloads.in_cluster=true")

    def ready_pods() -> list[float]:
        found = r'fleet_workload_ready_pods\{.*workload="fleet-exporter".*\}'
        return [value for name, value in page_of(release.service).items() if re.match(found, name)]

    wait_for(lambda: ready_pods() == [1], what="the exporter's own workload on its page")
    release.upgrade("config.workloads=null")


def test_helm_test_passes_and_leaves_no_pod(release: Release) -> None:
    said = release.helm("test", RELEASE, "-n", NAMESPACE)

    assert re.search(r"Phase:\s+Succeeded", said), said
    wait_for(lambda: len(release.names("api/v1", "pods")) == 1, what="the test's pod to be removed")


def test_the_kernel_confines_the_process(release: Release) -> None:
    """Read from the kernel, not from the manifest."""
    (pod,) = release.pods()
    for pid in processes(pod):
        status = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
        mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        root = next(fields for fields in mounts if fields[4] == "/")

        assert status["Uid"].split() == status["Gid"].split() == ["65532"] * 4
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"  # a filter
        assert "ro" in root[5].split(",")
    assert processes(pod)


def test_a_hung_exporter_is_removed_from_the_service_and_restarted(release: Release) -> None:
    quick = "periodSeconds=1", "timeoutSeconds=1", "failureThreshold=2"
    probes = [f"{probe}.{setting}" for probe in ("readinessProbe", "livenessProbe") for setting in quick]
    release.upgrade(*probes, "livenessProbe.failureThreshold=6", "terminationGracePeriodSeconds=1")
    (pod,) = release.pods()
    (pid,) = processes(pod)
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: condition(release.pods()[0], "Ready") == "False", what="the pod to be taken for unready")
    wait_for(lambda: condition(release.pods()[0], "Ready") == "True", what="the pod to be restarted", deadline=90)
    (after,) = release.pods()

    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 1


@contextmanager
def reading(address: str) -> Iterator[list[Any]]:
    """Read a page repeatedly over new connections; returns the process start time or the error of each request."""
    seen: list[Any] = []
    end = threading.Event()

    def read() -> None:
        while not end.is_set():
            try:
                seen.append(page_of(address)["process_start_time_seconds"])
            except httpx.HTTPError as error:
                seen.append(repr(error))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        wait_for(lambda: bool(seen), what="the first page")
        yield seen
        rest = len(seen)
        wait_for(lambda: len(seen) > rest + 1, what="another page")
    finally:
        end.set()
        thread.join()


def test_an_upgrade_leaves_no_gap(release: Release) -> None:
    with reading(release.service) as seen:
        release.upgrade("config.log.level=debug")

    failures = [each for each in seen if isinstance(each, str)]
    assert failures == []
    assert len(set(seen)) == 2  # the old process and the new one
