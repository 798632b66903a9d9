from naiad.v1 import content_pb2 as _content_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CheckAnswerRequest(_message.Message):
    __slots__ = ("decision_id", "attempt_id", "task_class", "workflow", "model", "cascade", "request_id", "data_class", "answer", "finish_reason", "messages")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CASCADE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    attempt_id: str
    task_class: str
    workflow: str
    model: str
    cascade: str
    request_id: str
    data_class: str
    answer: str
    finish_reason: _content_pb2.FinishReason
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    def __init__(self, decision_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., task_class: _Optional[str] = ..., workflow: _Optional[str] = ..., model: _Optional[str] = ..., cascade: _Optional[str] = ..., request_id: _Optional[str] = ..., data_class: _Optional[str] = ..., answer: _Optional[str] = ..., finish_reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping[str, object]]]] = ...) -> None: ...

class CheckAnswerResponse(_message.Message):
    __slots__ = ("accepted", "score", "reason")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    score: float
    reason: str
    def __init__(self, accepted: bool = ..., score: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...
