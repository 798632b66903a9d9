from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from naiad.v1 import content_pb2 as _content_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExclusionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXCLUSION_REASON_UNSPECIFIED: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_POLICY: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_NOT_ALLOWED: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_DATA_ZONE: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_CONTEXT_WINDOW: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_CAPABILITY: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_DISABLED: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_NO_PRICE: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_UNAVAILABLE: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_BUDGET: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_KEY: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_NEWCOMER_CAP: _ClassVar[ExclusionReason]
    EXCLUSION_REASON_NO_ENDPOINT: _ClassVar[ExclusionReason]

class AttemptErrorKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_ERROR_KIND_UNSPECIFIED: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_TIMEOUT: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_CONNECTION: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_RATE_LIMITED: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_OVERLOADED: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_SERVER: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_INVALID_REQUEST: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_CONTEXT_OVERFLOW: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_AUTHENTICATION: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_MODEL_NOT_FOUND: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_TRUNCATED: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_MALFORMED_ANSWER: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_CANCELLED: _ClassVar[AttemptErrorKind]
    ATTEMPT_ERROR_KIND_OTHER: _ClassVar[AttemptErrorKind]

class NoticeCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTICE_CODE_UNSPECIFIED: _ClassVar[NoticeCode]
    NOTICE_CODE_PARAMETER_DROPPED: _ClassVar[NoticeCode]
    NOTICE_CODE_REPLAYED_ANSWER: _ClassVar[NoticeCode]
    NOTICE_CODE_TASK_CLASS_CREATED: _ClassVar[NoticeCode]
    NOTICE_CODE_TASK_CLASS_INFERRED: _ClassVar[NoticeCode]
    NOTICE_CODE_FALLBACK: _ClassVar[NoticeCode]
    NOTICE_CODE_MODEL_RETIRING: _ClassVar[NoticeCode]
    NOTICE_CODE_USAGE_ESTIMATED: _ClassVar[NoticeCode]
    NOTICE_CODE_STICKY_SESSION: _ClassVar[NoticeCode]
    NOTICE_CODE_DATA_CLASS_NOT_ENFORCED: _ClassVar[NoticeCode]
    NOTICE_CODE_BUDGET_BELOW_CHEAPEST: _ClassVar[NoticeCode]
    NOTICE_CODE_NEWCOMERS_CAPPED: _ClassVar[NoticeCode]
    NOTICE_CODE_ALLOWANCE_SPENT: _ClassVar[NoticeCode]
    NOTICE_CODE_DATA_CLASS_RAISED: _ClassVar[NoticeCode]
    NOTICE_CODE_CACHED_ANSWER: _ClassVar[NoticeCode]
    NOTICE_CODE_SESSION_MOVED: _ClassVar[NoticeCode]
    NOTICE_CODE_DRY_RUN: _ClassVar[NoticeCode]
    NOTICE_CODE_REFUSED: _ClassVar[NoticeCode]
    NOTICE_CODE_USAGE_NOT_CREDIBLE: _ClassVar[NoticeCode]
    NOTICE_CODE_BILL_NOT_CREDIBLE: _ClassVar[NoticeCode]
    NOTICE_CODE_FINISH_REASON_UNKNOWN: _ClassVar[NoticeCode]
    NOTICE_CODE_CONTENT_NOT_SHOWN: _ClassVar[NoticeCode]
    NOTICE_CODE_NO_VERDICT: _ClassVar[NoticeCode]
    NOTICE_CODE_NO_AGREEMENT: _ClassVar[NoticeCode]
    NOTICE_CODE_NO_ANSWER_PASSED: _ClassVar[NoticeCode]
