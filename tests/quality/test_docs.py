"""The documentation is correct: links, files, commands, flags, variables, metrics, and generated pages."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from exporter.cli import parsed
from exporter.reference import metric_groups, options_markdown
from exporter.settings import CONFIG_FILE, PREFIX, options, source_types

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(page for folder in ("benchmarks", "deploy") for page in (ROOT / folder).rglob("*.md")),
    ]
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_BLOCK = re.compile(r"^(?P<fence>```+)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|[\s(/;|])fleet-exporter(?P<words>(?: [^\n|#<>;()…]*)?)")
_FLAG = re.compile(r"(?<![\w-])--[a-z0-9]+\.[a-z0-9.-]*[a-z0-9]")
_VARIABLE = re.compile(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b")
_METRIC = re.compile(r"(?<![\w./:$-])(?:nats|ray|vllm|neo4j|valkey|fleet)_[a-z0-9_]*[a-z0-9](?![\w./:(-])")
_FILE = re.compile(r"^(?:exporter|tests|docs|demo|alerts|dashboards|benchmarks|deploy)/[\w./-]*$")
_EXAMPLE = re.compile(r"queue", re.IGNORECASE)
"""The source that docs/adding-a-source.md adds: its file, flag, variable and command do not exist here."""
_OTHER_TOOLS = re.compile(r"\b(amtool|promtool|nats-server|valkey-server|redis-server)\b.*")
"""Their flags are not the exporter's."""
_OTHER_VARIABLES = frozenset({"FLEET_EXPORTER_PORT"})
"""Kubernetes sets it for a Service of that name."""
_NO_METRICS = frozenset({"fleet_exporter"})
"""Names of users, roles and databases in the examples."""
_SERIES = ("_bucket", "_count", "_sum")


def prose(page: Path) -> str:
    """The page without code, because links and headings in code do not count."""
    return _SPAN.sub("", _BLOCK.sub("", page.read_text()))


def code(page: Path) -> Iterator[str]:
    """The code of a page: fenced and indented blocks, line by line, and spans."""
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        yield from block["text"].replace("\\\n", " ").splitlines()
    rest = _BLOCK.sub("", text)
    yield from (line.strip() for line in rest.replace("\\\n", " ").splitlines() if line.startswith("    "))
    yield from _SPAN.findall(rest)


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    found = set()
    for heading in _HEADING.findall(_BLOCK.sub("", page.read_text())):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return found


@each_page
def test_every_relative_link_and_anchor_exists(page: Path) -> None:
    lost = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            lost.append(link)

    assert lost == []


@each_page
def test_every_file_in_a_code_span_exists(page: Path) -> None:
    named = {span for span in _SPAN.findall(_BLOCK.sub("", page.read_text())) if _FILE.match(span)}

    assert [name for name in sorted(named) if not (ROOT / name).exists() and not _EXAMPLE.search(name)] == []


@each_page
def test_every_command_is_accepted_by_the_parser(page: Path) -> None:
    """The program's own parser accepts each `fleet-exporter …`."""
    refused = []
    for text in code(page):
        if re.match(r"(helm|docker|kubectl|apiVersion|image|ACL)\b", text):
            continue  # there it is a name
        for found in _COMMAND.finditer(text):
            try:
                words = shlex.split(found["words"].replace("/dev/null", ""))
            except ValueError:
                words = found["words"].split()
            if words and not _is_known(words) and not _EXAMPLE.search(found[0]):
                refused.append(found[0])

    assert refused == []


_OF_SERVERS = {
    "Connection refused",
    "returned 401",
    "invalid username-password pair",
    'permissions violation for publish to "$js.api…"',
    "GET /apis/… returned 403",
}
"""Texts of the operating system and of servers, and statuses."""


def test_the_errors_on_the_troubleshooting_page_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| `[a-z]+` \| ([^|]*) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    texts = {text for row in rows for text in _SPAN.findall(row)}
    program = "\n".join(file.read_text() for file in (ROOT / "exporter").rglob("*.py"))

    assert len(texts) > 15
    assert texts >= _OF_SERVERS
    assert [text for text in sorted(texts - _OF_SERVERS) if any(part not in program for part in text.split("…"))] == []


