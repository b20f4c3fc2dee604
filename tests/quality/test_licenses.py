"""Licenses of the packages that the image contains, from their own metadata."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|ISC|Unlicense|0BSD|HPND|CNRI|MPL)", re.IGNORECASE)
"""Licenses that permit distribution with software under another one; MPL 2.0 covers its own files only."""
COPYLEFT = re.compile(r"\b(A?GPL|GNU (Affero|General)|SSPL|BUSL)", re.IGNORECASE)


def packages() -> list[str]:
    """The packages of the image."""
    lock = (ROOT / "requirements.runtime.lock").read_text()
    return re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)


def license_of(package: str) -> str:
    """The license expression, the classifiers and the start of the license field."""
    found = metadata.metadata(package)
    classifiers = [line for line in found.get_all("Classifier") or () if line.startswith("License ::")]
    named = [text[:80] for name in ("License-Expression", "License") for text in found.get_all(name) or ()]
    return " | ".join([*named, *classifiers])


def installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def test_every_package_of_the_image_has_a_permissive_license() -> None:
    licenses = {package: license_of(package) for package in packages() if installed(package)}

    assert len(licenses) > 20
    assert {package: text for package, text in licenses.items() if not PERMISSIVE.search(text)} == {}
    assert {package: text for package, text in licenses.items() if COPYLEFT.search(text)} == {}


def test_every_test_on_the_security_page_exists() -> None:
    named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", (ROOT / "docs/security.md").read_text())

    assert len(named) > 20
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert missing == []
