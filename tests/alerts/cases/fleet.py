"""Agents, councils and deliberations."""

from __future__ import annotations

from tests.alerts.case import case, unread

CASES = {
    "FleetEventsUnreadable": unread("fleet", because="jetstream"),
    "FleetAgentUnresponsive": case(
        {'fleet_agent_state{agent="a",role="DEV",state="unresponsive"}': "1x120"},
        {
            'fleet_agent_state{agent="a",role="DEV",state="unresponsive"}': "0x120",
            'fleet_agent_state{agent="a",role="DEV",state="deliberating"}': "1x120",
        },
    ),
    "FleetAgentsFailing": case(
        {
            'fleet_agent_responses_total{role="DEV",outcome="failed"}': "0+51x120",
            'fleet_agent_responses_total{role="DEV",outcome="completed"}': "0+49x120",
        },
        {
            'fleet_agent_responses_total{role="DEV",outcome="failed"}': "0+5x120",
            'fleet_agent_responses_total{role="DEV",outcome="completed"}': "0+5x120",
        },
        enough={'fleet_agent_responses_total{role="DEV",outcome="failed"}': "0+0.61x120"},
        too_few={'fleet_agent_responses_total{role="DEV",outcome="failed"}': "0+0.59x120"},
        none={'fleet_agent_responses_total{role="DEV",outcome="failed"}': "7x120"},
    ),
    "FleetCouncilIncomplete": case(
        {'fleet_council_agents{role="DEV"}': "2x120", 'fleet_council_expected_agents{role="DEV"}': "3x120"},
        {'fleet_council_agents{role="DEV"}': "3x120", 'fleet_council_expected_agents{role="DEV"}': "3x120"},
    ),
    "FleetDeliberationsTimingOut": case(
        {'fleet_deliberations_total{role="DEV",outcome="timeout"}': "0x110 3x10"},
        {'fleet_deliberations_total{role="DEV",outcome="timeout"}': "0x110 2x10"},
        completed={'fleet_deliberations_total{role="DEV",outcome="completed"}': "0+9x120"},
    ),
}
