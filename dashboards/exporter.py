"""The exporter itself: does it read every backend, does it miss anything, and what does it cost?"""

from __future__ import annotations

from alerts import thresholds
from alerts.view import View
from dashboards.grafana import variables
from dashboards.grafana.fields import ACCENT, BAD, OK, UP_DOWN, WARN, Column, Limit, Link
from dashboards.grafana.layout import Row
from dashboards.grafana.panels import Dashboard, graph, stat, table, timeline
from dashboards.grafana.queries import RATE, Line, chosen, raw, shown
from dashboards.rows import exporter_process
from dashboards.rows.common import STALE, alert_marks, coded
from exporter import scrape
from exporter.errors import Reason
from exporter.events import broadcast
from exporter.events.streams import How
from exporter.metrics import process
from exporter.metrics.metric import Metric
from exporter.metrics.promql import Matcher, Series
from exporter.sources import journal
from exporter.sources.fleet import grafana_live, samples
from exporter.sources.fleet.consumer_samples import DROPPED, FOLLOWED, LOSSES, POSITION, REPEATED, RESTARTS, SKIPPED, UNREAD
from exporter.sources.rayjob import jobs

_SOURCE = ("source", "server")
_READ = {"0": ("read", OK)} | {
    str(place): (str(reason), WARN if reason is Reason.TIMEOUT else BAD) for place, reason in enumerate(Reason, 1)
}
_HOW = {
    How.CONSUMER: ("in order", OK),
    How.SUBSCRIPTION: ("as it comes", ACCENT),
    How.REFUSED: ("refused", BAD),
    How.OFFLINE: ("offline", BAD),
}


def _of(metric: Metric, **matchers: str | Matcher) -> Series:
    return shown(metric, server=chosen("server"), **matchers)


def _stream(metric: Metric, **matchers: str | Matcher) -> Series:
    return shown(metric, stream=chosen("stream"), **matchers)


def _events(metric: Metric, legend: str, *labels: str) -> Line:
    """How often something happened, drawn as bars; a counter of nothing is a bar of no height."""
    return Line(shown(metric).increase(RATE).sum(*labels), legend)


_up = _of(scrape.UP)
_why = coded(scrape.FAILURE, tuple(Reason), *_SOURCE, label="reason", server=chosen("server"))
_how = coded(FOLLOWED, tuple(_HOW), "stream", label="how", stream=chosen("stream"))
_behind = Limit(thresholds.EVENTS_BEHIND, WARN)
_overview = [Link("Overview", View.OVERVIEW)]
_to_events = [Link("Events", View.EVENTS)]
_to_stream = [Link("The stream's consumers", View.COMMUNICATIONS, {"stream": "stream"})]

