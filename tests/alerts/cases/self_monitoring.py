"""The exporter itself."""

from __future__ import annotations

from tests.alerts.case import Case, case, unread
from tests.alerts.firing import Given


def _shards(number: int, *present: str, job: str = "j") -> Given:
    """Exporters with `number` shards, of which the indexes in `present` are running."""
    who = [f'{{job="{job}",instance="{instance}"}}' for instance in range(len(present))]
    shards = {f"fleet_exporter_shard{one}": f"{shard}x120" for one, shard in zip(who, present, strict=True)}
    return shards | {f"fleet_exporter_shards{one}": f"{number}x120" for one in who}


CASES = {
    "Watchdog": Case({"always": {"nothing": "1x120"}}),
    "FleetExporterDown": Case(
        {
            "not scraped": {'up{job="fleet-exporter",instance="i"}': "1x60 0x60"},
            "one of two not scraped": {
                'up{job="monitoring/fleet-exporter",instance="i"}': "0x120",
                'up{job="monitoring/fleet-exporter",instance="k"}': "1x120",
            },
            "none of two scraped": {
                'up{job="fleet-exporter",instance="i",pod="p"}': "1x60 0x60",
                'up{job="fleet-exporter",instance="k",pod="q"}': "0x120",
            },
            "never found": {'up{job="other",instance="i"}': "1x120"},
            "gone": {'up{job="fleet-exporter",instance="i"}': "1x100"},
        },
        {
            "up": {'up{job="fleet-exporter",instance="i"}': "1x120"},
            "every second scrape": {'up{job="fleet-exporter",instance="i"}': " ".join(["1 0"] * 60)},
            "gone for a moment": {'up{job="fleet-exporter",instance="i"}': "1x114"},
        },
    ),
    "FleetShardMissing": case(
        _shards(3, "0", "1"),
        _shards(3, "0", "1", "2"),
        alone=_shards(1, "0"),
        rollout={**_shards(3, "0", "1"), 'fleet_exporter_shard{job="j",instance="new"}': "_x5 2x115"}
        | {'fleet_exporter_shards{job="j",instance="new"}': "_x5 3x115"},
        another_fleet_is_larger={**_shards(2, "0", "1"), **_shards(3, "0", "1", "2", job="k")},
    ),
    "FleetShardDoubled": case(
        _shards(2, "0", "1", "1"),
        _shards(2, "0", "1"),
        not_divided=_shards(1, "0", "0"),
    ),
    "FleetSourceDown": Case(
        {
            **unread("loki", because="jetstream").fires,
            **{f"services {what}": given for what, given in unread("services").fires.items()},
            "services, while NATS is down": {
                'fleet_exporter_source_up{source="services",server=""}': "0x120",
                'fleet_exporter_source_up{source="jetstream",server="n"}': "0x120",
            },
        },
        {
            **unread("loki", because="jetstream").silent,
            **{f"services {what}": given for what, given in unread("services").silent.items()},
        },
    ),
    "FleetSeriesDropped": case(
        {'fleet_exporter_source_dropped_series{source="valkey",server="s"}': "1x120"},
        {'fleet_exporter_source_dropped_series{source="valkey",server="s"}': "0x120"},
    ),
    "FleetExporterWatcherCrashLooping": case(
        {'fleet_exporter_watcher_restarts_total{source="fleet"}': "0x100 1 2 3x18"},
        {'fleet_exporter_watcher_restarts_total{source="fleet"}': "0x100 1 2x19"},
    ),
    "FleetEventGap": Case(
        {
            "risen": {'fleet_exporter_stream_skipped_messages_total{stream="S"}': "0x110 1x10"},
            "born": {'fleet_exporter_stream_skipped_messages_total{stream="S"}': "_x110 1x10"},
        },
        {"long ago": {'fleet_exporter_stream_skipped_messages_total{stream="S"}': "0x60 9x60"}},
    ),
    "FleetEventsDropped": case(
        {"fleet_exporter_dropped_messages_total": "0x110 1x10"}, {"fleet_exporter_dropped_messages_total": "7x120"}
    ),
    "FleetExporterEventLagHigh": case(
        {'fleet_exporter_stream_lag_messages{stream="S"}': "1000x120"},
        {'fleet_exporter_stream_lag_messages{stream="S"}': "999x120"},
        caught_up_between={'fleet_exporter_stream_lag_messages{stream="S"}': " ".join(["9000 0"] * 60)},
    ),
    "FleetEventsStalled": case(
        {'nats_stream_last_sequence{stream="S"}': "0+1x120", 'fleet_exporter_stream_position{stream="S"}': "7x120"},
        {'nats_stream_last_sequence{stream="S"}': "0+1x120", 'fleet_exporter_stream_position{stream="S"}': "0+1x120"},
        nothing_to_read={
            'nats_stream_last_sequence{stream="S"}': "7x120",
            'fleet_exporter_stream_position{stream="S"}': "7x120",
        },
    ),
    "FleetStreamRefused": case(
        {'fleet_exporter_stream_mode{stream="S",mode="refused"}': "1x120"},
        {
            'fleet_exporter_stream_mode{stream="S",mode="refused"}': "0x120",
            'fleet_exporter_stream_mode{stream="S",mode="consumer"}': "1x120",
        },
    ),
    "FleetEventsUnparsed": case(
        {'fleet_events_unparsed_total{reason="json"}': "0x110 5x10"},
        {'fleet_events_unparsed_total{reason="json"}': "0x110 4x10"},
    ),
    "FleetExporterCardinalityLimit": case(
        {'fleet_exporter_limit_hits_total{kind="agents"}': "0x110 1x10"},
        {'fleet_exporter_limit_hits_total{kind="agents"}': "1x120"},
    ),
    "FleetExporterLokiLagHigh": case(
        {'fleet_exporter_loki_pending_messages{stream="S"}': "1000x120"},
        {'fleet_exporter_loki_pending_messages{stream="S"}': "999x120"},
    ),
    "FleetExporterLokiEntriesLost": Case(
        {
            "refused": {'fleet_exporter_loki_dropped_entries_total{stream="S",reason="invalid"}': "0x110 1x10"},
            "missed": {
                'fleet_exporter_loki_dropped_entries_total{stream="S",reason="invalid"}': "0x120",
                'fleet_exporter_loki_missed_messages_total{stream="S"}': "0x110 1x10",
            },
        },
        {"long ago": {'fleet_exporter_loki_missed_messages_total{stream="S"}': "0 1x119"}},
    ),
}
