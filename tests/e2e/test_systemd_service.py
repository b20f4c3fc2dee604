"""The systemd unit, started by a real systemd in separate namespaces: readiness, sandbox, stop and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from servers import systemd
from servers.cache import ServerMissing
from tests.support.servers import required

ROOT = Path(__file__).parents[2]
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup", "--uts", "--ipc", "--net"]

_OUTSIDE = """
set -eu
mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
here=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
own=$here/fleet-exporter-test-$$
mkdir "$own"
echo 0 > "$own/cgroup.procs"
code=0
"$@" || code=$?
echo 0 > "$here/cgroup.procs"
find "$own" -depth -type d -exec rmdir {} ';'
exit $code
"""
"""In a mount namespace: a control group for the second systemd, removed afterwards."""

_INSIDE = """
set -eu
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/etc /run/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work overlay /etc
mount -t tmpfs tmpfs /etc/systemd/system
mkdir -p /run/opt/python /run/opt/packages /run/opt/checkout
mount --bind "$PYTHON" /run/opt/python
mount --bind "$PACKAGES" /run/opt/packages
mount --bind "$CHECKOUT" /run/opt/checkout
mount --rbind /run/opt /opt
install -D -m 755 "$WORK/program" /opt/fleet-exporter/bin/fleet-exporter
install -m 644 "$CHECKOUT/deploy/systemd/fleet-exporter.service" /etc/systemd/system
mkdir -p /etc/fleet-exporter
install -m 600 "$WORK/environment" /etc/fleet-exporter/environment
mkdir /etc/systemd/system/fleet-exporter.service.d
cp "$WORK/only.conf" /etc/systemd/system/fleet-exporter.service.d
cp "$WORK/default.target" "$WORK/check.service" /etc/systemd/system
export container=other
exec "$SYSTEMD" --system --unit=default.target --log-target=null --show-status=no
"""

_PROGRAM = """#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/checkout:/opt/packages
exec /opt/python/bin/python3.11 -m exporter "$@"
"""
_TARGET = "[Unit]\nDescription=Checks\nWants=check.service\n"
_CHECK = """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash {work}/check
StandardOutput=file:{work}/report
StandardError=file:{work}/report
ExecStopPost=/bin/systemctl exit 0
"""
_ONLY = """[Unit]
# The second systemd starts nothing of this machine.
DefaultDependencies=no
Wants=
After=
[Service]
StandardOutput=file:{log}
StandardError=file:{log}
"""


Report = Callable[[str, str], tuple[str, str]]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """report(check, variables): the output of a script that runs under the second systemd, and the service's log."""
    with required():
        root = systemd.prepare()
        if os.geteuid() != 0 or subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode != 0:
            raise ServerMissing("a second systemd needs root and namespaces of the kernel: run as root")

    def run(check: str, variables: str) -> tuple[str, str]:
        return _run(tmp_path, root, check, variables)

    return run


def _run(work: Path, root: Path, check: str, variables: str) -> tuple[str, str]:
    log = work / "log"
    for name, text in {
        "program": _PROGRAM,
        "environment": f"FLEET_EXPORTER_WEB_LISTEN_ADDRESS=127.0.0.1:9847\n{variables}",
        "default.target": _TARGET,
        "check.service": _CHECK.format(work=work),
        "only.conf": _ONLY.format(log=log),
        "check": check,
        "inside": _INSIDE,
    }.items():
        (work / name).write_text(text)
    variables_of = {
        "PYTHON": sys.base_prefix,
        "PACKAGES": sysconfig.get_path("purelib"),
        "CHECKOUT": str(ROOT),
        "WORK": str(work),
        "SYSTEMD": str(root / "lib/systemd/systemd"),
    }
    outside = ["unshare", "--mount", "bash", "-c", _OUTSIDE, "outside"]
    done = subprocess.run(
        [*outside, *NAMESPACES, "bash", work / "inside"],
        env=os.environ | variables_of, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (work / "report").read_text(), log.read_text()


def test_the_service_is_ready_sandboxed_and_stops(report: Report) -> None:
    check = """
systemctl start fleet-exporter
for _ in $(seq 300); do (echo > /dev/tcp/127.0.0.1/9847) 2>/dev/null && break; sleep 0.1; done
exec 3<>/dev/tcp/127.0.0.1/9847
printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3
grep -E '^(fleet_exporter_source_up|process_start_time_seconds)' <&3
grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$(systemctl show -P MainPID fleet-exporter)/status
systemctl stop fleet-exporter
systemctl show -p Result,ExecMainStatus,ActiveState fleet-exporter
"""
    shown, log = report(check, "REDIS_URL=redis://127.0.0.1:1\n")
    status = dict(line.split(":\t", 1) for line in shown.splitlines() if ":\t" in line)

    assert 'fleet_exporter_source_up{source="valkey",server="127.0.0.1:1"} 0' in shown, log
    assert "process_start_time_seconds " in shown
    assert int(status["Uid"].split()[0]) >= 61184  # the range of systemd's dynamic users
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {"Result=success", "ExecMainStatus=0", "ActiveState=inactive"} <= set(shown.splitlines())


def test_an_invalid_configuration_fails_once_and_is_not_restarted(report: Report) -> None:
    check = """
systemctl start fleet-exporter
for _ in $(seq 300); do systemctl is-failed -q fleet-exporter && break; sleep 0.1; done
systemctl show -p Result,ExecMainStatus,ActiveState,NRestarts fleet-exporter
"""
    shown, log = report(check, "FLEET_EXPORTER_VALKEY_TIMEOUT=soon\n")

    assert {"Result=exit-code", "ExecMainStatus=2", "ActiveState=failed", "NRestarts=0"} == set(shown.splitlines()), log
    assert "FLEET_EXPORTER_VALKEY_TIMEOUT" in log or "valkey.timeout" in log
