"""Workloads and services."""

from __future__ import annotations

from tests.alerts.case import case, unread

_POD = 'namespace="n",kind="Deployment",workload="w"'

CASES = {
    "WorkloadsUnreadable": unread("workloads"),
    "WorkloadDown": case(
        {'fleet_expected_workload_status{namespace="n",workload="w",state="absent"}': "1x120"},
        {
            'fleet_expected_workload_status{namespace="n",workload="w",state="absent"}': "0x120",
            'fleet_expected_workload_status{namespace="n",workload="w",state="up"}': "1x120",
        },
    ),
    "WorkloadNotReady": case(
        {f'fleet_workload_status{{{_POD},state="degraded"}}': "1x120"},
        {
            f'fleet_workload_status{{{_POD},state="degraded"}}': "0x120",
            f'fleet_workload_status{{{_POD},state="up"}}': "1x120",
        },
        told_as_expected={
            f'fleet_workload_status{{{_POD},state="down"}}': "1x120",
            'fleet_expected_workload_status{namespace="n",workload="w",state="down"}': "1x120",
        },
    ),
    "PodCrashLooping": case(
        {f'fleet_workload_waiting_containers{{{_POD},reason="CrashLoopBackOff"}}': "1x120"},
        {f'fleet_workload_waiting_containers{{{_POD},reason="ContainerCreating"}}': "1x120"},
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
        told_as_down={'fleet_service_up{service="planning",address="a"}': "0x120"},
    ),
}
