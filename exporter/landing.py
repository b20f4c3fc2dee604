"""The page at `/`: what each source's last reading was, for people. Plain HTML, nothing fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from exporter import __version__
from exporter.scrape import State

_STYLE = """
:root { color-scheme: light dark; --ok: #1a7f37; --bad: #c62828; --line: #8884; --soft: #8881; }
@media (prefers-color-scheme: dark) { :root { --ok: #56d364; --bad: #ff7b72; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h1 small { font-weight: normal; opacity: .6; font-size: 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0; }
th, td { text-align: left; padding: .45rem .8rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; font-size: .85rem; opacity: .7; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.up { color: var(--ok); } .down { color: var(--bad); } .state { font-weight: 600; white-space: nowrap; }
.why { font-size: .9rem; overflow-wrap: anywhere; } nav a { margin-right: 1.2rem; }
code { background: var(--soft); padding: .1rem .3rem; border-radius: .2rem; }
"""

_NOTHING = """<p>No source is configured. Give one its address, for example
<code>fleet-exporter --valkey.url=redis://127.0.0.1:6379</code>, or set <code>NATS_URL</code>, <code>REDIS_URL</code>,
<code>NEO4J_URI</code> or <code>VLLM_URL</code>; <code>fleet-exporter --help</code> lists every option.</p>"""

_HEADINGS = """<tr><th>Source</th><th>Server</th><th>State</th><th class="number">Took</th>
<th class="number">Series</th><th>Last success</th></tr>"""


def _row(state: State) -> str:
    if state.up is None:
        shown, why = '<span class="state">○ not read yet</span>', ""
    elif state.up:
        shown = '<span class="state up">● up</span>'
        why = f'<div class="why">{state.dropped} series dropped by max_series</div>' if state.dropped else ""
    else:
        shown = f'<span class="state down">▲ down: {escape(str(state.reason))}</span>'
        why = f'<div class="why">{escape(state.message)}</div>'
    took = "" if state.up is None else f"{state.duration * 1000:.1f} ms"
    series = f"{state.series:,}" if state.up else ""
    success = ""
    if state.last_success is not None:
        success = (
            datetime.fromtimestamp(state.last_success, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
        )
    return (
        f"<tr><td>{escape(state.source.kind)}</td><td>{escape(state.source.server)}</td><td>{shown}{why}</td>"
        f'<td class="number">{took}</td><td class="number">{series}</td><td>{success}</td></tr>'
    )


def landing_page(states: Sequence[State]) -> str:
    """The whole page; everything that came from a backend is escaped."""
    rows = "\n".join(_row(state) for state in states)
    table = f"<table>{_HEADINGS}\n{rows}</table>" if states else _NOTHING
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fleet-exporter</title><style>{_STYLE}</style></head>
<body><h1>fleet-exporter <small>{escape(__version__)}</small></h1>
<p>State of every source at the last scrape.</p>
{table}
<nav><a href="metrics">Metrics</a><a href="-/healthy">Healthy</a><a href="-/ready">Ready</a></nav>
</body></html>
"""
