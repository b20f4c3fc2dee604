"""Every exemption from a check has its reason on the same line."""

from __future__ import annotations

import io
import re
import tokenize

import pytest

from tests.quality.test_file_sizes import ROOT, python_files

_EXEMPTION = re.compile(r"#\s*(noqa|type:\s*ignore|pragma|jscpd:ignore-start)")
_WITH_REASON = re.compile(r"# (noqa: [A-Z0-9, ]+ - \S|type: ignore\[[\w, -]+\]  # \S|jscpd:ignore-start - \S)")


def unexplained(source: str) -> list[str]:
    comments = (token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT)
    return [
        f"{one.start[0]}: {one.string}"
        for one in comments
        if _EXEMPTION.match(one.string) and not _WITH_REASON.match(one.string)
    ]


def test_every_exemption_has_a_reason() -> None:
    found = {
        str(file.relative_to(ROOT)): unexplained(file.read_text()) for file in python_files() if "_pb2" not in file.name
    }

    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("x = 1  # noqa: S608\n", True),
        ("x = 1  # noqa\n", True),
        ("x = 1  # noqa: S608 - a constant\n", False),
        ("x = 1  # type: ignore[misc]\n", True),
        ("x = 1  # type: ignore[misc]  # not typed\n", False),
        ('x = "# noqa"\n', False),
    ],
)
def test_what_counts_as_a_reason(line: str, refused: bool) -> None:
    assert bool(unexplained(line)) is refused
