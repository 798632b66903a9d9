from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from naiad.v1 import insight_pb2 as _insight_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListArmsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "task_class", "model")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    task_class: str
    model: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., task_class: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class ListArmsResponse(_message.Message):
    __slots__ = ("arms", "next_page_token", "sequence")
    ARMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    arms: _containers.RepeatedCompositeFieldContainer[_insight_pb2.Arm]
    next_page_token: str
    sequence: int
    def __init__(self, arms: _Optional[_Iterable[_Union[_insight_pb2.Arm, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class WatchArmsRequest(_message.Message):
    __slots__ = ("task_class", "model", "cursor", "interval")
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    task_class: str
    model: str
    cursor: str
    interval: _duration_pb2.Duration
    def __init__(self, task_class: _Optional[str] = ..., model: _Optional[str] = ..., cursor: _Optional[str] = ..., interval: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ...) -> None: ...

class WatchArmsResponse(_message.Message):
    __slots__ = ("arms", "cursor", "sequence", "removed", "restart", "checkpoint")
    ARMS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    arms: _containers.RepeatedCompositeFieldContainer[_insight_pb2.Arm]
    cursor: str
    sequence: int
    removed: _containers.RepeatedCompositeFieldContainer[_insight_pb2.RemovedArm]
    restart: _insight_pb2.WatchRestart
    checkpoint: bool
    def __init__(self, arms: _Optional[_Iterable[_Union[_insight_pb2.Arm, _Mapping[str, object]]]] = ..., cursor: _Optional[str] = ..., sequence: _Optional[int] = ..., removed: _Optional[_Iterable[_Union[_insight_pb2.RemovedArm, _Mapping[str, object]]]] = ..., restart: _Optional[_Union[_insight_pb2.WatchRestart, str]] = ..., checkpoint: bool = ...) -> None: ...

class GetDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class GetDecisionResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _insight_pb2.DecisionRecord
    def __init__(self, decision: _Optional[_Union[_insight_pb2.DecisionRecord, _Mapping[str, object]]] = ...) -> None: ...

class ListDecisionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "task_class", "model", "workflow", "start_time", "end_time", "session_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    task_class: str
    model: str
    workflow: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    session_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., task_class: _Optional[str] = ..., model: _Optional[str] = ..., workflow: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., session_id: _Optional[str] = ...) -> None: ...

class ListDecisionsResponse(_message.Message):
    __slots__ = ("decisions", "next_page_token")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[_insight_pb2.DecisionSummary]
    next_page_token: str
    def __init__(self, decisions: _Optional[_Iterable[_Union[_insight_pb2.DecisionSummary, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchDecisionsRequest(_message.Message):
    __slots__ = ("task_class", "model", "workflow", "cursor")
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    task_class: str
    model: str
    workflow: str
    cursor: str
    def __init__(self, task_class: _Optional[str] = ..., model: _Optional[str] = ..., workflow: _Optional[str] = ..., cursor: _Optional[str] = ...) -> None: ...

class WatchDecisionsResponse(_message.Message):
    __slots__ = ("decisions", "cursor", "skipped")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[_insight_pb2.DecisionSummary]
    cursor: str
    skipped: int
    def __init__(self, decisions: _Optional[_Iterable[_Union[_insight_pb2.DecisionSummary, _Mapping[str, object]]]] = ..., cursor: _Optional[str] = ..., skipped: _Optional[int] = ...) -> None: ...

class GetCostReportRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "start_time", "end_time", "group_by", "workflow", "task_class", "baseline_model", "model")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    group_by: _containers.RepeatedScalarFieldContainer[_insight_pb2.CostDimension]
    workflow: str
    task_class: str
    baseline_model: str
    model: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., group_by: _Optional[_Iterable[_Union[_insight_pb2.CostDimension, str]]] = ..., workflow: _Optional[str] = ..., task_class: _Optional[str] = ..., baseline_model: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class GetCostReportResponse(_message.Message):
    __slots__ = ("rows", "next_page_token", "total", "saving", "start_time", "end_time")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SAVING_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[_insight_pb2.CostRow]
    next_page_token: str
    total: _insight_pb2.CostRow
    saving: _insight_pb2.Saving
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, rows: _Optional[_Iterable[_Union[_insight_pb2.CostRow, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[_Union[_insight_pb2.CostRow, _Mapping[str, object]]] = ..., saving: _Optional[_Union[_insight_pb2.Saving, _Mapping[str, object]]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ...) -> None: ...

class ListAlertsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "open_only", "task_class", "minimum_severity")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_SEVERITY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    open_only: bool
    task_class: str
    minimum_severity: _insight_pb2.AlertSeverity
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., open_only: bool = ..., task_class: _Optional[str] = ..., minimum_severity: _Optional[_Union[_insight_pb2.AlertSeverity, str]] = ...) -> None: ...

class ListAlertsResponse(_message.Message):
    __slots__ = ("alerts", "next_page_token")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[_insight_pb2.Alert]
    next_page_token: str
    def __init__(self, alerts: _Optional[_Iterable[_Union[_insight_pb2.Alert, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchAlertsRequest(_message.Message):
    __slots__ = ("cursor", "minimum_severity")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_SEVERITY_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    minimum_severity: _insight_pb2.AlertSeverity
    def __init__(self, cursor: _Optional[str] = ..., minimum_severity: _Optional[_Union[_insight_pb2.AlertSeverity, str]] = ...) -> None: ...

class WatchAlertsResponse(_message.Message):
    __slots__ = ("alerts", "cursor")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[_insight_pb2.Alert]
    cursor: str
    def __init__(self, alerts: _Optional[_Iterable[_Union[_insight_pb2.Alert, _Mapping[str, object]]]] = ..., cursor: _Optional[str] = ...) -> None: ...
