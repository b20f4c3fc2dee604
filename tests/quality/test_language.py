"""Counts of odd words in documentation, texts and names; they may only decrease.

`python -m tests.quality.test_language [AREA]` prints every place.
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from alerts.rules import RULES
from exporter.reference import metric_groups
from exporter.settings import options
from tests.quality.vocabulary import NAMES, PROSE, OddWord

ROOT = Path(__file__).parents[2]
OWN = ("exporter", "alerts", "dashboards", "servers", "demo", "tests", "benchmarks")
RULE_PAGES = frozenset({"vocabulary.py", "test_language.py", "CONTRIBUTING.md"})
"""They name the words in order to forbid them."""
GENERATED: Final = frozenset({"metrics.md", "configuration.md", "alerts.md", "dashboards.md"})

PER_10_000: Final = {
    "documentation": 3.0,
    "generated pages": 3.0,
    "runbooks": 1.0,
    "metric help": 3.0,
    "option help": 3.0,
    "alert texts": 0.0,
    "dashboards": 3.0,
    "messages": 3.0,
}
"""Odd words in 10 000 words, at most. Lower a number when its area has improved; never raise one. The target is 3."""
LINES_OF_CODE: Final = 20
"""Lines of Python with an odd identifier, comment or docstring, at most. Lower it; never raise it. The target is 20."""

_BLOCK = re.compile(r"^(```+)[^\n]*\n.*?^\1$|<!--.*?-->", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]+`")
_TARGET = re.compile(r"\]\([^)]*\)")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True)
class Text:
    """A piece of text and where it stands."""

    place: str
    text: str


def _markdown(page: Path) -> Iterator[Text]:
    """The lines of a page without code, addresses and comments; numbered as in the file."""
    text = _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), page.read_text())
    text = _TARGET.sub("]", _SPAN.sub("X", text))
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("    "):
            yield Text(f"{page.relative_to(ROOT)}:{number}", line)


def _pages(*patterns: str) -> Iterator[Path]:
    for pattern in patterns:
        yield from (page for page in sorted(ROOT.glob(pattern)) if page.name not in RULE_PAGES)


def documentation() -> Iterator[Text]:
    for page in _pages("*.md", "docs/*.md", "deploy/**/*.md", "benchmarks/*.md"):
        if page.name not in GENERATED:
            yield from _markdown(page)


def generated_pages() -> Iterator[Text]:
    for name in sorted(GENERATED):
        yield from _markdown(ROOT / "docs" / name)


def runbooks() -> Iterator[Text]:
    for page in _pages("docs/runbooks/*.md"):
        yield from _markdown(page)


def metric_help() -> Iterator[Text]:
    for metric in sorted({metric for metrics in metric_groups().values() for metric in metrics}, key=lambda each: each.name):
        yield Text(metric.name, metric.help)


def option_help() -> Iterator[Text]:
    for option in options():
        yield Text(option.flag or option.variable, option.help)


def alert_texts() -> Iterator[Text]:
    for rule in RULES:
        yield Text(rule.name, f"{rule.summary}\n{rule.description}")


def dashboard_texts() -> Iterator[Text]:
    for file in sorted((ROOT / "deploy/helm/files/dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        yield Text(file.stem, f"{board.get('title')}\n{board.get('description')}")
        for panel in _panels(board.get("panels", [])):
            yield Text(f"{file.stem}: {panel.get('title')}", f"{panel.get('title')}\n{panel.get('description', '')}")


def _panels(panels: Iterable[dict[str, object]]) -> Iterator[dict[str, object]]:
    for panel in panels:
        yield panel
        inner = panel.get("panels")
        if isinstance(inner, list):
            yield from _panels(inner)


def messages() -> Iterator[Text]:
    """Texts of several words in the program that are neither docstrings nor help: errors, log lines, pages."""
    for file in _python("exporter"):
        tree = ast.parse(file.read_text())
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in documented:
                continue
            if len(_WORD.findall(node.value)) >= 3:
                yield Text(f"{file.relative_to(ROOT)}:{node.lineno}", node.value)


def _python(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if not file.name.endswith("_pb2.py") and file.name not in RULE_PAGES:
                yield file


_ANY = {words: re.compile("|".join(word.expression.pattern for word in words), re.IGNORECASE) for words in (PROSE, NAMES)}
"""One expression for all words of a list: most lines match none."""


def _odd(text: str, words: tuple[OddWord, ...]) -> list[str]:
    if not _ANY[words].search(text):
        return []
    return [f"{found[0]!r} (write {word.instead})" for word in words for found in word.expression.finditer(text)]


def odd_lines_of_code() -> Iterator[str]:
    """Lines with an odd part of an identifier, or an odd word in a comment or docstring."""
    for file in _python(*OWN):
        source = file.read_text()
        found: dict[int, list[str]] = {}
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NAME:
                parts = " ".join(_PARTS.findall(token.string))
                found.setdefault(token.start[0], []).extend(_odd(parts, NAMES))
            elif token.type == tokenize.COMMENT:
                found.setdefault(token.start[0], []).extend(_odd(_SPAN.sub("X", token.string), PROSE))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                for offset, line in enumerate(node.value.value.splitlines()):
                    found.setdefault(node.lineno + offset, []).extend(_odd(_SPAN.sub("X", line), PROSE))
        for number, odd in sorted(found.items()):
            if odd:
                yield f"{file.relative_to(ROOT)}:{number}: {', '.join(odd)}"


AREAS: Final[dict[str, Callable[[], Iterator[Text]]]] = {
    "documentation": documentation,
    "generated pages": generated_pages,
    "runbooks": runbooks,
    "metric help": metric_help,
    "option help": option_help,
    "alert texts": alert_texts,
    "dashboards": dashboard_texts,
    "messages": messages,
}


def measured(area: str) -> tuple[float, list[str]]:
    """Odd words in 10 000 words, and each place."""
    count = 0
    places = []
    for piece in AREAS[area]():
        count += len(_WORD.findall(piece.text))
        places += [f"{piece.place}: {odd}" for odd in _odd(piece.text, PROSE)]
    return len(places) * 10_000 / max(count, 1), places


@pytest.mark.parametrize("area", AREAS)
def test_prose_has_no_odd_words(area: str) -> None:
    rate, places = measured(area)

    assert rate <= PER_10_000[area], f"{rate:.1f} odd words in 10 000, {PER_10_000[area]} allowed:\n" + "\n".join(places)


def test_code_has_no_odd_words() -> None:
    lines = list(odd_lines_of_code())

    assert len(lines) <= LINES_OF_CODE, f"{len(lines)} lines, {LINES_OF_CODE} allowed:\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("The exporter told NATS so.", 1),
        ("A bearer token, a tap on the screen of its kind", 0),
        ("Write the file anew, beside the old one, so that it does not break.", 3),
        ("Restart the pod. NATS redelivers unacked messages after ack_wait.", 0),
        ("No data if the source is off.", 0),
    ],
)
def test_the_list_finds_odd_words_and_no_others(text: str, odd: int) -> None:
    assert len(_odd(text, PROSE)) == odd


def main(areas: list[str]) -> None:
    """Print the rate of each area, and every place of the areas that are named."""
    for area in AREAS:
        rate, places = measured(area)
        sys.stdout.write(f"{area}: {rate:.1f} in 10 000 ({len(places)})\n")
        if area in areas:
            sys.stdout.write("".join(f"  {place}\n" for place in places))
    lines = list(odd_lines_of_code())
    sys.stdout.write(f"code: {len(lines)} lines\n")
    if "code" in areas:
        sys.stdout.write("".join(f"  {line}\n" for line in lines))


if __name__ == "__main__":
    main(sys.argv[1:])
