"""The source of docs/adding-a-source.md and its tests run as they are printed."""

from __future__ import annotations

import importlib.util
import inspect
import re
import socket
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from exporter.config.address import Address
from exporter.errors import Reason, SourceError
from tests.support.pages import collected, listener

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-source.md"
_BLOCK = re.compile(r"^ {3}```python\n(.*?)^ {3}```$", re.MULTILINE | re.DOTALL)


def loaded(name: str, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The text as the module of that name, until the test ends."""
    file = folder / f"{name}.py"
    file.write_text(text)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


async def test_the_example_and_its_tests_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, tests = (textwrap.dedent(found) for found in _BLOCK.findall(PAGE.read_text()))
    example = loaded("exporter.sources.queue", source, tmp_path, monkeypatch)
    printed = inspect.getmembers(loaded("test_queue", tests, tmp_path, monkeypatch), inspect.isfunction)
    checks = [function for name, function in printed if name.startswith("test_")]

    assert len(checks) == 2
    for check in checks:
        check()

    def responds(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"depth": 42}')

    with listener(responds) as port:
        queue = example.Queue(example.QueueOptions(url=Address(f"http://127.0.0.1:{port}")))
        assert await collected(queue) == {f'queue_depth{{server="127.0.0.1:{port}"}}': 42}
    with pytest.raises(SourceError) as refused:
        await collected(queue)
    assert refused.value.reason is Reason.UNREACHABLE