def _is_known(words: list[str]) -> bool:
    """Whether the parser accepts them; a command's name alone is accepted without its required arguments."""
    try:
        parsed([*words, "--help"] if len(words) == 1 else words)
    except SystemExit as end:
        return end.code == 0  # --help
    return True


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture[str]) -> None:
    """Hides the parser's output."""


@each_page
def test_every_flag_and_variable_is_an_option(page: Path) -> None:
    text = _OTHER_TOOLS.sub("", page.read_text())
    flags = {option.flag for option in options()} | {f"--{CONFIG_FILE}"}
    variables = {option.variable for option in options()} | {f"{PREFIX}CONFIG_FILE"}

    unknown = (set(_FLAG.findall(text)) - flags) | (set(_VARIABLE.findall(text)) - variables - _OTHER_VARIABLES)
    assert [name for name in sorted(unknown) if not _EXAMPLE.search(name)] == []


@each_page
def test_every_metric_in_code_is_in_the_reference(page: Path) -> None:
    """Each word in code with the prefix of a metric is in the reference."""
    known = {metric.name for metrics in metric_groups().values() for metric in metrics}
    known |= {f"{name}{suffix}" for name in known for suffix in _SERIES}
    named = {name for text in code(page) for name in _METRIC.findall(text)}
    keys = {option.name for option in options()}

    assert sorted(named - known - keys - _NO_METRICS) == []


@each_page
def test_every_target_of_make_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found for text in code(page) for found in re.findall(r"^make ([a-z]+)\b", text)}

    assert named <= targets


def test_the_index_leads_to_every_page() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in _LINK.findall((DOCS / "README.md").read_text())}

    assert [page.name for page in sorted(DOCS.glob("*.md")) if page.name != "README.md" and page not in linked] == []


def test_the_readme_names_every_source_and_dashboard_and_counts_the_alerts() -> None:
    readme = (ROOT / "README.md").read_text()
    dashboards = [json.loads(file.read_text()) for file in (ROOT / "deploy/helm/files/dashboards").glob("*.json")]
    alerts = set(re.findall(r"^ *-? *alert: (\w+)$", (ROOT / "deploy/helm/files/alerts.yaml").read_text(), re.MULTILINE))

    assert set(re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE)) == {kind.kind for kind in source_types()}
    assert len(dashboards) == 12
    assert set(re.findall(r"^\| \[([^]]+)\]\(docs/dashboards", readme, re.MULTILINE)) == {
        dashboard["title"].removeprefix("Fleet / ") for dashboard in dashboards
    }
    assert f"\n{len(alerts)} alerts: " in readme


def test_the_readme_has_the_question_of_each_dashboard() -> None:
    rows = re.compile(r"^\| \[([^]]+)\]\([^)]*#[^)]+\) \| ([^|]+?) \|", re.MULTILINE)
    questions = dict(rows.findall((DOCS / "dashboards.md").read_text()))

    assert len(questions) == 12
    assert dict(rows.findall((ROOT / "README.md").read_text())) == questions


def test_the_option_reference_is_up_to_date() -> None:
    assert (DOCS / "configuration.md").read_text() == options_markdown() + "\n"


def test_well_known_variables_are_in_the_reference() -> None:
    named = {"NATS_URL", "NATS_CREDS", "REDIS_URL", "NEO4J_URI", "NEO4J_USER", "NEO4J_PASSWORD", "VLLM_URL", "LOKI_URL"}

    assert named <= {option.well_known_variable for option in options()}
    assert all(f"`{name}`" in options_markdown() for name in named)


def test_no_secret_has_a_flag_in_the_reference() -> None:
    secrets = [line for line in options_markdown().splitlines() if "| secret |" in line]

    assert len(secrets) >= 5
    assert not [line for line in secrets if "`--" in line]


def test_no_page_contains_a_local_path() -> None:
    home = os.environ.get("HOME", "/root")

    assert [page.name for page in PAGES if f"{home}/" in page.read_text() or str(ROOT) in page.read_text()] == []
