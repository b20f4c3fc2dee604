"""A receiver that accepts messages as Slack's incoming webhooks do, and shows them on a page that looks like a channel.

It listens on 127.0.0.1 only. `/services/<channel>` accepts messages, `/heartbeat` Alertmanager's webhook for the Watchdog;
`/` is the page, and `/messages` has the same as JSON.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from demo.slack.page import page

_KEPT = 200
_LARGEST = 1_000_000
_WEBHOOKS: Final = "/services/"
_ATTACHMENTS = 100
"""Slack rejects a message with more."""
_TEXTS = ("text", "fallback", "title", "title_link", "pretext", "color", "footer")


class PayloadRefused(Exception):
    """Slack's error code for the message, such as `no_text`."""


@dataclass(frozen=True)
class SlackMessage:
    """One message: `payload` is the posted JSON, `hook` the name of the webhook."""

    received: datetime
    hook: str
    payload: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        return {"received": self.received.isoformat(), "hook": self.hook, "payload": self.payload}


@dataclass
class SlackReceiver:
    """The latest messages, oldest first."""

    url: str = ""
    messages: deque[SlackMessage] = field(default_factory=lambda: deque(maxlen=_KEPT))
    heartbeat: datetime | None = None

    def webhook(self, name: str) -> str:
        """The webhook URL of one channel."""
        return f"{self.url}{_WEBHOOKS}{name}"

    @property
    def heartbeat_url(self) -> str:
        return f"{self.url}/heartbeat"


def accepted(body: bytes) -> dict[str, Any]:
    """The payload of a message. Raises PayloadRefused where Slack would reject it."""
    try:
        payload = json.loads(body)
    except ValueError:
        raise PayloadRefused("invalid_payload") from None
    if not isinstance(payload, dict):
        raise PayloadRefused("invalid_payload")
    attachments = payload.get("attachments", [])
    if not isinstance(attachments, list) or not all(isinstance(attachment, dict) for attachment in attachments):
        raise PayloadRefused("invalid_attachments")
    if len(attachments) > _ATTACHMENTS:
        raise PayloadRefused("too_many_attachments")
    for attachment in attachments:
        lists = (attachment.get("fields", []), attachment.get("actions", []))
        if not all(isinstance(attachment.get(name, ""), str) for name in _TEXTS) or not all(
            isinstance(rows, list) and all(isinstance(row, dict) for row in rows) for rows in lists
        ):
            raise PayloadRefused("invalid_attachments")
    said = [payload.get("text"), *(attachment.get(name) for attachment in attachments for name in ("text", "title"))]
    if not isinstance(payload.get("text", ""), str) or not any(said):
        raise PayloadRefused("no_text")
    return payload


class _Handler(BaseHTTPRequestHandler):
    server: _ReceiverServer

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > _LARGEST:
            return self._respond(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "invalid_payload")
        body = self.rfile.read(int(length))
        receiver = self.server.receiver
        if self.path == "/heartbeat":
            receiver.heartbeat = datetime.now(UTC)
            return self._respond(HTTPStatus.OK, "ok")
        hook = self.path.removeprefix(_WEBHOOKS)
        if hook == self.path or not hook or "/" in hook:
            return self._respond(HTTPStatus.NOT_FOUND, "no_service")
        if not self.headers.get("content-type", "").startswith("application/json"):
            return self._respond(HTTPStatus.BAD_REQUEST, "invalid_payload")
        try:
            payload = accepted(body)
        except PayloadRefused as refused:
            return self._respond(HTTPStatus.BAD_REQUEST, str(refused))
        receiver.messages.append(SlackMessage(datetime.now(UTC), hook, payload))
        return self._respond(HTTPStatus.OK, "ok")

    def do_GET(self) -> None:
        receiver = self.server.receiver
        messages = list(receiver.messages)
        if self.path == "/":
            shown = [(message.received, message.payload) for message in messages]
            self._respond(HTTPStatus.OK, page(shown, receiver.heartbeat), "text/html")
        elif self.path == "/messages":
            beat = receiver.heartbeat.isoformat() if receiver.heartbeat else None
            document = {"messages": [message.document for message in messages], "heartbeat": beat}
            self._respond(HTTPStatus.OK, json.dumps(document), "application/json")
        else:
            self._respond(HTTPStatus.NOT_FOUND, "no page: / is the channel, /messages the same as JSON")

    def _respond(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """No access log on stderr, which is the demo's."""


class _ReceiverServer(ThreadingHTTPServer):
    daemon_threads = True
    receiver: SlackReceiver


@contextlib.contextmanager
def start(*, port: int = 0) -> Iterator[SlackReceiver]:
    """Serve on that port, or on a free one."""
    with _ReceiverServer(("127.0.0.1", port), _Handler) as server:
        server.receiver = SlackReceiver(url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="slack receiver")
        thread.start()
        try:
            yield server.receiver
        finally:
            server.shutdown()
            thread.join()
