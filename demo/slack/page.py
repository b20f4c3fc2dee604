"""Slack messages as a page: attachments with color, fields and buttons; of markup only Slack's own is rendered."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

_COLORS = {"good": "#2eb67d", "warning": "#ecb22e", "danger": "#e01e5a"}
_HEX = re.compile(r"#[0-9A-Fa-f]{6}")

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d1c1d; margin: 0; background: #fff }
header { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #ddd; padding: .8em 1.5em }
header b { font-size: 1.15em } header span { color: #616061; margin-left: 1em }
main { padding: .5em 1.5em 2em; max-width: 60em }
article { display: flex; gap: .8em; margin: 1.1em 0 }
.face { flex: none; width: 36px; height: 36px; border-radius: 6px; background: #e8f0fe; text-align: center;
  line-height: 36px }
.who b { margin-right: .4em } .who i { background: #e8e8e8; border-radius: 3px; font: 10px sans-serif; padding: 1px 4px }
.who span { color: #616061; font-size: 12px; margin-left: .5em }
.attachment { border-left: 4px solid #ddd; padding-left: .8em; margin: .3em 0 }
.text { white-space: pre-wrap; overflow-wrap: anywhere } .title { font-weight: bold }
dl { display: flex; flex-wrap: wrap; gap: .3em 3em; margin: .5em 0 }
dt { font-weight: bold; font-size: 13px } dd { margin: 0 }
.button { display: inline-block; border: 1px solid #bbb; border-radius: 4px; padding: .25em .8em; margin: .2em .4em .2em 0;
  color: inherit; text-decoration: none; font-weight: bold; font-size: 13px }
footer { color: #616061; font-size: 12px; margin-top: .3em }
.mention { background: #fdf0cc; color: #b06500 } a { color: #1264a3 }
"""


def page(messages: Sequence[tuple[datetime, dict[str, Any]]], heartbeat: datetime | None) -> str:
    """The page, newest message first; it reloads every two seconds."""
    beat = f"heartbeat at {heartbeat:%H:%M:%S} UTC" if heartbeat else "no heartbeat yet"
    count = "1 message" if len(messages) == 1 else f"{len(messages)} messages"
    shown = "".join(_message(received, payload) for received, payload in reversed(messages))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
        f"<title>Slack messages ({len(messages)})</title><style>{_STYLE}</style></head><body>"
        f"<header><b>Slack messages</b><span>{count}, {beat}</span></header>"
        f"<main>{shown or '<p>No messages yet.</p>'}</main></body></html>"
    )


def _message(received: datetime, payload: dict[str, Any]) -> str:
    name, channel = html.escape(str(payload.get("username", "webhook"))), html.escape(str(payload.get("channel", "")))
    text = f'<div class="text">{marked_up(payload["text"])}</div>' if payload.get("text") else ""
    return (
        '<article><div class="face">📡</div><div>'
        f'<div class="who"><b>{name}</b><i>APP</i><span>{channel} {received:%H:%M:%S} UTC</span></div>{text}'
        f"{''.join(_attachment(attachment) for attachment in payload.get('attachments', []))}</div></article>"
    )


def _attachment(attachment: dict[str, Any]) -> str:
    color = str(attachment.get("color", ""))
    color = _COLORS.get(color, color if _HEX.fullmatch(color) else "#ddd")
    title = marked_up(attachment.get("title", ""))
    if link := _address(attachment.get("title_link")):
        title = f'<a href="{link}">{title}</a>'
    fields = "".join(
        f"<div><dt>{marked_up(str(one.get('title', '')))}</dt><dd>{marked_up(str(one.get('value', '')))}</dd></div>"
        for one in attachment.get("fields", [])
    )
    buttons = "".join(
        f'<a class="button" href="{_address(action.get("url"))}">{html.escape(str(action.get("text", "")))}</a>'
        for action in attachment.get("actions", [])
    )
    return (
        f'<div class="attachment" style="border-color: {color}"><div class="title">{title}</div>'
        f'<div class="text">{marked_up(attachment.get("text", "").rstrip())}</div>'
        f"{f'<dl>{fields}</dl>' if fields else ''}<div>{buttons}</div>"
        f"<footer>{marked_up(attachment.get('footer', ''))}</footer></div>"
    )


def marked_up(text: str) -> str:
    """Slack's markup as HTML: `<!channel>` and `<@U1>` are mentions, `<https://…|text>` is a link, `*text*` is bold."""
    parts = (_control(part[1:-1]) if part.startswith("<") else _plain(part) for part in re.split(r"(<[^<>\n]+>)", text))
    return "".join(parts)


def _plain(text: str) -> str:
    for sign, entity in (("<", "&lt;"), (">", "&gt;"), ("&", "&amp;")):
        text = text.replace(entity, sign)
    return re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"<b>\1</b>", html.escape(text))


def _control(inner: str) -> str:
    address, _, words = inner.partition("|")
    if link := _address(address):
        return f'<a href="{link}">{html.escape(words or address)}</a>'
    return f'<span class="mention">{html.escape(words or inner)}</span>'


def _address(text: object) -> str:
    """The URL escaped for an attribute; empty for anything but http and https."""
    return html.escape(text) if isinstance(text, str) and text.startswith(("http://", "https://")) else ""
