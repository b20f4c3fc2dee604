"""NATS."""

from __future__ import annotations

from tests.alerts.case import Case, case, unread
from tests.alerts.firing import Given

_WHO = 'stream="S",consumer="c"'
_SOURCE = 'stream="S",source="T",type="mirror"'
_BURST = "0x112 500x3 0x3"
"""Processed in four minutes, four minutes ago."""
_NIGHTLY_BATCH = "0x100 2000 4000 6000 6000 5700-300x15"
"""Published within three minutes, processed in twenty."""
_REPLAY = "100000-600x120"
_SCALED_TO_ZERO = "0x110 50+50x7 200"
"""Without a subscriber for eight minutes."""
_LAST_ACK = f"nats_consumer_last_ack_timestamp_seconds{{{_WHO}}}"


def _loop(deliveries: str, first_deliveries: str, *, redelivered: str = "1x120") -> Given:
    return {
        f"nats_consumer_num_redelivered{{{_WHO}}}": redelivered,
        f"nats_consumer_delivered_total{{{_WHO}}}": deliveries,
        f"nats_consumer_delivered_stream_sequence{{{_WHO}}}": first_deliveries,
    }


CASES = {
    "NatsDown": unread("jetstream"),
    "NatsSlow": case(
        {"nats_rtt_seconds": "1.01x120"},
        {"nats_rtt_seconds": "1x120"},
        now_and_then={"nats_rtt_seconds": " ".join(["9 0.01"] * 60)},
    ),
    "NatsConsumerLagging": case(
        {f"nats_consumer_lag{{{_WHO}}}": "100x120"},
        {f"nats_consumer_lag{{{_WHO}}}": "99x120"},
        processed={f"nats_consumer_lag{{{_WHO}}}": _BURST},
        draining={f"nats_consumer_lag{{{_WHO}}}": _NIGHTLY_BATCH},
        replay={f"nats_consumer_lag{{{_WHO}}}": _REPLAY},
        paused={f"nats_consumer_lag{{{_WHO}}}": "100x120", f"nats_consumer_paused{{{_WHO}}}": "1x120"},
        resumed={f"nats_consumer_lag{{{_WHO}}}": "100x120", f"nats_consumer_paused{{{_WHO}}}": "1x117 0x3"},
        scaled_to_zero={f"nats_consumer_lag{{{_WHO}}}": _SCALED_TO_ZERO},
    ),
    "NatsConsumerPending": case(
        {f"nats_consumer_num_pending{{{_WHO}}}": "50x120", f"nats_consumer_lag{{{_WHO}}}": "99x120"},
        {f"nats_consumer_num_pending{{{_WHO}}}": "49x120"},
        processed={f"nats_consumer_num_pending{{{_WHO}}}": _BURST, f"nats_consumer_lag{{{_WHO}}}": _BURST},
        has_lag_alert={f"nats_consumer_num_pending{{{_WHO}}}": "100x120", f"nats_consumer_lag{{{_WHO}}}": "100x120"},
        draining={f"nats_consumer_num_pending{{{_WHO}}}": _NIGHTLY_BATCH},
        replay={f"nats_consumer_num_pending{{{_WHO}}}": _REPLAY},
        paused={f"nats_consumer_num_pending{{{_WHO}}}": "50x120", f"nats_consumer_paused{{{_WHO}}}": "1x120"},
        scaled_to_zero={f"nats_consumer_num_pending{{{_WHO}}}": _SCALED_TO_ZERO},
    ),
    "NatsConsumerStalled": Case(
        {
            "at the threshold": {f"nats_consumer_lag{{{_WHO}}}": "1x120"},
            "acked long ago": {f"nats_consumer_lag{{{_WHO}}}": "1x120", _LAST_ACK: "7x120"},
            "one message over max_deliver and nothing acked": {
                f"nats_consumer_lag{{{_WHO}}}": "9x120",
                f"nats_consumer_num_redelivered{{{_WHO}}}": "1x120",
                f"nats_consumer_max_deliver{{{_WHO}}}": "5x120",
                f"nats_consumer_delivered_total{{{_WHO}}}": "9x120",
                f"nats_consumer_delivered_stream_sequence{{{_WHO}}}": "5x120",
            },
            "long ack_wait exceeded": {
                f"nats_consumer_lag{{{_WHO}}}": "1x120",
                f"nats_consumer_ack_wait_seconds{{{_WHO}}}": "1800x120",
                f"nats_consumer_last_delivery_timestamp_seconds{{{_WHO}}}": "60x120",
                f"nats_consumer_num_redelivered{{{_WHO}}}": "0x120",
                _LAST_ACK: "60x120",
            },
        },
        {
            "just below it": {f"nats_consumer_lag{{{_WHO}}}": "1x120", _LAST_ACK: "7x115 8x5"},
            "just started": {f"nats_consumer_lag{{{_WHO}}}": "_x111 1x8"},
            "no lag": {f"nats_consumer_lag{{{_WHO}}}": "0x120"},
            "paused": {f"nats_consumer_lag{{{_WHO}}}": "1x120", f"nats_consumer_paused{{{_WHO}}}": "1x120"},
            "resumed just now": {f"nats_consumer_lag{{{_WHO}}}": "1x120", f"nats_consumer_paused{{{_WHO}}}": "1x112 0x8"},
            "has a loop alert": {
                f"nats_consumer_lag{{{_WHO}}}": "1x120",
                f"nats_consumer_num_redelivered{{{_WHO}}}": "1x120",
                f"nats_consumer_delivered_total{{{_WHO}}}": "0+2x120",
                f"nats_consumer_delivered_stream_sequence{{{_WHO}}}": "7x120",
            },
            "one message over max_deliver holds the floor": {
                f"nats_consumer_lag{{{_WHO}}}": "10x120",
                f"nats_consumer_ack_floor_stream_sequence{{{_WHO}}}": "7x120",
                f"nats_consumer_num_redelivered{{{_WHO}}}": "1x120",
                _LAST_ACK: "0+60x120",
            },
            "new deployment": {f"nats_consumer_lag{{{_WHO}}}": "_x108 400x9 300 200", _LAST_ACK: "_x118 7080 7140"},
            "scaled to zero and back": {
                f"nats_consumer_lag{{{_WHO}}}": "0x104 " + _SCALED_TO_ZERO.split(" ", 1)[1],
                _LAST_ACK: "0+60x108 6480x9 7080 7140",
            },
            "backlog replay": {f"nats_consumer_lag{{{_WHO}}}": _REPLAY, _LAST_ACK: "0+60x120"},
            "without acks, delivering": {
                f"nats_consumer_lag{{{_WHO}}}": "10x120",
                f"nats_consumer_last_delivery_timestamp_seconds{{{_WHO}}}": "0+60x120",
                f'nats_consumer_info{{{_WHO},ack_policy="none"}}': "1x120",
            },
            "works long on one message": {
                f"nats_consumer_lag{{{_WHO}}}": "1x120",
                f"nats_consumer_ack_wait_seconds{{{_WHO}}}": "3600x120",
                f"nats_consumer_last_delivery_timestamp_seconds{{{_WHO}}}": "5000x120",
                f"nats_consumer_num_redelivered{{{_WHO}}}": "0x120",
            },
            "rolling restart of NATS": {
                f"nats_consumer_lag{{{_WHO}}}": "5x112 _x4 5x4",
                _LAST_ACK: "0+60x112 _x6 7080 7140",
            },
        },
    ),
    "NatsPoisonLoop": Case(
        {
            "at the threshold": _loop("0+2x120", "7x120"),
            "barely enough": _loop("0x100 0+1x20", "7x120"),
            "new messages are delivered and none is acked": _loop("0+3x120", "0+1x120"),
            "one message without max_deliver while others are acked": {
                **_loop("0+12x120", "0+10x120"),
                f"nats_consumer_ack_floor_stream_sequence{{{_WHO}}}": "7x120",
                _LAST_ACK: "0+60x120",
            },
        },
        {
            "acked": {**_loop("0+2x120", "7x120"), _LAST_ACK: "0+60x120"},
            "first deliveries": _loop("0+2x120", "0+2x120", redelivered="0x120"),
            "one message over max_deliver, the others acked": {
                **_loop("0+600x120", "0+600x120"),
                f"nats_consumer_ack_floor_stream_sequence{{{_WHO}}}": "7x120",
                f"nats_consumer_max_deliver{{{_WHO}}}": "3x120",
                _LAST_ACK: "0+60x120",
            },
            "one message over max_deliver, retries that succeed": {
                **_loop("0+700x120", "0+600x120"),
                f"nats_consumer_ack_floor_stream_sequence{{{_WHO}}}": "7x120",
                f"nats_consumer_max_deliver{{{_WHO}}}": "3x120",
                _LAST_ACK: "0+60x120",
            },
            "paused": {**_loop("0+2x120", "7x120"), f"nats_consumer_paused{{{_WHO}}}": "1x120"},
            "rolling restart of agents": {**_loop("0+60x110 6650+60x10", "0+60x120"), _LAST_ACK: "0+60x120"},
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
            "stream created again": {
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
    "NatsStreamOffline": case(
        {'nats_stream_offline{stream="S"}': "1x120"},
        {'nats_stream_offline{stream="S"}': "0x120"},
        node_restarted={'nats_stream_offline{stream="S"}': "0x115 1x4 0"},
    ),
    "NatsConsumerOffline": case(
        {f"nats_consumer_offline{{{_WHO}}}": "1x120", 'nats_stream_offline{stream="S"}': "0x120"},
        {f"nats_consumer_offline{{{_WHO}}}": "0x120"},
        stream_offline={f"nats_consumer_offline{{{_WHO}}}": "1x120", 'nats_stream_offline{stream="S"}': "1x120"},
        node_restarted={f"nats_consumer_offline{{{_WHO}}}": "0x115 1x4 0"},
    ),
    "NatsReplicaNotCurrent": case(
        {'nats_stream_replica_current{stream="S",replica="n1"}': "0x120"},
        {'nats_stream_replica_current{stream="S",replica="n1"}': "1x120"},
        node_restarted={'nats_stream_replica_current{stream="S",replica="n1"}': "1x111 0x9"},
    ),
    "NatsSourceLagging": Case(
        {
            "lag": {f"nats_stream_source_lag{{{_SOURCE}}}": "1000x120"},
            "error": {f"nats_stream_source_error{{{_SOURCE}}}": "1x120"},
        },
        {
            "just below": {f"nats_stream_source_lag{{{_SOURCE}}}": "999x120"},
            "catching up": {f"nats_stream_source_lag{{{_SOURCE}}}": "100000-600x120"},
            "no error": {f"nats_stream_source_error{{{_SOURCE}}}": "0x120"},
        },
    ),
    "NatsConsumerMissing": case(
        {f"nats_expected_consumer_present{{{_WHO}}}": "0x120", 'nats_expected_stream_present{stream="S"}': "1x120"},
        {f"nats_expected_consumer_present{{{_WHO}}}": "1x120"},
        has_stream_alert={
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
            "another fleet's stream discards old messages": {
                'nats_stream_messages{stream="S",cluster="a"}': "100x120",
                'nats_stream_limit_messages{stream="S",cluster="a"}': "100x120",
                'nats_stream_info{stream="S",discard="old",cluster="a"}': "1x120",
                'nats_stream_info{stream="S",discard="new",cluster="b"}': "1x120",
            },
            "discards old messages": {
                'nats_stream_messages{stream="S"}': "100x120",
                'nats_stream_limit_messages{stream="S"}': "100x120",
                'nats_stream_info{stream="S",discard="old"}': "1x120",
            },
        },
    ),
    "NatsAccountNearLimit": Case(
        {
            "tier": {
                'nats_account_tier_storage_bytes{tier="R3"}': "85x120",
                'nats_account_tier_limit_storage_bytes{tier="R3"}': "100x120",
            },
            "storage": {"nats_account_storage_bytes": "85x120", "nats_account_limit_storage_bytes": "100x120"},
            "memory": {
                "nats_account_storage_bytes": "1x120",
                "nats_account_limit_storage_bytes": "100x120",
                "nats_account_memory_bytes": "85x120",
                "nats_account_limit_memory_bytes": "100x120",
            },
        },
        {
            "just below": {"nats_account_storage_bytes": "84x120", "nats_account_limit_storage_bytes": "100x120"},
            "another tier is small": {
                'nats_account_tier_storage_bytes{tier="R3"}': "85x120",
                'nats_account_tier_limit_storage_bytes{tier="R3"}': "101x120",
                'nats_account_tier_limit_storage_bytes{tier="R1"}': "1x120",
            },
        },
    ),
}
