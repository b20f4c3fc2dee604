"""The task board, costs and the agent broker."""

from __future__ import annotations

from tests.alerts.case import case, unread

CASES = {
    "BoardUnreadable": unread("taskboard"),
    "TaskFilesUnreadable": case(
        {'fleet_board_unreadable_files{reason="not_yaml"}': "1x120"},
        {'fleet_board_unreadable_files{reason="not_yaml"}': "0x120"},
    ),
    "TaskStuck": case(
        {'fleet_board_oldest_task_timestamp_seconds{column="inbox"}': "-597601x120"},
        {
            'fleet_board_oldest_task_timestamp_seconds{column="inbox"}': "-597600x120",
            'fleet_board_oldest_task_timestamp_seconds{column="done"}': "-9000000x120",
        },
    ),
    "CostsUnreadable": unread("costs"),
    "BudgetNearlySpent": case(
        {'fleet_cost_budget_spent_ratio{period="day"}': "0.8x120"},
        {'fleet_cost_budget_spent_ratio{period="day"}': "0.79x120"},
        already_spent={'fleet_cost_budget_spent_ratio{period="day"}': "1x120"},
    ),
    "BudgetSpent": case(
        {'fleet_cost_budget_spent_ratio{period="day"}': "1x120"}, {'fleet_cost_budget_spent_ratio{period="day"}': "0.99x120"}
    ),
    "BrokerUnreadable": unread("broker"),
    **{
        name: case(
            {f'{metric}{{agent="a"}}': f"{at}x120"},
            {f'{metric}{{agent="a"}}': f"{below}x120"},
            **({"told_as_worse": {f'{metric}{{agent="a"}}': f"{worse}x120"}} if worse else {}),
        )
        for name, metric, below, at, worse in (
            ("BrokerAgentCpuHigh", "fleet_broker_agent_cpu_ratio", 0.79, 0.8, 0.95),
            ("BrokerAgentCpuCritical", "fleet_broker_agent_cpu_ratio", 0.94, 0.95, None),
            ("BrokerAgentMemoryHigh", "fleet_broker_agent_memory_bytes", 2**30 - 1, 2**30, 2**31),
            ("BrokerAgentMemoryFull", "fleet_broker_agent_memory_bytes", 2**31 - 1, 2**31, None),
            ("BrokerAgentErrors", "fleet_broker_agent_errors", 4, 5, 10),
            ("BrokerAgentManyErrors", "fleet_broker_agent_errors", 9, 10, None),
        )
    },
    "BrokerHeartbeatMissed": case(
        {
            'fleet_broker_agent_heartbeat_timestamp_seconds{agent="a"}': "-91+60x120",
            'fleet_broker_agent_heartbeat_interval_seconds{agent="a"}': "30x120",
        },
        {
            'fleet_broker_agent_heartbeat_timestamp_seconds{agent="a"}': "-89+60x120",
            'fleet_broker_agent_heartbeat_interval_seconds{agent="a"}': "30x120",
        },
    ),
}
