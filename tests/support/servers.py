"""A server or a capability of the machine that is missing fails a CI run and skips elsewhere."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from servers.cache import ServerMissing


@contextlib.contextmanager
def required() -> Iterator[None]:
    """Skips the test if a server is missing; fails it if CI=true."""
    try:
        yield
    except ServerMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
