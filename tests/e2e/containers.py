"""Containers as a user starts them, in the engine of the tests."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from servers.docker import DockerFailed, Engine
from servers.process import ServerFailed, wait_for

_DEADLINE = 60.0
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65532")


@dataclass(frozen=True)
class Container:
    """A container that was started; it may have ended."""

    engine: Engine
    id: str
    user: str = ""

    def state(self) -> dict[str, Any]:
        """Status, exit code and health, as `docker inspect` shows them."""
        return dict(json.loads(self.engine.docker("inspect", "--format", "{{json .State}}", self.id)))

    def health(self) -> str:
        """starting, healthy or unhealthy."""
        return str(self.state()["Health"]["Status"])

    def wait_for_health(self, status: str = "healthy") -> None:
        """Return when Docker reports that status. Raises ServerFailed."""
        wait_for(lambda: self.health() == status, what=f"the container to be {status}", deadline=_DEADLINE)

    def address(self, port: int = 9847) -> str:
        """host:port at which a published port is reached."""
        return self.engine.docker("port", self.id, str(port)).splitlines()[0]

    def logs(self) -> list[str]:
        """The lines of stdout, then of stderr."""
        done = self.engine.attempt("logs", self.id)
        return [*done.stdout.splitlines(), *done.stderr.splitlines()]

    def changes(self) -> list[str]:
        """Files that were written, changed or removed since the start."""
        return self.engine.docker("diff", self.id).splitlines()

    def run(self, *command: str) -> str:
        """Standard output of a command inside. Raises DockerFailed."""
        return self.engine.docker("exec", f"--user={self.user}", self.id, *command)

    def start(self, script: str) -> None:
        """Run a shell script inside, in the working folder, and do not wait for it."""
        self.engine.docker("exec", "--detach", f"--user={self.user}", self.id, "sh", "-c", script)

    def has(self, path: str) -> bool:
        """Whether the file exists in the container."""
        return self.engine.attempt("exec", self.id, "test", "-e", path).returncode == 0

    def stop(self, seconds: int) -> int:
        """The exit code after SIGTERM; 137 if the container had to be killed after `seconds`."""
        self.engine.docker("stop", "-t", str(seconds), self.id)
        return int(self.state()["ExitCode"])


@contextmanager
def container(engine: Engine, image: str, *options: str, command: Sequence[str] = ()) -> Iterator[Container]:
    """`docker run --detach OPTIONS IMAGE COMMAND`, removed at the end."""
    started = Container(engine, engine.docker("run", "--detach", *options, image, *command).strip())
    try:
        yield started
    except (AssertionError, ServerFailed, DockerFailed) as error:
        error.add_note("\n".join(started.logs()[-40:]))
        raise
    finally:
        engine.docker("rm", "-f", "-v", started.id)


def served(url: str, *, authority: Path | None = None) -> httpx.Response:
    """The response of a URL, once it has status 200. Raises ServerFailed."""
    answers: list[httpx.Response] = []
    trusted = ssl.create_default_context(cafile=str(authority)) if authority else False

    def answered() -> bool:
        with httpx.Client(verify=trusted, timeout=30, trust_env=False) as client:
            try:
                answers.append(client.get(url))
            except httpx.TransportError:
                return False
        return answers[-1].status_code == 200

    wait_for(answered, what=url, deadline=_DEADLINE)
    return answers[-1]
