"""Workloads and services."""

from __future__ import annotations

from tests.alerts.case import Case, case, unread

_POD = 'namespace="n",kind="Deployment",workload="w"'
_EXPECTED = 'fleet_expected_workload_status{namespace="n",workload="w",state='
_STATUS = f"fleet_workload_status{{{_POD},state="
_TO_AND_FRO = {"degraded": " ".join(["1 1 0 0"] * 30), "down": " ".join(["0 0 1 1"] * 30)}
"""Changes its state every two minutes, and is never up."""

CASES = {
    "WorkloadsUnreadable": unread("workloads"),
    "WorkloadDown": Case(
        {
            "absent": {f'{_EXPECTED}"absent"}}': "1x120", f'{_EXPECTED}"up"}}': "0x120"},
            "to and fro": {
                f'{_EXPECTED}"up"}}': "0x120",
                f'{_EXPECTED}"absent"}}': _TO_AND_FRO["degraded"],
                f'{_EXPECTED}"down"}}': _TO_AND_FRO["down"],
            },
        },
        {
            "up": {f'{_EXPECTED}"absent"}}': "0x120", f'{_EXPECTED}"up"}}': "1x120"},
            "ready again after four minutes": {
                f'{_EXPECTED}"down"}}': "0x115 1x4 0",
                f'{_EXPECTED}"up"}}': "1x115 0x4 1",
            },
            "a rollout waits for its new pod": {f'{_EXPECTED}"degraded"}}': "1x120", f'{_EXPECTED}"down"}}': "0x120"},
        },
    ),
    "WorkloadNotReady": Case(
        {
            "degraded": {f'{_STATUS}"degraded"}}': "1x120"},
            "to and fro": {f'{_STATUS}"{state}"}}': values for state, values in _TO_AND_FRO.items()},
            "to and fro though expected": {
                f'{label}"{state}"}}': values for state, values in _TO_AND_FRO.items() for label in (_STATUS, _EXPECTED)
            },
        },
        {"up": {f'{_STATUS}"degraded"}}': "0x120", f'{_STATUS}"up"}}': "1x120"}},
    ),
    "PodCrashLooping": case(
        {f'fleet_workload_waiting_containers{{{_POD},reason="CrashLoopBackOff"}}': "1x120"},
        {f'fleet_workload_waiting_containers{{{_POD},reason="ContainerCreating"}}': "1x120"},
        runs_after_two_failures={f'fleet_workload_waiting_containers{{{_POD},reason="CrashLoopBackOff"}}': "0x111 1x4 0x3"},
    ),
    "ServiceDown": case(
        {
            'fleet_service_up{service="planning",address="a"}': "0x120",
            'fleet_service_up{service="planning",address="b"}': "0x120",
        },
        {
            'fleet_service_up{service="planning",address="a"}': "0x120",
            'fleet_service_up{service="planning",address="b"}': "1x120",
        },
    ),
    "ServiceDegraded": case(
        {
            'fleet_service_up{service="planning",address="a"}': "0x120",
            'fleet_service_up{service="planning",address="b"}': "1x120",
        },
        {
            'fleet_service_up{service="planning",address="a"}': "1x120",
            'fleet_service_up{service="planning",address="b"}': "1x120",
        },
        already_down={'fleet_service_up{service="planning",address="a"}': "0x120"},
    ),
}
