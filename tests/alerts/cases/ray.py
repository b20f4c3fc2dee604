"""RayJobs, RayClusters, RayServices and RayCronJobs."""

from __future__ import annotations

from tests.alerts.case import Case, case, unread

_JOB = 'namespace="n",rayjob="j"'
_CLUSTER = 'namespace="n",raycluster="c"'
_SERVICE = 'namespace="n",rayservice="s"'
_CRON_JOB = 'namespace="n",raycronjob="c"'

CASES = {
    "RayJobsUnreadable": unread("rayjob", because="workloads"),
    "RayJobFailed": Case(
        {
            "ended": {
                f'ray_job_deployment_status{{{_JOB},state="Failed"}}': "1x120",
                f"ray_job_end_timestamp_seconds{{{_JOB}}}": "6301x120",
                f"ray_job_created_timestamp_seconds{{{_JOB}}}": "0x120",
            },
            "never begun": {
                f'ray_job_deployment_status{{{_JOB},state="ValidationFailed"}}': "1x120",
                f"ray_job_created_timestamp_seconds{{{_JOB}}}": "6301x120",
            },
        },
        {
            "quarter of an hour ago": {
                f'ray_job_deployment_status{{{_JOB},state="Failed"}}': "1x120",
                f"ray_job_end_timestamp_seconds{{{_JOB}}}": "6300x120",
            },
            "tried again": {
                f'ray_job_status{{{_JOB},state="FAILED"}}': "1x120",
                f'ray_job_deployment_status{{{_JOB},state="Retrying"}}': "1x120",
                f"ray_job_end_timestamp_seconds{{{_JOB}}}": "7000x120",
            },
            "long ago, and another fleet's of that name just now": {
                f'ray_job_deployment_status{{{_JOB},cluster="a",state="Failed"}}': "1x120",
                f'ray_job_end_timestamp_seconds{{{_JOB},cluster="a"}}': "60x120",
                f'ray_job_end_timestamp_seconds{{{_JOB},cluster="b"}}': "7000x120",
            },
            "succeeded": {
                f'ray_job_deployment_status{{{_JOB},state="Failed"}}': "0x120",
                f'ray_job_deployment_status{{{_JOB},state="Complete"}}': "1x120",
                f"ray_job_end_timestamp_seconds{{{_JOB}}}": "7000x120",
            },
        },
    ),
    "RayJobRetrying": case(
        {
            f"ray_job_failed_attempts{{{_JOB}}}": "1x120",
            f'ray_job_deployment_status{{{_JOB},state="Running"}}': "1x120",
        },
        {
            f"ray_job_failed_attempts{{{_JOB}}}": "0x120",
            f'ray_job_deployment_status{{{_JOB},state="Running"}}': "1x120",
        },
        running_in_another_fleet={
            f'ray_job_failed_attempts{{{_JOB},cluster="a"}}': "1x120",
            f'ray_job_deployment_status{{{_JOB},cluster="b",state="Running"}}': "1x120",
        },
        over={f"ray_job_failed_attempts{{{_JOB}}}": "1x120", f'ray_job_deployment_status{{{_JOB},state="Failed"}}': "1x120"},
    ),
    "RayJobPending": case(
        {
            f'ray_job_deployment_status{{{_JOB},state="Initializing"}}': "1x120",
            f"ray_job_created_timestamp_seconds{{{_JOB}}}": "5999x120",
        },
        {
            f'ray_job_deployment_status{{{_JOB},state="Initializing"}}': "1x120",
            f"ray_job_created_timestamp_seconds{{{_JOB}}}": "6000x120",
        },
        old_in_another_fleet={
            f'ray_job_deployment_status{{{_JOB},cluster="a",state="Initializing"}}': "1x120",
            f'ray_job_created_timestamp_seconds{{{_JOB},cluster="a"}}': "7000x120",
            f'ray_job_created_timestamp_seconds{{{_JOB},cluster="b"}}': "0x120",
        },
        suspended={
            f'ray_job_deployment_status{{{_JOB},state="Suspended"}}': "1x120",
            f"ray_job_created_timestamp_seconds{{{_JOB}}}": "0x120",
        },
    ),
    "RayClusterWorkersBelowDesired": case(
        {f"ray_cluster_workers_ready{{{_CLUSTER}}}": "1x120", f"ray_cluster_workers_desired{{{_CLUSTER}}}": "2x120"},
        {f"ray_cluster_workers_ready{{{_CLUSTER}}}": "2x120", f"ray_cluster_workers_desired{{{_CLUSTER}}}": "2x120"},
        suspended={
            f"ray_cluster_workers_ready{{{_CLUSTER}}}": "0x120",
            f"ray_cluster_workers_desired{{{_CLUSTER}}}": "2x120",
            f'ray_cluster_state{{{_CLUSTER},state="suspended"}}': "1x120",
        },
        just_grown={
            f"ray_cluster_workers_ready{{{_CLUSTER}}}": "2x120",
            f"ray_cluster_workers_desired{{{_CLUSTER}}}": "2x117 4x3",
        },
    ),
    "RayClusterFailed": case(
        {f'ray_cluster_state{{{_CLUSTER},state="failed"}}': "1x120"},
        {f'ray_cluster_state{{{_CLUSTER},state="failed"}}': "0x120"},
    ),
    "RayServiceUnhealthy": case(
        {f'ray_service_applications{{{_SERVICE},status="UNHEALTHY"}}': "1x120"},
        {f'ray_service_applications{{{_SERVICE},status="UNHEALTHY"}}': "0x120"},
        deploying={
            f'ray_service_applications{{{_SERVICE},status="DEPLOYING"}}': "1x120",
            f'ray_service_applications{{{_SERVICE},status="UNHEALTHY"}}': "0x120",
        },
        unhealthy_for_a_moment={f'ray_service_applications{{{_SERVICE},status="UNHEALTHY"}}': "0x117 1x3"},
    ),
    "RayCronJobInvalid": case(
        {f"ray_cron_job_validation_failed{{{_CRON_JOB}}}": "1x120"},
        {f"ray_cron_job_validation_failed{{{_CRON_JOB}}}": "0x120"},
    ),
}
