"""An HTTP gateway before a real server: it lets the documented requests pass and answers 403 to all others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_PASSED_ON = ("content-type", "content-encoding", "x-scope-orgid")


@dataclass
class Gateway:
    """`passed` and `refused` are requests as the page writes them: `GET /metrics`."""

    url: str
    passed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)


@contextmanager
def gateway(server: str, allowed: Sequence[str]) -> Iterator[Gateway]:
    """Before the server at that URL, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = f"{self.command} {self.path.partition('?')[0]}"
            if request not in allowed:
                gateway.refused.add(request)
                self._answer(403, b"", "text/plain")
                return
            gateway.passed.add(request)
            headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
            response = client.request(self.command, self.path, content=body, headers=headers)
            self._answer(response.status_code, response.content, response.headers.get("content-type", "text/plain"))

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the library's names

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Requests are remembered, not logged."""

    with (
        httpx.Client(base_url=server, timeout=30, trust_env=False) as client,
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening,
    ):
        listening.daemon_threads = True
        gateway = Gateway(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield gateway
        finally:
            listening.shutdown()
            thread.join()