EXCLUSION_REASON_UNSPECIFIED: ExclusionReason
EXCLUSION_REASON_POLICY: ExclusionReason
EXCLUSION_REASON_NOT_ALLOWED: ExclusionReason
EXCLUSION_REASON_DATA_ZONE: ExclusionReason
EXCLUSION_REASON_CONTEXT_WINDOW: ExclusionReason
EXCLUSION_REASON_CAPABILITY: ExclusionReason
EXCLUSION_REASON_DISABLED: ExclusionReason
EXCLUSION_REASON_NO_PRICE: ExclusionReason
EXCLUSION_REASON_UNAVAILABLE: ExclusionReason
EXCLUSION_REASON_BUDGET: ExclusionReason
EXCLUSION_REASON_KEY: ExclusionReason
EXCLUSION_REASON_NEWCOMER_CAP: ExclusionReason
EXCLUSION_REASON_NO_ENDPOINT: ExclusionReason
ATTEMPT_ERROR_KIND_UNSPECIFIED: AttemptErrorKind
ATTEMPT_ERROR_KIND_TIMEOUT: AttemptErrorKind
ATTEMPT_ERROR_KIND_CONNECTION: AttemptErrorKind
ATTEMPT_ERROR_KIND_RATE_LIMITED: AttemptErrorKind
ATTEMPT_ERROR_KIND_OVERLOADED: AttemptErrorKind
ATTEMPT_ERROR_KIND_SERVER: AttemptErrorKind
ATTEMPT_ERROR_KIND_INVALID_REQUEST: AttemptErrorKind
ATTEMPT_ERROR_KIND_CONTEXT_OVERFLOW: AttemptErrorKind
ATTEMPT_ERROR_KIND_AUTHENTICATION: AttemptErrorKind
ATTEMPT_ERROR_KIND_MODEL_NOT_FOUND: AttemptErrorKind
ATTEMPT_ERROR_KIND_TRUNCATED: AttemptErrorKind
ATTEMPT_ERROR_KIND_MALFORMED_ANSWER: AttemptErrorKind
ATTEMPT_ERROR_KIND_CANCELLED: AttemptErrorKind
ATTEMPT_ERROR_KIND_OTHER: AttemptErrorKind
NOTICE_CODE_UNSPECIFIED: NoticeCode
NOTICE_CODE_PARAMETER_DROPPED: NoticeCode
NOTICE_CODE_REPLAYED_ANSWER: NoticeCode
NOTICE_CODE_TASK_CLASS_CREATED: NoticeCode
NOTICE_CODE_TASK_CLASS_INFERRED: NoticeCode
NOTICE_CODE_FALLBACK: NoticeCode
NOTICE_CODE_MODEL_RETIRING: NoticeCode
NOTICE_CODE_USAGE_ESTIMATED: NoticeCode
NOTICE_CODE_STICKY_SESSION: NoticeCode
NOTICE_CODE_DATA_CLASS_NOT_ENFORCED: NoticeCode
NOTICE_CODE_BUDGET_BELOW_CHEAPEST: NoticeCode
NOTICE_CODE_NEWCOMERS_CAPPED: NoticeCode
NOTICE_CODE_ALLOWANCE_SPENT: NoticeCode
NOTICE_CODE_DATA_CLASS_RAISED: NoticeCode
NOTICE_CODE_CACHED_ANSWER: NoticeCode
NOTICE_CODE_SESSION_MOVED: NoticeCode
NOTICE_CODE_DRY_RUN: NoticeCode
NOTICE_CODE_REFUSED: NoticeCode
NOTICE_CODE_USAGE_NOT_CREDIBLE: NoticeCode
NOTICE_CODE_BILL_NOT_CREDIBLE: NoticeCode
NOTICE_CODE_FINISH_REASON_UNKNOWN: NoticeCode
NOTICE_CODE_CONTENT_NOT_SHOWN: NoticeCode
NOTICE_CODE_NO_VERDICT: NoticeCode
NOTICE_CODE_NO_AGREEMENT: NoticeCode
NOTICE_CODE_NO_ANSWER_PASSED: NoticeCode

class Candidate(_message.Message):
    __slots__ = ("model", "propensity", "quality", "quality_sd", "cost_nano_usd", "cost_sd_nano_usd", "latency_s", "latency_sd_s")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_SD_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    COST_SD_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SD_S_FIELD_NUMBER: _ClassVar[int]
    model: str
    propensity: float
    quality: float
    quality_sd: float
    cost_nano_usd: int
    cost_sd_nano_usd: int
    latency_s: float
    latency_sd_s: float
    def __init__(self, model: _Optional[str] = ..., propensity: _Optional[float] = ..., quality: _Optional[float] = ..., quality_sd: _Optional[float] = ..., cost_nano_usd: _Optional[int] = ..., cost_sd_nano_usd: _Optional[int] = ..., latency_s: _Optional[float] = ..., latency_sd_s: _Optional[float] = ...) -> None: ...

