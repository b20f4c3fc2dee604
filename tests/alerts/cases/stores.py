"""Neo4j and ValKey."""

from __future__ import annotations

from tests.alerts.case import case, unread

CASES = {
    "Neo4jDown": unread("neo4j"),
    "Neo4jGraphShrinking": case(
        {'neo4j_nodes{database="neo4j"}': "1000x110 899x10"},
        {'neo4j_nodes{database="neo4j"}': "1000x110 900x10"},
        enough={'neo4j_nodes{database="neo4j"}': "100x110 89x10"},
        small={'neo4j_nodes{database="neo4j"}': "99x110 1x10"},
    ),
    "ValkeyDown": unread("valkey"),
    "ValkeyMemoryNearLimit": case(
        {'valkey_memory_used_bytes{server="s"}': "90x120", 'valkey_memory_max_bytes{server="s"}': "100x120"},
        {'valkey_memory_used_bytes{server="s"}': "89x120", 'valkey_memory_max_bytes{server="s"}': "100x120"},
        no_limit={'valkey_memory_used_bytes{server="s"}': "90x120", 'valkey_memory_max_bytes{server="s"}': "0x120"},
    ),
    "ValkeyEvicting": case(
        {'valkey_evicted_keys_total{server="s"}': "0x115 1x5"}, {'valkey_evicted_keys_total{server="s"}': "7x120"}
    ),
    "ValkeyRejectingConnections": case(
        {'valkey_rejected_connections_total{server="s"}': "0x118 1x2"},
        {'valkey_rejected_connections_total{server="s"}': "7x120"},
    ),
    "ValkeyPersistenceFailing": case(
        {'valkey_persistence_last_ok{server="s",operation="rdb_bgsave"}': "0x120"},
        {'valkey_persistence_last_ok{server="s",operation="rdb_bgsave"}': "1x120"},
    ),
    "ValkeyReplicationBroken": case(
        {'valkey_master_link_up{server="s"}': "0x120"}, {'valkey_master_link_up{server="s"}': "1x120"}
    ),
    "ValkeyClusterDown": case(
        {'valkey_cluster_state_ok{server="s"}': "0x120"},
        {'valkey_cluster_state_ok{server="s"}': "1x120"},
        for_a_moment={'valkey_cluster_state_ok{server="s"}': "1x119 0"},
    ),
    "ValkeySentinelMasterDown": case(
        {'valkey_sentinel_master_status{server="s",master="m",state="odown"}': "1x120"},
        {'valkey_sentinel_master_status{server="s",master="m",state="odown"}': "0x120"},
        failed_over={'valkey_sentinel_master_status{server="s",master="m",state="odown"}': "0x110 1x1 0x9"},
    ),
}
