"""The GitHub workflows: actionlint and shellcheck, pinned actions, minimal permissions; their scripts are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from servers import actionlint, debian, helm
from tests.support.servers import required

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
# YAML 1.1 reads the key `on` as true.
WORKFLOWS: dict[str, dict[Any, Any]] = {file.stem: yaml.safe_load(file.read_text()) for file in FILES}
JOBS = {(name, job): body for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()}
RELEASE = WORKFLOWS["release"]["jobs"]
VERSION = __version__
WRITES = {
    "wheel": {"attestations", "id-token"},
    "image": {"attestations", "id-token", "packages"},
    "chart": {"attestations", "id-token", "packages"},
    "release": {"contents"},
}
"""What each job of the release may write."""


def steps() -> list[dict[str, Any]]:
    return [step for body in JOBS.values() for step in body.get("steps", ())]


def script(job: str, name: str) -> str:
    """The script of a step of the release."""
    (found,) = (step["run"] for step in RELEASE[job]["steps"] if step.get("name") == name)
    return str(found)


def run(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A step's script as GitHub runs it with `shell: bash`."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False)


def test_actionlint_and_shellcheck_accept_the_workflows() -> None:
    with required():
        binary = actionlint.prepare()
        shellcheck = Path(shutil.which("shellcheck") or debian.unpacked("shellcheck") / "usr/bin/shellcheck")
    env = os.environ | debian.libraries(shellcheck)
    command: list[str | Path] = [binary, "-no-color", f"-shellcheck={shellcheck}", *FILES]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_action_is_pinned_to_one_commit_with_its_version() -> None:
    pins: dict[str, set[str]] = {}
    for file in FILES:
        for action, pin in re.findall(r"uses: ([^@\s]+)(.*)", file.read_text()):
            if not action.startswith("./"):
                pins.setdefault(action, set()).add(pin)

    assert len(pins) > 10
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}
    assert [action for action, (pin,) in pins.items() if not re.fullmatch(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+", pin)] == []


@pytest.mark.parametrize("job", JOBS, ids="-".join)
def test_permissions_are_minimal(job: tuple[str, str]) -> None:
    name, body = job[1], JOBS[job]
    granted = {**(WORKFLOWS[job[0]]["permissions"]), **body.get("permissions", {})}

    assert granted
    assert {scope for scope, access in granted.items() if access == "write"} == WRITES.get(name, set())
    assert all(access in ("read", "write") for access in granted.values())


def test_no_workflow_runs_the_code_of_a_pull_request_with_a_token_that_writes() -> None:
    for workflow in WORKFLOWS.values():
        assert set(workflow[True]) <= {"push", "pull_request", "workflow_call"}
    for step in steps():
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_no_script_contains_an_expression() -> None:
    """An expression in a script is expanded before the shell parses it; variables are not."""
    assert [step["run"] for step in steps() if "${{" in step.get("run", "")] == []


def test_nothing_is_published_before_the_tests_pass() -> None:
    def before(job: str) -> set[str]:
        needs = RELEASE[job].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*(before(each) for each in direct))

    assert RELEASE["test"]["uses"] == "./.github/workflows/ci.yml"
    assert any(step.get("run") == "bash .ci/run" for step in WORKFLOWS["ci"]["jobs"]["test"]["steps"])
    for job in WRITES:
        assert {"test", "version"} <= before(job), job


def test_the_image_is_built_for_two_architectures_with_what_the_dockerfile_takes() -> None:
    (build,) = (step["with"] for step in RELEASE["image"]["steps"] if "build-push" in step.get("uses", ""))
    dockerfile = (ROOT / "Dockerfile").read_text()
    arguments = {line.partition("=")[0] for line in build["build-args"].splitlines()} - {
        "SOURCE_DATE_EPOCH"
    }  # BuildKit's own

    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["provenance"], build["sbom"]) == ("mode=max", True)
    assert arguments <= set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))
    assert f" AS {build['target']}\n" in dockerfile


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the scripts read, with a changelog that has this version, in a repository with one commit."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "deploy/helm", folder / "deploy/helm")
    for name in ("exporter/__init__.py", "CHANGELOG.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    changes = (folder / "CHANGELOG.md").read_text()
    section = f"## [{VERSION}] - 2026-01-01\n\n### Added\n\n- The first entry.\n\n## [0.0.1] - 2025-01-01\n\n- Older.\n"
    (folder / "CHANGELOG.md").write_text(f"{changes}\n{section}")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "test"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def outputs(checkout: Path, tag: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    file = checkout / "outputs"
    file.touch()
    text = script("version", "Compare the tag with the project, the chart and the changelog")
    names = {"REGISTRY": "ghcr.io", "REPOSITORY": "Owner/Fleet-Exporter", "OWNER": "Owner"}
    done = run(text, checkout, GITHUB_REF_NAME=tag, GITHUB_OUTPUT=str(file), **names)
    return done, dict(line.split("=", 1) for line in file.read_text().splitlines())


def test_a_tag_that_is_the_projects_version_is_released(checkout: Path) -> None:
    done, found = outputs(checkout, f"v{VERSION}")

    assert done.returncode == 0, done.stdout
    assert found.pop("epoch").isdigit()
    assert found == {"version": VERSION, "image": "ghcr.io/owner/fleet-exporter", "charts": "ghcr.io/owner/charts"}


def test_any_other_tag_is_refused_with_the_file_that_differs(checkout: Path) -> None:
    done, found = outputs(checkout, "v99.0.0")

    assert done.returncode == 1
    assert done.stdout == "exporter/__init__.py: expected version 99.0.0\n"
    assert found == {}


def test_the_packaged_chart_uses_the_published_image(checkout: Path, tmp_path: Path) -> None:
    with required():
        binary = helm.prepare()
    home = {f"HELM_{kind}_HOME": str(tmp_path / kind) for kind in ("CACHE", "CONFIG", "DATA")}
    path = f"{binary.parent}:{os.environ['PATH']}"
    text = script("chart", "Package the chart with the published image as its default")
    done = run(text, checkout, IMAGE="ghcr.io/owner/fleet-exporter", VERSION=VERSION, PATH=path, **home)

    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(checkout / f"dist/fleet-exporter-{VERSION}.tgz") as package:
        member = package.extractfile("fleet-exporter/values.yaml")
        assert member is not None
        values = yaml.safe_load(member.read())
    original = yaml.safe_load((ROOT / "deploy/helm/values.yaml").read_text())
    original["image"] |= {"registry": "ghcr.io", "repository": "owner/fleet-exporter"}
    assert values == original


def test_the_release_has_the_versions_changes_and_checksums(checkout: Path) -> None:
    (checkout / "dist").mkdir()
    (checkout / "dist/file.whl").write_bytes(b"wheel")
    called = checkout / "called"
    gh = checkout / "bin/gh"
    gh.parent.mkdir()
    gh.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {called}\n')  # GitHub's command, which needs GitHub
    gh.chmod(0o755)
    path = f"{gh.parent}:{os.environ['PATH']}"
    done = run(script("release", "Publish"), checkout, VERSION=VERSION, GITHUB_REF_NAME=f"v{VERSION}", PATH=path)

    assert done.returncode == 0, done.stderr
    assert (checkout / "notes.md").read_text().strip() == "### Added\n\n- The first entry."
    check = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=checkout / "dist", capture_output=True, check=False)
    assert check.returncode == 0
    assert called.read_text().split()[:4] == ["release", "create", f"v{VERSION}", "--verify-tag"]
    assert called.read_text().split()[-2:] == ["dist/SHA256SUMS", "dist/file.whl"]
