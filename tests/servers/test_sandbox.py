"""A sandbox is isolated: changes in it are not visible outside and end with it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from servers import oci, sandbox
from servers.process import ServerFailed, temporary_folder, wait_for
from tests.support.servers import required

pytestmark = pytest.mark.usefixtures("nothing_left")


def devices() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def routes() -> str:
    return subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout


def test_a_sandbox_does_not_change_the_host(tmp_path: Path) -> None:
    with required():
        sandbox.prepare()
    before = devices(), routes(), Path("/proc/self/mountinfo").read_text()
    with temporary_folder("sandbox") as folder, sandbox.start(folder) as inside:
        inside.run("mount", "-t", "tmpfs", "none", tmp_path)
        seen = inside.run("sh", "-c", f"echo here > {tmp_path}/file; ls {tmp_path}").split()
        inside.run("ip", "link", "add", "test-bridge", "type", "bridge")
        inside.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 & setsid sleep 1000 >/dev/null 2>&1 &")
        with pytest.raises(ConnectionRefusedError):  # an answer
            socket.create_connection((inside.address, 9), timeout=10)
        during = devices(), routes(), Path("/proc/self/mountinfo").read_text()
        with pytest.raises(ServerFailed, match=r"^.*false ended with 1"):
            inside.run("false")

    assert seen == ["file"]
    assert list(tmp_path.glob("file")) == []
    assert "test-bridge" not in during[0]
    assert during[2] == before[2]
    assert during[1].count("198.1") > before[1].count("198.1")
    assert (devices(), routes()) == before[:2]


def test_a_sandbox_ends_with_the_process_that_made_it(tmp_path: Path) -> None:
    """Killed without a chance to clean up."""
    with required():
        sandbox.prepare()
    before = devices()
    program = (
        "import sys, pathlib; from servers import sandbox\n"
        "with sandbox.start(pathlib.Path(sys.argv[1])) as inside:\n"
        "    print(inside.pid, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    wait_for(lambda: devices() == before, what="the network device to vanish")


def test_an_image_of_a_binary_has_its_shared_libraries(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    oci.write(archive, "registry.example/python:1", {"/bin/python": Path("/bin/sh")}, entrypoint=["/bin/python"])
    with tarfile.open(archive) as tar:

        def content(name: str) -> bytes:
            found = tar.extractfile(name)
            assert found is not None
            return found.read()

        (described,) = json.loads(content("index.json"))["manifests"]
        manifest = json.loads(content(f"blobs/sha256/{described['digest'].removeprefix('sha256:')}"))
        config = json.loads(content(f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"))
        layer = tar.extractfile(f"blobs/sha256/{manifest['layers'][0]['digest'].removeprefix('sha256:')}")
        with tarfile.open(fileobj=layer) as files:
            names = files.getnames()

    assert described["annotations"] == {"io.containerd.image.name": "registry.example/python:1"}
    assert config["config"]["Entrypoint"] == ["/bin/python"]
    assert config["config"]["User"] == "65534"
    assert "bin/python" in names
    assert any(name.endswith("libc.so.6") for name in names)
    assert any("ld-linux" in name for name in names)
