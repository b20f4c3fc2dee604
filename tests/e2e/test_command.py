"""The installed command, started in every way its users start it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from servers.process import free_port, wait_for
from tests.e2e.containers import served
from tests.support.process import exporter

COMMAND = Path(sys.executable).with_name("fleet-exporter")
ANYWHERE = {"FLEET_EXPORTER_WEB_LISTEN_ADDRESS": "127.0.0.1:0"}
PRINTING = (["metrics"], ["options"], ["schema"], ["rules"], ["--help"], ["--version"], ["rules", "--help"])


def run(
    *arguments: str, variables: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command with these variables and no others: no HOME, no PATH."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=dict(variables or {}),
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("command", [[COMMAND], [COMMAND, "serve"], [sys.executable, "-m", "exporter"]])
def test_the_exporter_serves_without_arguments(command: Sequence[str | Path], tmp_path: Path) -> None:
    with exporter(command=command, variables=ANYWHERE, cwd=tmp_path) as running:
        assert running.url.startswith("http://127.0.0.1:")
        assert running.stop() == 0


def test_with_a_configuration_file_only_it_serves(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("web: {listen_address: '127.0.0.1:0'}\nvalkey: {url: 127.0.0.1:1}\n")
    starts: list[tuple[list[str | Path], dict[str, str]]] = [
        ([COMMAND, "--config.file=config.yaml"], {}),
        ([COMMAND], {"FLEET_EXPORTER_CONFIG_FILE": "config.yaml"}),
    ]
    for command, variables in starts:
        with exporter(command=command, variables=variables, cwd=tmp_path) as running:
            assert 'sources="valkey"' in running.log[0].replace("sources=valkey", 'sources="valkey"')
            assert running.stop() == 0


def test_it_serves_without_home_and_with_standard_streams_closed(tmp_path: Path) -> None:
    shell = f"exec env -i FLEET_EXPORTER_WEB_LISTEN_ADDRESS=127.0.0.1:0 {COMMAND} <&- >&-"
    with exporter(command=["sh", "-c", shell], cwd=tmp_path) as running:
        assert httpx.get(f"{running.url}/metrics", trust_env=False).status_code == 200
        assert running.stop() == 0


def test_a_stalled_log_reader_does_not_block_the_exporter(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 1024)
    os.set_blocking(writer, True)
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([COMMAND, f"--web.listen-address={address}"], stderr=writer, cwd=tmp_path)
    try:
        assert "fleet_exporter_build_info" in served(f"http://{address}/metrics").text
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(writer)
        os.close(reader)


def test_dropped_log_lines_are_counted(tmp_path: Path) -> None:
    down = ANYWHERE | {"REDIS_URL": "redis://127.0.0.1:1"}
    with exporter(command=[COMMAND], variables=down, cwd=tmp_path) as running:
        assert running.process.stderr is not None
        running.process.stderr.close()

        def dropped() -> bool:
            page = httpx.get(f"{running.url}/metrics", trust_env=False).text
            # At least the line that the source is down; those of the start may come after the pipe is closed, too.
            return re.search(r"^fleet_exporter_log_dropped_lines_total [1-9]", page, re.MULTILINE) is not None

        wait_for(dropped, what="the line that the source is down to be counted")
        assert running.stop() == 0


def test_the_first_log_lines_have_the_version_and_a_warning_without_sources() -> None:
    with exporter(command=[COMMAND], variables=ANYWHERE) as running:
        assert "version=0" in running.log[0]
        assert f"python={sys.version.split()[0]}" in running.log[0]
        assert "sources=none" in running.log[0]
        assert [line for line in running.log if "level=warn" in line] == [running.log[1]]
        assert "NATS_URL" in running.log[1]
        page = httpx.get(running.url, trust_env=False).text
        assert "Getting started" in page
        assert all(name in page for name in ("NATS_URL", "REDIS_URL", "NEO4J_URI"))


def test_a_start_and_a_stop_are_logged_in_a_few_lines() -> None:
    with exporter(command=[COMMAND], variables=ANYWHERE) as running:
        assert httpx.get(f"{running.url}/-/healthy", trust_env=False).status_code == 200
        assert running.stop() == 0
        assert running.process.stderr is not None
        assert "logger=exporter.web.server msg=listening" in running.log[2]
        last = running.process.stderr.read().splitlines()

    assert [line.partition(" msg=")[2] for line in last] == ["stopping signal=SIGTERM"]


def test_sighup_does_not_stop_the_exporter() -> None:
    with exporter(command=[COMMAND], variables=ANYWHERE) as running:
        running.process.send_signal(signal.SIGHUP)
        assert httpx.get(f"{running.url}/-/healthy", trust_env=False).status_code == 200
        assert running.process.poll() is None
        assert running.stop() == 0


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_printing_commands_need_no_variables_and_no_locale(arguments: Sequence[str], tmp_path: Path) -> None:
    plain = run(*arguments, cwd=tmp_path)
    latin = run(*arguments, variables={"LC_ALL": "C", "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}, cwd=tmp_path)

    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout
    assert (latin.returncode, latin.stdout) == (0, plain.stdout)


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_command_exits_quietly_when_its_output_is_closed(arguments: Sequence[str]) -> None:
    for shell in ('"$0" "$@" | head -c 1', '"$0" "$@" >&-'):
        done = subprocess.run(["sh", "-c", shell, COMMAND, *arguments], capture_output=True, text=True, check=False)

        assert done.stderr == ""


def test_a_full_disk_is_reported_in_a_sentence() -> None:
    done = subprocess.run(["sh", "-c", '"$0" metrics > /dev/full', COMMAND], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "fleet-exporter: standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        ([], {"FLEET_EXPORTER_WEB_LISTEN_ADDRESS": "nowhere"}, "web.listen_address"),
        ([], {"NATS_URL": "nats://127.0.0.1:abc"}, "jetstream.url (--jetstream.url, NATS_URL): expected nats://host:port"),
        ([], {"REDIS_URL": "redis//x"}, "valkey.url (--valkey.url, REDIS_URL): expected redis://host:port"),
        (["--services.grpc=orchestrator:50055"], {}, "services.grpc (--services.grpc): expected name=value"),
        (["--config.file=none.yaml"], {}, "none.yaml: No such file"),
        (["--jetstream.password=hunter2"], {}, "set FLEET_EXPORTER_JETSTREAM_PASSWORD or NATS_PASSWORD"),
        (["--valkey.pasword=hunter2"], {}, "--valkey.pasword: no such flag"),
        (["--neo4j.password", "hunter2"], {}, "set FLEET_EXPORTER_NEO4J_PASSWORD or NEO4J_PASSWORD"),
        (["--neo4j.ulr=hunter2"], {}, "did you mean --neo4j.uri?"),
        (["rules", "--valkey.url=redis://h"], {}, "--valkey.url: no such flag"),
        (["check", "--valkey.timeout=-1"], {}, "valkey.timeout"),
        (["dashboards"], {}, "--out"),
        (["collect"], {}, "SOURCE"),
        (["collect", "valkey"], {}, "valkey has no address; see `fleet-exporter options`"),
        (["collect", "valkey", "--shard=1/3"], {"REDIS_URL": "redis://h:1"}, "valkey is not sharded; --shard=0/3 reads it"),
        (["colect"], {}, "invalid choice"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_2(
    arguments: Sequence[str], variables: Mapping[str, str], words: str, tmp_path: Path
) -> None:
    done = run(*arguments, variables=variables, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("fleet-exporter: ")
    assert words in done.stderr
    assert "hunter2" not in done.stderr


def test_collect_reports_why_a_service_is_down() -> None:
    done = run("collect", "services", "--services.http=gateway=http://127.0.0.1:1/health")

    assert done.returncode == 0
    assert 'fleet_service_up{service="gateway",address="127.0.0.1:1"} 0' in done.stdout
    assert done.stderr.count("\n") == 1
    assert 'msg="service is down" service=gateway' in done.stderr
    assert "Connection refused" in done.stderr


def test_help_fits_two_screens_and_names_the_secrets_variables() -> None:
    shown = run("--help").stdout

    assert len(shown.splitlines()) <= 80
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert all(name in shown for name in ("NATS_PASSWORD", "--valkey.url", "fleet-exporter options", "collect"))


@pytest.mark.parametrize(
    ("command", "flag"), [("rules", "--grafana-url"), ("dashboards", "--without-loki"), ("collect", "SOURCE")]
)
def test_a_commands_help_has_its_own_flags(command: str, flag: str) -> None:
    for arguments in ((command, "--help"), ("--help", command), (command, "-h")):
        shown = run(*arguments).stdout

        assert flag in shown
        assert len(shown.splitlines()) < 40
        assert "--valkey.url" not in shown


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["collect", "--help"]], ids=" ".join)
def test_version_and_help_import_nothing_heavy(arguments: Sequence[str]) -> None:
    program = f"""
import sys
from exporter.cli import main
main({arguments!r})
print(*{{name.split(".")[0] for name in sys.modules}}, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stderr.split())

    assert not imported & {
        "pydantic",
        "yaml",
        "fastapi",
        "starlette",
        "uvicorn",
        "nats",
        "redis",
        "httpx",
        "asyncio",
        "shtab",
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_commands_and_flags(shell: str) -> None:
    done = run("--print-completion", shell)

    assert done.returncode == 0
    assert all(name in done.stdout for name in ("collect", "valkey.url", "dashboards"))


def test_bash_completes_a_flag() -> None:
    program = """
source <("$0" --print-completion bash)
COMP_WORDS=(fleet-exporter --valkey.u) COMP_CWORD=1
$(complete -p fleet-exporter | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(["bash", "-c", program, COMMAND], env=dict(os.environ), capture_output=True, text=True, check=True)

    assert sorted(done.stdout.split()) == ["--valkey.url", "--valkey.username"]
