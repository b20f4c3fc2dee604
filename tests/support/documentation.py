"""Documentation as a script: the code blocks of a page in order, and a shell that keeps its folder and variables.

Languages: `sh` and `console` are run (`console` has `$ ` before commands, and their output), `promql` is queried, others
are data. In commands, `<name>` is a placeholder, and host names such as `nats:4222` stand for the reader's servers.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servers.process import answers, guarding, wait_for

ROOT = Path(__file__).parents[2]
DATA = frozenset({"text", "yaml", "ini", "conf", "cypher", "python", "json"})
COMMANDS = ("kubectl", "nats", "valkey-cli", "valkey-check-aof", "amtool", "sqlite3", "curl", "grpcurl", "cypher-shell")
"""Programs whose calls within a sentence of a runbook are commands too."""

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_SPAN = re.compile(r"`([^`]+)`")
_SERVER = re.compile(r"(?:\w+=\S+ )*fleet-exporter(?: --\S+)*")
_MARK = "<!-- end of generated part -->"


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that is written for users."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "deploy").rglob("README.md"))]
    return [page for page in found if page.is_file()]


def runbooks() -> list[Path]:
    return sorted((ROOT / "docs/runbooks").glob("*.md"))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, without the indentation of a list."""
    text, name = page.read_text(), str(page.relative_to(ROOT))
    return [
        Block(
            name,
            text.count("\n", 0, found.start()) + 1,
            found["language"],
            found["info"].strip(),
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
        )
        for found in _BLOCK.finditer(text)
    ]


def indented(page: Path) -> list[str]:
    """Lines that Markdown shows as code without a fence."""
    rest = _BLOCK.sub("", page.read_text())
    return [
        found[1] for found in re.finditer(r"(?:^|\n)\n( {4,}\S[^\n]*)", rest) if not found[1].lstrip().startswith(("-", "|"))
    ]


def runbook_commands(page: Path) -> Iterator[Block]:
    """The hand-written part's blocks, and the commands and queries within its sentences."""
    text = page.read_text()
    start = text.index(_MARK)
    first = text.count("\n", 0, start) + 1
    yield from (block for block in blocks(page) if block.line > first)
    prose = _BLOCK.sub(lambda found: "\n" * found[0].count("\n"), text)
    for found in _SPAN.finditer(prose, prose.index(_MARK)):
        program = found[1].split()[0]
        if program in COMMANDS and " " in found[1]:
            yield Block(str(page.relative_to(ROOT)), prose.count("\n", 0, found.start()) + 1, "sh", "", found[1])


def steps(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a block with the output that is promised for each."""
    if block.language != "console":
        return [(block.text, [])]
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


@dataclass
class Shell:
    """bash, whose folder and exported variables last from block to block."""

    folder: Path
    variables: dict[str, str]
    port: int
    """Where the exporter serves, instead of 9847."""
    replaced: Mapping[str, str]
    """The documented servers and folders, and their replacements here."""
    log: Path
    server: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _guard: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def here(self, text: str) -> str:
        for documented, actual in self.replaced.items():
            text = text.replace(documented, actual)
        return text

    def run(self, script: str, *, deadline: float = 240) -> subprocess.CompletedProcess[str]:
        """The result of a script; its output and errors together."""
        return subprocess.run(
            ["bash", "-c", self._within(self.here(script))],
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=deadline,
            check=False,
        )

    def run_block(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a block; a server in its last line keeps running in the background."""
        *first, last = script.replace("\\\n", " ").strip().splitlines()
        if not _SERVER.fullmatch(last.split("  #")[0].strip()):
            return self.run(script)
        done = self.run("\n".join(first))
        if done.returncode == 0:
            self._serve(last)
        return done

    def _serve(self, command: str) -> None:
        self.stop()
        arguments = shlex.join(["exec", "env", *shlex.split(self.here(command), comments=True)])
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                ["bash", "-c", self._within(arguments)],
                env=self.variables | {"FLEET_EXPORTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{self.port}"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._guard = guarding(self.server.pid)
        wait_for(self._ready, what=f"{command!r} to be ready", deadline=60)

    def _ready(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None, self.log.read_text()
        return answers(f"http://127.0.0.1:{self.port}/-/ready")

    def stop(self) -> None:
        if self.server is not None and self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGTERM)
            assert self.server.wait(20) == 0, self.log.read_text()
        if self._guard is not None:
            self._guard.communicate()

    def _within(self, script: str) -> str:
        state = self.log.parent
        return (
            f'set -eo pipefail\nif [ -f {state}/folder ]; then . {state}/variables; cd "$(cat {state}/folder)"; '
            f"else cd {self.folder}; fi\ntrap 'export -p >{state}/variables; pwd >{state}/folder' EXIT\n{script}\n"
        )
