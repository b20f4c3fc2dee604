"""The landing page at `/`: last collection of each source. Plain HTML without external resources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from exporter import __version__
from exporter.config.sharding import Shard
from exporter.scrape.state import TargetState

_NOTHING = """<h3>Getting started</h3>
<p>No source is configured. A source is enabled if it has an address. Set a variable and restart the exporter:</p>
<ul><li><code>NATS_URL=nats://HOST:4222</code> for JetStream and the fleet's events,</li>
<li><code>REDIS_URL=redis://HOST:6379</code> for ValKey,</li>
<li><code>NEO4J_URI=bolt://HOST:7687</code> with <code>NEO4J_PASSWORD</code> for Neo4j.</li></ul>
<p><code>fleet-exporter --help</code> shows the common options, <code>fleet-exporter options</code> all.</p>"""

_HEADINGS = """<thead><tr><th>Source</th><th>Server</th><th>State</th><th class="number">Duration</th>
<th class="number">Series</th><th>Last success</th></tr></thead>"""


def _row(state: TargetState) -> str:
    if state.up is None:
        shown, why = '<span class="state">○ not collected yet</span>', ""
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
    return f"""<tr><td>{escape(state.source.kind)}</td><td class="where">{escape(state.source.location)}</td>
<td>{shown}{why}</td><td class="number" data-label="took">{took}</td>
<td class="number" data-label="series">{series}</td><td>{success}</td></tr>"""


_LIVE = """<section id="fleet">
<h2>Fleet <small id="connection">connecting…</small></h2>
<p id="counts"></p>
<p><label for="search">Search</label>
<input id="search" type="search" placeholder="agent, task, council, event" size="30"></p>
<div id="councils"><p class="empty">No agents seen yet.</p></div>
<h2>Events</h2>
<div class="scroll" role="region" aria-label="Events" tabindex="0"><table id="events">
<thead><tr><th>Time</th><th>Type</th><th>Publisher</th><th>Story</th><th>Agent</th>
<th>Summary</th></tr></thead><tbody></tbody></table></div>
</section>
<dialog id="story" aria-labelledby="story-name">
<form method="dialog"><button>Close</button></form><h2 id="story-name"></h2><p></p><ol></ol></dialog>
<script src="static/live.js" defer></script>"""


def _shard_said(shard: Shard) -> str:
    if shard.count == 1:
        return ""
    rest = "all sources without shards" if shard.is_first else f"shard 0/{shard.count} has the sources without shards"
    return f"<p>Shard {shard}: its RayJobs, RayClusters and streams with their consumers; {rest}.</p>\n"


def landing_page(states: Sequence[TargetState], *, live: bool, shard: Shard) -> str:
    """The whole page; all values from backends are escaped. `live` adds the live view."""
    rows = "\n".join(_row(state) for state in states)
    table = f"<table>{_HEADINGS}\n<tbody>{rows}</tbody></table>" if states or shard.count > 1 else _NOTHING
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>fleet-exporter</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="static/page.css"></head>
<body><header><h1>fleet-exporter <small>{escape(__version__)}</small></h1>
<nav><a href="metrics">Metrics</a><a href="docs">API</a>
<a href="-/healthy">Healthy</a><a href="-/ready">Ready</a></nav></header>
<main>{_LIVE if live else ""}
<section id="sources"><h2>Sources <small>at the last scrape</small></h2>
{_shard_said(shard)}<div class="scroll">{table}</div></section></main>
<script src="static/sources.js" defer></script>
</body></html>
"""