class Exclusion(_message.Message):
    __slots__ = ("model", "reason", "detail")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    model: str
    reason: ExclusionReason
    detail: str
    def __init__(self, model: _Optional[str] = ..., reason: _Optional[_Union[ExclusionReason, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("code", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    code: NoticeCode
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[_Union[NoticeCode, str]] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CostBreakdown(_message.Message):
    __slots__ = ("total_nano_usd", "input_nano_usd", "cached_input_nano_usd", "cache_write_nano_usd", "output_nano_usd", "request_nano_usd", "billed_nano_usd", "price_version", "reasoning_nano_usd", "adjustment_nano_usd", "judge_nano_usd", "other_members_nano_usd", "doubted_bill")
    TOTAL_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    INPUT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    BILLED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASONING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ADJUSTMENT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    JUDGE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    OTHER_MEMBERS_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    DOUBTED_BILL_FIELD_NUMBER: _ClassVar[int]
    total_nano_usd: int
    input_nano_usd: int
    cached_input_nano_usd: int
    cache_write_nano_usd: int
    output_nano_usd: int
    request_nano_usd: int
    billed_nano_usd: int
    price_version: str
    reasoning_nano_usd: int
    adjustment_nano_usd: int
    judge_nano_usd: int
    other_members_nano_usd: int
    doubted_bill: str
    def __init__(self, total_nano_usd: _Optional[int] = ..., input_nano_usd: _Optional[int] = ..., cached_input_nano_usd: _Optional[int] = ..., cache_write_nano_usd: _Optional[int] = ..., output_nano_usd: _Optional[int] = ..., request_nano_usd: _Optional[int] = ..., billed_nano_usd: _Optional[int] = ..., price_version: _Optional[str] = ..., reasoning_nano_usd: _Optional[int] = ..., adjustment_nano_usd: _Optional[int] = ..., judge_nano_usd: _Optional[int] = ..., other_members_nano_usd: _Optional[int] = ..., doubted_bill: _Optional[str] = ...) -> None: ...

class AttemptError(_message.Message):
    __slots__ = ("kind", "detail", "http_status", "retry_after")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    kind: AttemptErrorKind
    detail: str
    http_status: int
    retry_after: _duration_pb2.Duration
    def __init__(self, kind: _Optional[_Union[AttemptErrorKind, str]] = ..., detail: _Optional[str] = ..., http_status: _Optional[int] = ..., retry_after: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("attempt_id", "model", "error", "usage", "cost", "latency", "time_to_first_token", "start_time", "finish_reason", "part_of", "judge", "returned_attempt_id", "checks", "uncertain_nano_usd")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    PART_OF_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    RETURNED_ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    UNCERTAIN_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    model: str
    error: AttemptError
    usage: _content_pb2.Usage
    cost: CostBreakdown
    latency: _duration_pb2.Duration
    time_to_first_token: _duration_pb2.Duration
    start_time: _timestamp_pb2.Timestamp
    finish_reason: _content_pb2.FinishReason
    part_of: str
    judge: bool
    returned_attempt_id: str
    checks: _containers.RepeatedCompositeFieldContainer[AnswerCheck]
    uncertain_nano_usd: int
    def __init__(self, attempt_id: _Optional[str] = ..., model: _Optional[str] = ..., error: _Optional[_Union[AttemptError, _Mapping[str, object]]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping[str, object]]] = ..., cost: _Optional[_Union[CostBreakdown, _Mapping[str, object]]] = ..., latency: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ..., time_to_first_token: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., finish_reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ..., part_of: _Optional[str] = ..., judge: bool = ..., returned_attempt_id: _Optional[str] = ..., checks: _Optional[_Iterable[_Union[AnswerCheck, _Mapping[str, object]]]] = ..., uncertain_nano_usd: _Optional[int] = ...) -> None: ...

class AnswerCheck(_message.Message):
    __slots__ = ("attempt_id", "checked_by", "passed", "score", "failure")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKED_BY_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    checked_by: str
    passed: bool
    score: float
    failure: str
    def __init__(self, attempt_id: _Optional[str] = ..., checked_by: _Optional[str] = ..., passed: bool = ..., score: _Optional[float] = ..., failure: _Optional[str] = ...) -> None: ...
