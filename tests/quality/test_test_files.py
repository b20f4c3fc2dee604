"""Tests assert something, and use the public attributes of what they test."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests").rglob("*.py"))
ASSERTING = {
    # Each raises an error unless its condition holds.
    "raises", "fail", "warns",  # pytest
    "eventually", "page_showing", "page_where", "shows",  # tests.support.pages, fleet_streams
    "wait_for", "wait_until_said",  # servers.process, tests.support.demo
    "expect",  # playwright
    "check_schema", "validate",  # jsonschema, kubernetes-validate
}  # fmt: skip
PRIVATE = {
    "_selector": "asyncio: the sockets that a loop waits for",
    "_subs": "nats-py: no other way to a connection's subscriptions",
    "_pending_bytes_limit": "nats-py: no other way to shrink a subscription's buffer",
}
"""Private attributes of libraries, and why a test uses them."""


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), file.name)


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


@functools.cache
def functions(module: ast.Module) -> dict[str, ast.AST]:
    return {node.name: node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@functools.cache
def helpers(file: Path) -> dict[str, ast.AST]:
    """The functions that a test file can call by name: its own, and imports from other test files."""
    found = dict(functions(tree(file)))
    for node in tree(file).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests."):
            other = ROOT / f"{node.module.replace('.', '/')}.py"
            if other.exists():
                theirs = functions(tree(other))
                found |= {alias.name: theirs[alias.name] for alias in node.names if alias.name in theirs}
    return found


def asserts(function: ast.AST, known: dict[str, ast.AST], seen: frozenset[str] = frozenset()) -> bool:
    """Whether a test contains an assertion, or calls what raises or asserts."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Raise) and seen):
            return True
        if isinstance(node, ast.Call) and (name := name_of(node.func)) not in seen:
            if name in ASSERTING:
                return True
            if name in known and asserts(known[name], known, seen | {name}):
                return True
    return False


def private_names(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Private attributes except of `self`, imported private names, and private names passed to getattr and similar."""
    for node in ast.walk(module):
        names: list[str] = []
        if isinstance(node, ast.Attribute) and name_of(node.value) not in ("self", "cls"):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("tests."):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and name_of(node.func) in ("getattr", "setattr", "delattr"):
            names = [str(word.value).rpartition(".")[2] for word in node.args if isinstance(word, ast.Constant)]
        for name in names:
            if name.startswith("_") and not name.startswith("__"):
                yield getattr(node, "lineno", 0), name


def test_every_test_asserts_something() -> None:
    empty = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in FILES
        for name, function in functions(tree(file)).items()
        if name.startswith("test_") and not asserts(function, helpers(file))
    ]

    assert empty == []


def test_no_private_attribute_is_used() -> None:
    found = {
        (f"{file.relative_to(ROOT)}:{line}", name)
        for file in FILES
        for line, name in private_names(tree(file))
        if name not in PRIVATE
    }

    assert found == set()


def test_every_exempted_attribute_is_used() -> None:
    assert PRIVATE.keys() <= {name for file in FILES for _, name in private_names(tree(file))}


def test_the_checks_find_violations() -> None:
    module = ast.parse(
        "def test_nothing(): helper(source._task)\ndef helper(x): print(x)\nfrom exporter import _a\nsetattr(x, '_b', 1)"
    )

    assert not asserts(functions(module)["test_nothing"], functions(module))
    assert [name for _, name in private_names(module)] == ["_a", "_b", "_task"]
