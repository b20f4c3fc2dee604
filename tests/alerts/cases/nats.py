"""NATS."""

from __future__ import annotations

from tests.alerts.case import Case, case, unread

_WHO = 'stream="S",consumer="c"'
_BURST = "0x112 500x3 0x3"
"""Dealt with in four minutes, four minutes ago."""

CASES = {
    "NatsDown": unread("jetstream"),
    "NatsSlow": case(
        {"nats_round_trip_seconds": "1.01x120"},
        {"nats_round_trip_seconds": "1x120"},
        now_and_then={"nats_round_trip_seconds": " ".join(["9 0.01"] * 60)},
    ),
    "NatsConsumerLagging": case(
        {f"nats_consumer_lag{{{_WHO}}}": "100x120"},
        {f"nats_consumer_lag{{{_WHO}}}": "99x120"},
        dealt_with={f"nats_consumer_lag{{{_WHO}}}": _BURST},
    ),
    "NatsConsumerPending": case(
        {f"nats_consumer_num_pending{{{_WHO}}}": "50x120", f"nats_consumer_lag{{{_WHO}}}": "99x120"},
        {f"nats_consumer_num_pending{{{_WHO}}}": "49x120"},
        dealt_with={f"nats_consumer_num_pending{{{_WHO}}}": _BURST, f"nats_consumer_lag{{{_WHO}}}": _BURST},
        told_as_lag={f"nats_consumer_num_pending{{{_WHO}}}": "100x120", f"nats_consumer_lag{{{_WHO}}}": "100x120"},
    ),
    "NatsConsumerStalled": case(
        {f"nats_consumer_lag{{{_WHO}}}": "1x120", f"nats_consumer_acknowledged_total{{{_WHO}}}": "7x120"},
        {f"nats_consumer_lag{{{_WHO}}}": "1x120", f"nats_consumer_acknowledged_total{{{_WHO}}}": "7x115 8x5"},
        just_started={
            f"nats_consumer_lag{{{_WHO}}}": "_x111 1x8",
            f"nats_consumer_acknowledged_total{{{_WHO}}}": "_x111 7x8",
        },
        nothing_to_do={f"nats_consumer_lag{{{_WHO}}}": "0x120", f"nats_consumer_acknowledged_total{{{_WHO}}}": "7x120"},
        told_as_loop={
            f"nats_consumer_lag{{{_WHO}}}": "1x120",
            f"nats_consumer_acknowledged_total{{{_WHO}}}": "7x120",
            f"nats_consumer_num_redelivered{{{_WHO}}}": "1x120",
            f"nats_consumer_delivered_total{{{_WHO}}}": "0+2x120",
        },
    ),
    "NatsPoisonLoop": case(
        {
            f"nats_consumer_num_redelivered{{{_WHO}}}": "1x120",
            f"nats_consumer_delivered_total{{{_WHO}}}": "0+2x120",
            f"nats_consumer_acknowledged_total{{{_WHO}}}": "7x120",
        },
        {
            f"nats_consumer_num_redelivered{{{_WHO}}}": "1x120",
            f"nats_consumer_delivered_total{{{_WHO}}}": "0+2x120",
            f"nats_consumer_acknowledged_total{{{_WHO}}}": "7+1x120",
        },
        first_deliveries={
            f"nats_consumer_num_redelivered{{{_WHO}}}": "0x120",
            f"nats_consumer_delivered_total{{{_WHO}}}": "0+2x120",
            f"nats_consumer_acknowledged_total{{{_WHO}}}": "7x120",
        },
    ),
    "NatsRedelivering": Case(
        {
            "repeated": {
                f"nats_consumer_delivered_total{{{_WHO}}}": "0+121x120",
                f"nats_consumer_delivered_stream_sequence{{{_WHO}}}": "0+60x120",
            },
            "refused": {f"nats_consumer_naks_total{{{_WHO}}}": "0+61x120"},
        },
        {
            "just below": {
                f"nats_consumer_delivered_total{{{_WHO}}}": "0+119x120",
                f"nats_consumer_delivered_stream_sequence{{{_WHO}}}": "0+60x120",
                f"nats_consumer_naks_total{{{_WHO}}}": "0+59x120",
            },
            "busy": {
                f"nats_consumer_delivered_total{{{_WHO}}}": "0+9000x120",
                f"nats_consumer_delivered_stream_sequence{{{_WHO}}}": "0+9000x120",
            },
            "stream made anew": {
                f"nats_consumer_delivered_total{{{_WHO}}}": "9000x117 0x3",
                f"nats_consumer_delivered_stream_sequence{{{_WHO}}}": "90000x117 0x3",
            },
        },
    ),
    "NatsMaxDeliveriesReached": Case(
        {
            "risen": {f"nats_consumer_max_deliveries_total{{{_WHO}}}": "1x110 2x10"},
            "born": {f"nats_consumer_max_deliveries_total{{{_WHO}}}": "_x110 1x10"},
        },
        {"long ago": {f"nats_consumer_max_deliveries_total{{{_WHO}}}": "1x120"}},
    ),
    "NatsAckPendingFull": case(
        {
            f"nats_consumer_num_ack_pending{{{_WHO}}}": "1000x120",
            f"nats_consumer_max_ack_pending{{{_WHO}}}": "1000x120",
            f"nats_consumer_num_pending{{{_WHO}}}": "50x120",
        },
        {
            f"nats_consumer_num_ack_pending{{{_WHO}}}": "999x120",
            f"nats_consumer_max_ack_pending{{{_WHO}}}": "1000x120",
            f"nats_consumer_num_pending{{{_WHO}}}": "50x120",
        },
        one_at_a_time={
            f"nats_consumer_num_ack_pending{{{_WHO}}}": "1x120",
            f"nats_consumer_max_ack_pending{{{_WHO}}}": "1x120",
            f"nats_consumer_num_pending{{{_WHO}}}": "49x120",
        },
    ),
    "NatsStreamMissing": case(
        {'nats_expected_stream_present{stream="S"}': "0x120"}, {'nats_expected_stream_present{stream="S"}': "1x120"}
    ),
    "NatsConsumerMissing": case(
        {f"nats_expected_consumer_present{{{_WHO}}}": "0x120", 'nats_expected_stream_present{stream="S"}': "1x120"},
        {f"nats_expected_consumer_present{{{_WHO}}}": "1x120"},
        told_as_stream={
            f"nats_expected_consumer_present{{{_WHO}}}": "0x120",
            'nats_expected_stream_present{stream="S"}': "0x120",
        },
    ),
    "NatsStreamNearLimit": Case(
        {
            "messages": {
                'nats_stream_messages{stream="S"}': "90x120",
                'nats_stream_limit_messages{stream="S"}': "100x120",
                'nats_stream_info{stream="S",discard="new"}': "1x120",
            },
            "bytes, while messages are few": {
                'nats_stream_messages{stream="S"}': "1x120",
                'nats_stream_limit_messages{stream="S"}': "100x120",
                'nats_stream_size_bytes{stream="S"}': "90x120",
                'nats_stream_limit_bytes{stream="S"}': "100x120",
                'nats_stream_info{stream="S",discard="new"}': "1x120",
            },
        },
        {
            "just below": {
                'nats_stream_messages{stream="S"}': "89x120",
                'nats_stream_limit_messages{stream="S"}': "100x120",
                'nats_stream_info{stream="S",discard="new"}': "1x120",
            },
            "another fleet's stream discards the old": {
                'nats_stream_messages{stream="S",cluster="a"}': "100x120",
                'nats_stream_limit_messages{stream="S",cluster="a"}': "100x120",
                'nats_stream_info{stream="S",discard="old",cluster="a"}': "1x120",
                'nats_stream_info{stream="S",discard="new",cluster="b"}': "1x120",
            },
            "it discards the old": {
                'nats_stream_messages{stream="S"}': "100x120",
                'nats_stream_limit_messages{stream="S"}': "100x120",
                'nats_stream_info{stream="S",discard="old"}': "1x120",
            },
        },
    ),
    "NatsAccountNearLimit": Case(
        {
            "storage": {"nats_account_storage_bytes": "85x120", "nats_account_limit_storage_bytes": "100x120"},
            "memory": {
                "nats_account_storage_bytes": "1x120",
                "nats_account_limit_storage_bytes": "100x120",
                "nats_account_memory_bytes": "85x120",
                "nats_account_limit_memory_bytes": "100x120",
            },
        },
        {"just below": {"nats_account_storage_bytes": "84x120", "nats_account_limit_storage_bytes": "100x120"}},
    ),
}
