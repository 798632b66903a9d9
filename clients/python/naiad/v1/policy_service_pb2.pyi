from google.protobuf import timestamp_pb2 as _timestamp_pb2
from naiad.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreatePolicyRequest(_message.Message):
    __slots__ = ("spec", "base_version", "reason", "request_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec: _policy_pb2.PolicySpec
    base_version: int
    reason: str
    request_id: str
    def __init__(self, spec: _Optional[_Union[_policy_pb2.PolicySpec, _Mapping[str, object]]] = ..., base_version: _Optional[int] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreatePolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: _policy_pb2.Policy
    def __init__(self, policy: _Optional[_Union[_policy_pb2.Policy, _Mapping[str, object]]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: _policy_pb2.Policy
    def __init__(self, policy: _Optional[_Union[_policy_pb2.Policy, _Mapping[str, object]]] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "stage")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    stage: _policy_pb2.PolicyStage
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., stage: _Optional[_Union[_policy_pb2.PolicyStage, str]] = ...) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies", "next_page_token")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[_policy_pb2.Policy]
    next_page_token: str
    def __init__(self, policies: _Optional[_Iterable[_Union[_policy_pb2.Policy, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PromotePolicyRequest(_message.Message):
    __slots__ = ("version", "stage", "canary_share", "override_evidence", "reason", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CANARY_SHARE_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    stage: _policy_pb2.PolicyStage
    canary_share: float
    override_evidence: bool
    reason: str
    request_id: str
    def __init__(self, version: _Optional[int] = ..., stage: _Optional[_Union[_policy_pb2.PolicyStage, str]] = ..., canary_share: _Optional[float] = ..., override_evidence: bool = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class PromotePolicyResponse(_message.Message):
    __slots__ = ("policy", "evidence")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    policy: _policy_pb2.Policy
    evidence: _containers.RepeatedCompositeFieldContainer[_policy_pb2.Estimate]
    def __init__(self, policy: _Optional[_Union[_policy_pb2.Policy, _Mapping[str, object]]] = ..., evidence: _Optional[_Iterable[_Union[_policy_pb2.Estimate, _Mapping[str, object]]]] = ...) -> None: ...

class RollbackPolicyRequest(_message.Message):
    __slots__ = ("version", "to_version", "cause", "reason", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    to_version: int
    cause: _policy_pb2.RollbackCause
    reason: str
    request_id: str
    def __init__(self, version: _Optional[int] = ..., to_version: _Optional[int] = ..., cause: _Optional[_Union[_policy_pb2.RollbackCause, str]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RollbackPolicyResponse(_message.Message):
    __slots__ = ("active", "rolled_back", "observations_subtracted", "sequence")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_SUBTRACTED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    active: _policy_pb2.Policy
    rolled_back: _policy_pb2.Policy
    observations_subtracted: int
    sequence: int
    def __init__(self, active: _Optional[_Union[_policy_pb2.Policy, _Mapping[str, object]]] = ..., rolled_back: _Optional[_Union[_policy_pb2.Policy, _Mapping[str, object]]] = ..., observations_subtracted: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class EvaluatePolicyRequest(_message.Message):
    __slots__ = ("version", "spec", "start_time", "end_time", "task_class", "estimator", "confidence")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    version: int
    spec: _policy_pb2.PolicySpec
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    task_class: str
    estimator: _policy_pb2.Estimator
    confidence: float
    def __init__(self, version: _Optional[int] = ..., spec: _Optional[_Union[_policy_pb2.PolicySpec, _Mapping[str, object]]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., task_class: _Optional[str] = ..., estimator: _Optional[_Union[_policy_pb2.Estimator, str]] = ..., confidence: _Optional[float] = ...) -> None: ...

class EvaluatePolicyResponse(_message.Message):
    __slots__ = ("estimates", "decisions", "decisions_left_out", "estimator")
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    estimates: _containers.RepeatedCompositeFieldContainer[_policy_pb2.Estimate]
    decisions: int
    decisions_left_out: int
    estimator: _policy_pb2.Estimator
    def __init__(self, estimates: _Optional[_Iterable[_Union[_policy_pb2.Estimate, _Mapping[str, object]]]] = ..., decisions: _Optional[int] = ..., decisions_left_out: _Optional[int] = ..., estimator: _Optional[_Union[_policy_pb2.Estimator, str]] = ...) -> None: ...

class DiffPoliciesRequest(_message.Message):
    __slots__ = ("base_version", "version")
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    base_version: int
    version: int
    def __init__(self, base_version: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class DiffPoliciesResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[_policy_pb2.PolicyChange]
    def __init__(self, changes: _Optional[_Iterable[_Union[_policy_pb2.PolicyChange, _Mapping[str, object]]]] = ...) -> None: ...
