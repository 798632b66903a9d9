from naiad.v1 import decision_pb2 as _decision_pb2
from naiad.v1 import error_reason_pb2 as _error_reason_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ItemError(_message.Message):
    __slots__ = ("code", "reason", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: _error_reason_pb2.ErrorReason
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[_Union[_error_reason_pb2.ErrorReason, str]] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class NoEligibleModelDetail(_message.Message):
    __slots__ = ("excluded",)
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    excluded: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Exclusion]
    def __init__(self, excluded: _Optional[_Iterable[_Union[_decision_pb2.Exclusion, _Mapping[str, object]]]] = ...) -> None: ...

class AttemptsFailedDetail(_message.Message):
    __slots__ = ("decision_id", "attempts")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    attempts: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Attempt]
    def __init__(self, decision_id: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[_decision_pb2.Attempt, _Mapping[str, object]]]] = ...) -> None: ...
