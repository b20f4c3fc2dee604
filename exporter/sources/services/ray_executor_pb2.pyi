import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ("include_stats",)
    INCLUDE_STATS_FIELD_NUMBER: _ClassVar[int]
    include_stats: bool
    def __init__(self, include_stats: _Optional[bool] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("status", "uptime_seconds", "stats")
    class Stats(_message.Message):
        __slots__ = ("total_deliberations", "active_deliberations", "completed_deliberations", "failed_deliberations", "average_execution_time_ms")
        TOTAL_DELIBERATIONS_FIELD_NUMBER: _ClassVar[int]
        ACTIVE_DELIBERATIONS_FIELD_NUMBER: _ClassVar[int]
        COMPLETED_DELIBERATIONS_FIELD_NUMBER: _ClassVar[int]
        FAILED_DELIBERATIONS_FIELD_NUMBER: _ClassVar[int]
        AVERAGE_EXECUTION_TIME_MS_FIELD_NUMBER: _ClassVar[int]
        total_deliberations: int
        active_deliberations: int
        completed_deliberations: int
        failed_deliberations: int
        average_execution_time_ms: float
        def __init__(self, total_deliberations: _Optional[int] = ..., active_deliberations: _Optional[int] = ..., completed_deliberations: _Optional[int] = ..., failed_deliberations: _Optional[int] = ..., average_execution_time_ms: _Optional[float] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    status: str
    uptime_seconds: int
    stats: GetStatusResponse.Stats
    def __init__(self, status: _Optional[str] = ..., uptime_seconds: _Optional[int] = ..., stats: _Optional[_Union[GetStatusResponse.Stats, _Mapping]] = ...) -> None: ...

class GetActiveJobsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetActiveJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    class Job(_message.Message):
        __slots__ = ("job_id", "name", "status", "submission_id", "role", "task_id", "start_time", "end_time", "runtime")
        JOB_ID_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        STATUS_FIELD_NUMBER: _ClassVar[int]
        SUBMISSION_ID_FIELD_NUMBER: _ClassVar[int]
        ROLE_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        START_TIME_FIELD_NUMBER: _ClassVar[int]
        END_TIME_FIELD_NUMBER: _ClassVar[int]
        RUNTIME_FIELD_NUMBER: _ClassVar[int]
        job_id: str
        name: str
        status: str
        submission_id: str
        role: str
        task_id: str
        start_time: _timestamp_pb2.Timestamp
        end_time: _timestamp_pb2.Timestamp
        runtime: str
        def __init__(self, job_id: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[str] = ..., submission_id: _Optional[str] = ..., role: _Optional[str] = ..., task_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., runtime: _Optional[str] = ...) -> None: ...
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[GetActiveJobsResponse.Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[GetActiveJobsResponse.Job, _Mapping]]] = ...) -> None: ...