DASHBOARD = Dashboard(
    view=View.EXPORTER,
    title="Exporter",
    description="Whether the exporter reads every backend, whether it misses anything, and what it costs.",
    variables=[
        variables.of("server", "server", "Server", "Backends that are read.", shown(scrape.UP), optional=True),
        variables.of("stream", "stream", "Stream", "Streams that are followed.", shown(FOLLOWED)),
    ],
    annotations=[alert_marks("exporter")],
    rows=[
        Row(
            "",
            [
                stat(
                    "Exporter",
                    "Whether Prometheus could scrape every exporter that is chosen (up); no data where there is none.",
                    Line(raw('min (up{job=~"$job", instance=~"$instance"})')),
                    states=UP_DOWN,
                    width=3,
                    background=True,
                    links=_overview,
                ),
                stat(
                    "Backends unread",
                    "Backends whose last reading failed (fleet_exporter_source_up); the table below says why.",
                    Line(_up.equals(0).count() | _up.count() * 0),
                    width=3,
                    decimals=0,
                    limits=[Limit(1, BAD)],
                ),
                stat(
                    "Series left out",
                    "Series of the last readings that were over a source's max_series or given twice "
                    "(fleet_exporter_source_dropped_series).",
                    Line(_of(scrape.DROPPED).sum()),
                    width=3,
                    decimals=0,
                    limits=[Limit(1, WARN)],
                ),
                stat(
                    "Events unread",
                    "Messages of the streams that are still to be read (fleet_stream_unread_messages).",
                    Line(_stream(UNREAD).sum()),
                    width=3,
                    decimals=0,
                    limits=[_behind],
                    links=_to_events,
                ),
                stat(
                    "Not in Loki yet",
                    "Messages that are still to be copied to Loki (fleet_journal_pending_messages); no data where there is "
                    "no journal.",
                    Line(_stream(journal.PENDING).sum()),
                    width=3,
                    decimals=0,
                    limits=[_behind],
                    links=_to_events,
                ),
                stat(
                    "Restarts",
                    "Followers that ended unexpectedly within the last hour and were started again "
                    "(fleet_exporter_follower_restarts_total).",
                    Line(shown(scrape.RESTARTS).increase("1h").sum()),
                    width=3,
                    decimals=0,
                    limits=[Limit(1, WARN), Limit(thresholds.FOLLOWER_RESTARTS, BAD)],
                ),
                stat(
                    "Series",
                    "Series that the sources gave to the last page (fleet_exporter_source_series).",
                    Line(_of(scrape.SERIES).sum()),
                    width=3,
                    sparkline=True,
                    decimals=0,
                ),
                stat(
                    "Version",
                    "Versions that run now (fleet_exporter_build_info); two of them is a rollout.",
                    Line(shown(process.BUILD).max("version"), "{{version}}"),
                    width=3,
                    text=True,
                ),
                table(
                    "Backends",
                    "Each backend: whether its last reading succeeded and, if not, why; how long it took, what it gave, and "
                    "when one last succeeded (fleet_exporter_source_*).",
                    _SOURCE,
                    [
                        (Column("state", states=_READ), Line(_why)),
                        (Column("took", unit="s"), Line(_of(scrape.DURATION).max(*_SOURCE))),
                        (Column("series", decimals=0), Line(_of(scrape.SERIES).sum(*_SOURCE))),
                        (Column("left out", decimals=0, limits=[Limit(1, WARN)]), Line(_of(scrape.DROPPED).sum(*_SOURCE))),
                        (
                            Column("last read", unit="s", limits=STALE),
                            Line(_of(scrape.LAST_SUCCESS).age().max(*_SOURCE)),
                        ),
                    ],
                    key_columns=[Column("source", links=_overview)],
                    sort="state",
                    width=12,
                    height=12,
                ),
                timeline(
                    "Backends over time",
                    "Whether each backend could be read and, if not, why (fleet_exporter_source_failure); a gap is an "
                    "exporter that was not scraped.",
                    Line(_why, "{{source}} {{server}}"),
                    states=_READ,
                    width=12,
                    height=12,
                ),
            ],
        ),
        Row(
            "Readings",
            [
                graph(
                    "Time of a reading",
                    "Time the last reading of each backend took (fleet_exporter_source_duration_seconds).",
                    Line(_of(scrape.DURATION).max("source"), "{{source}}"),
                    unit="s",
                ),
                graph(
                    "Series by source",
                    "Series that each source gave to the page (fleet_exporter_source_series).",
                    Line(_of(scrape.SERIES).sum("source"), "{{source}}"),
                    unit="short",
                    stacked=True,
                ),
                graph(
                    "Not understood, not kept",
                    "How often something was no event, was over a cap, or had a state that this version does not know "
                    "(fleet_events_unparsed_total, fleet_overflow_total, ray_job_unknown_states_total).",
                    _events(samples.UNPARSED, "no event: {{reason}}", "reason"),
                    _events(samples.REFUSED, "over the cap: {{kind}}", "kind"),
                    _events(jobs.UNKNOWN, "unknown {{field}} of a RayJob", "field"),
                    unit="short",
                    bars=True,
                ),
            ],
        ),
        Row(
            "Events",
            [
                table(
                    "Streams",
                    "Each stream: how it is read, up to where, and what is left; up to where Loki has it "
                    "(fleet_stream_followed, fleet_stream_position, fleet_journal_position and their like).",
                    ["stream"],
                    [
                        (
                            Column("read", states={str(place): word for place, word in enumerate(_HOW.values(), 1)}),
                            Line(_how),
                        ),
                        (Column("position", decimals=0), Line(_stream(POSITION).max("stream"))),
                        (Column("unread", decimals=0, limits=[_behind]), Line(_stream(UNREAD).max("stream"))),
                        (Column("in Loki", decimals=0), Line(_stream(journal.POSITION).max("stream"))),
                        (
                            Column("not in Loki", decimals=0, limits=[_behind]),
                            Line(_stream(journal.PENDING).max("stream")),
                        ),
                    ],
                    key_columns=[Column("stream", links=_to_stream)],
                    width=12,
                    height=9,
                ),
                graph(
                    "Behind",
                    "Messages still to be read, and still to be copied to Loki, by stream (fleet_stream_unread_messages, "
                    "fleet_journal_pending_messages); the line is where an alert is given.",
                    Line(_stream(UNREAD).max("stream"), "{{stream}} unread"),
                    Line(_stream(journal.PENDING).max("stream"), "{{stream}} not in Loki"),
                    unit="short",
                    limits=[_behind],
                    width=12,
                    height=9,
                ),
                graph(
                    "Delay",
                    "95th percentile of the time from the stream's storing of an event to its being seen here, and to "
                    "Loki's having it (fleet_event_delay_seconds, fleet_journal_delay_seconds).",
                    Line(shown(samples.DELAY).quantile(0.95, "family", window=RATE), "{{family}} seen"),
                    Line(_stream(journal.DELAY).quantile(0.95, "stream", window=RATE), "{{stream}} in Loki"),
                    unit="s",
                    width=8,
                ),
                graph(
                    "Taken up anew",
                    "How often a stream's reading was taken up anew, by reason, a connection was lost, or a follower was "
                    "started again (fleet_stream_restarts_total, fleet_connection_losses_total, "
                    "fleet_exporter_follower_restarts_total).",
                    _events(RESTARTS, "{{reason}}", "reason"),
                    _events(LOSSES, "connection lost"),
                    _events(scrape.RESTARTS, "{{source}} started again", "source"),
                    unit="short",
                    width=8,
                    bars=True,
                ),
                graph(
                    "Messages missed",
                    "Messages deleted before they were read or copied, dropped since they came too fast, refused by Loki, "
                    "or passed over since they came again (fleet_stream_skipped_messages_total, "
                    "fleet_dropped_messages_total, fleet_journal_missed_messages_total and their like).",
                    _events(SKIPPED, "deleted before they were read"),
                    _events(DROPPED, "too fast"),
                    _events(journal.MISSED, "deleted before they were copied"),
                    _events(journal.DROPPED, "refused by Loki"),
                    _events(REPEATED, "came again"),
                    unit="short",
                    width=8,
                    bars=True,
                ),
                graph(
                    "Copied to Loki",
                    "Events copied to Loki a second by stream, and pushes that failed and were tried again "
                    "(fleet_journal_entries_total, fleet_journal_retries_total).",
                    Line(_stream(journal.ENTRIES).rate(RATE).sum("stream"), "{{stream}}"),
                    Line(shown(journal.RETRIES).rate(RATE).sum(), "failed pushes"),
                    unit="ops",
                    columns=[Column("failed pushes", colour=BAD)],
                    width=12,
                ),
                graph(
                    "Listeners",
                    "Clients that follow the live stream (fleet_listeners), and how often one was let go for being too "
                    "slow or a push to Grafana Live failed (fleet_listeners_dropped_total, "
                    "fleet_grafana_live_failures_total).",
                    Line(shown(broadcast.LISTENERS).sum(), "listeners"),
                    _events(broadcast.TOO_SLOW, "too slow, let go"),
                    _events(grafana_live.FAILED, "failed pushes to Grafana Live"),
                    unit="short",
                    width=12,
                ),
            ],
        ),
        exporter_process.PROCESS,
    ],
)
