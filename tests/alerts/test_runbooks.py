"""Every alert has a runbook, and the generated head of each runbook is current."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest
from fastapi import FastAPI

from alerts.files import names
from alerts.rules import RECORDINGS, RULES
from alerts.runbooks import BEGIN, END, SECTIONS, RunbookError, renew, renewed
from exporter.metrics.metric import Kind
from exporter.reference import metric_groups
from exporter.scrape import Scraper
from exporter.web.api import api
from exporter.web.priority import Priority

FOLDER = Path(__file__).parents[2] / "docs/runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
LEAST = 20
"""Minimum characters of a section."""


def _sections(page: Path) -> dict[str, str]:
    """The hand-written text under each heading."""
    _, *parts = re.split(r"^## (.+)\n", page.read_text(), flags=re.MULTILINE)
    return {heading: text.strip() for heading, text in zip(parts[::2], parts[1::2], strict=True)}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {page.stem for page in PAGES} == set(names(RULES))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_is_up_to_date_and_complete(page: Path) -> None:
    assert page.read_text() == renewed(page, RULES), "run make generate"
    sections = _sections(page)
    assert tuple(sections) == SECTIONS
    assert [heading for heading, text in sections.items() if len(text) < LEAST] == []
    assert "`" in sections["Diagnosis"], "the diagnosis names no query, command or path"


def test_no_two_runbooks_have_the_same_text() -> None:
    """A section that fits two alerts is too general."""
    seen: dict[str, str] = {}
    for page in PAGES:
        for heading, text in _sections(page).items():
            assert text not in seen, f"{page.stem} and {seen[text]} have the same {heading}"
            seen[text] = page.stem


def _alerts_named(text: str) -> set[str]:
    return set(re.findall(r"\]\(([A-Z][A-Za-z0-9]+)\.md\)", text))


def test_linked_runbooks_exist() -> None:
    for page in PAGES:
        assert _alerts_named(page.read_text()) <= set(names(RULES)), page.stem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "runbooks"
    shutil.copytree(FOLDER, copy)
    return copy


def test_regeneration_changes_only_the_head(folder: Path) -> None:
    page = folder / "NatsDown.md"
    whole = page.read_text()
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\nold\n{END}{after}")

    renew(folder, RULES)

    assert page.read_text() == whole


def test_a_missing_runbook_is_reported_and_not_created(folder: Path) -> None:
    (folder / "NatsDown.md").unlink()

    with pytest.raises(RunbookError, match=r"NatsDown\.md is missing"):
        renew(folder, RULES)
    assert not (folder / "NatsDown.md").exists()


def test_a_runbook_without_an_alert_is_reported(folder: Path) -> None:
    (folder / "NatsGone.md").write_text("# NatsGone\n")

    with pytest.raises(RunbookError, match="there is no alert NatsGone"):
        renew(folder, RULES)


@pytest.mark.parametrize(
    ("text", "complaint"), [("# Other\n", "first line must be `# NatsDown`"), (f"# NatsDown\n{BEGIN}\n", "markers")]
)
def test_sections_out_of_order_are_reported_and_nothing_is_written(folder: Path, text: str, complaint: str) -> None:
    (folder / "NatsDown.md").write_text(text)
    others = {page: page.read_text() for page in folder.glob("*.md")}

    with pytest.raises(RunbookError, match=complaint):
        renew(folder, RULES)
    assert {page: page.read_text() for page in folder.glob("*.md")} == others


METRIC = re.compile(r"\b(?:fleet|nats|ray|vllm|neo4j|valkey)_[a-z0-9_]+")
COMMANDS = ("kubectl", "nats ", "valkey-cli", "curl", "sqlite3", "cypher-shell", "grpcurl", "/api/", "{")


def _code(page: Path) -> list[str]:
    """The code blocks and spans of the part that is written by hand."""
    text = page.read_text().partition(END)[2]
    blocks = re.findall(r"^```\w+\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    return blocks + re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def test_metrics_in_runbooks_exist() -> None:
    known = {"fleet_exporter"}
    for metrics in metric_groups().values():
        for metric in metrics:
            parts = ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
            known |= {f"{metric.name}{part}" for part in ("", *parts)}
    recorded = {recording.name for recording in RECORDINGS}

    for page in PAGES:
        for code in _code(page):
            named = set(re.findall(r"fleet:[a-z0-9_]+:[a-z0-9_]+", code))
            assert named <= recorded, page.stem
            assert set(METRIC.findall(re.sub(r"fleet:\S+", "", code))) <= known, page.stem


def test_options_in_runbooks_exist() -> None:
    command = [sys.executable, "-m", "exporter", "options"]
    reference = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"--[a-z]+\.[a-z0-9.-]+", reference))

    for page in PAGES:
        named = {option for code in _code(page) for option in re.findall(r"^--[a-z]+\.[a-z0-9.-]+", code)}
        assert named <= options, page.stem


def test_api_paths_in_runbooks_exist() -> None:
    application = api(Scraper([]), Priority())
    assert isinstance(application, FastAPI)
    known = [re.sub(r"\{\w+\}", "[^/]+", path) for path in application.openapi()["paths"]] + ["/api/events/stream"]

    for page in PAGES:
        for code in _code(page):
            if code.startswith("/api/"):
                path, _, _ = code.partition("?")
                assert any(re.fullmatch(pattern, path) for pattern in known), f"{page.stem}: {path}"


def test_queries_in_runbooks_are_promql() -> None:
    """Every query can be pasted into Prometheus."""
    asked = [
        (page.stem, code)
        for page in PAGES
        for code in _code(page)
        if METRIC.search(code) and not code.startswith(COMMANDS) and "…" not in code
    ]

    assert len(asked) > 150
    for page, code in asked:
        try:
            promql_parser.parse(code)
        except ValueError as error:
            pytest.fail(f"{page}: {code}: {error}")
