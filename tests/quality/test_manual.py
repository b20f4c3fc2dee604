"""The generated help and man page match the current options."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.manual import help_text, man_page
from exporter.settings import options

ROOT = Path(__file__).parents[2]


def test_help_and_man_page_are_up_to_date() -> None:
    assert (ROOT / "exporter/help.txt").read_text() == help_text()
    assert (ROOT / "docs/fleet-exporter.1").read_text() == man_page()


def test_the_man_page_names_every_option_and_holds_known_macros_only() -> None:
    lines = man_page().splitlines()
    text = man_page().replace(r"\-", "-")

    assert [option.path for option in options() if option.path not in text] == []
    macros = {found[0] for line in lines if (found := re.match(r"[.'](\S*)", line))}
    assert macros <= {".TH", ".ad", ".SH", ".SS", ".TP", ".B"}
