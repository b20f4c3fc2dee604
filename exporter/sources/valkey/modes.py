"""Cluster state of a server (CLUSTER INFO) and masters of a Sentinel (SENTINEL MASTERS), as samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exporter.metrics.metric import Metric, Sample, gauge, labels, state_set
from exporter.sources.valkey.fields import value_of

_SLOTS: Final = {
    "cluster_slots_assigned": "assigned",
    "cluster_slots_ok": "ok",
    "cluster_slots_pfail": "pfail",
    "cluster_slots_fail": "fail",
}
_MASTER_STATUSES: Final = ("ok", "sdown", "odown")
_MAX_MASTERS: Final = 200

CLUSTER_OK = gauge(
    "valkey_cluster_state_ok", "Whether the node considers the cluster able to serve (CLUSTER INFO cluster_state).", "server"
)
CLUSTER_SLOTS = gauge(
    "valkey_cluster_slots", "Hash slots by state, as the node sees them (CLUSTER INFO cluster_slots_*).", "server", "state"
)
CLUSTER_NODES = gauge(
    "valkey_cluster_known_nodes", "Nodes known to this node, including itself (CLUSTER INFO cluster_known_nodes).", "server"
)
CLUSTER_SIZE = gauge("valkey_cluster_size", "Masters that serve at least one slot (CLUSTER INFO cluster_size).", "server")

MASTER_STATUS = state_set(
    "valkey_sentinel_master_status",
    "State of a master as seen by the Sentinel: ok, subjectively down or objectively down (SENTINEL MASTERS flags).",
    "server",
    "master",
    states=_MASTER_STATUSES,
)
MASTER_QUORUM = gauge(
    "valkey_sentinel_master_quorum", "Sentinels that must agree that a master is down (SENTINEL MASTERS quorum).",
    "server", "master",
)  # fmt: skip
MASTER_SENTINELS = gauge(
    "valkey_sentinel_master_sentinels", "Sentinels that monitor a master, including this one (num-other-sentinels + 1).",
    "server", "master",
)  # fmt: skip
MASTER_REPLICAS = gauge(
    "valkey_sentinel_master_replicas", "Replicas of a master that the Sentinel knows (SENTINEL MASTERS num-slaves).",
    "server", "master",
)  # fmt: skip

METRICS: Final[tuple[Metric, ...]] = (
    CLUSTER_OK, CLUSTER_SLOTS, CLUSTER_NODES, CLUSTER_SIZE, MASTER_STATUS, MASTER_QUORUM, MASTER_SENTINELS, MASTER_REPLICAS,
)  # fmt: skip


def cluster_samples(fields: Mapping[str, str], server: str) -> Iterable[Sample]:
    """The samples of one CLUSTER INFO reply."""
    if "cluster_state" in fields:
        yield CLUSTER_OK(fields["cluster_state"] == "ok", server=server)
    for field, state in _SLOTS.items():
        if (value := value_of(fields.get(field))) is not None:
            yield CLUSTER_SLOTS(value, server=server, state=state)
    for field, metric in (("cluster_known_nodes", CLUSTER_NODES), ("cluster_size", CLUSTER_SIZE)):
        if (value := value_of(fields.get(field))) is not None:
            yield metric(value, server=server)


def master_fields(reply: Any) -> list[dict[str, str]]:
    """The masters of a SENTINEL MASTERS reply as fields; malformed ones are ignored."""
    rows = reply[:_MAX_MASTERS] if isinstance(reply, list) else []
    return [named(row) for row in rows if isinstance(row, list)]


def named(row: Sequence[Any]) -> dict[str, str]:
    """`[name, value, name, value]` by name."""
    words = [
        "" if word is None else word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in row
    ]
    return dict(zip(words[::2], words[1::2], strict=False))


def master_samples(masters: Sequence[Mapping[str, str]], server: str) -> Iterable[Sample]:
    """The samples of every master that a Sentinel watches."""
    for fields in masters:
        who = labels(server=server, master=fields.get("name", ""))
        flags = fields.get("flags", "").split(",")
        yield MASTER_STATUS.state_at(who, "odown" if "o_down" in flags else "sdown" if "s_down" in flags else "ok")
        if (quorum := value_of(fields.get("quorum"))) is not None:
            yield MASTER_QUORUM.at(who, quorum)
        if (others := value_of(fields.get("num-other-sentinels"))) is not None:
            yield MASTER_SENTINELS.at(who, others + 1)
        if (replicas := value_of(fields.get("num-slaves"))) is not None:
            yield MASTER_REPLICAS.at(who, replicas)
