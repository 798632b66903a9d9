from google.protobuf import field_mask_pb2 as _field_mask_pb2
from naiad.v1 import catalog_pb2 as _catalog_pb2
from naiad.v1 import content_pb2 as _content_pb2
from naiad.v1 import decision_pb2 as _decision_pb2
from naiad.v1 import error_pb2 as _error_pb2
from naiad.v1 import objective_pb2 as _objective_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamFailureMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_FAILURE_MODE_UNSPECIFIED: _ClassVar[StreamFailureMode]
    STREAM_FAILURE_MODE_RESTART: _ClassVar[StreamFailureMode]
    STREAM_FAILURE_MODE_FAIL_FAST: _ClassVar[StreamFailureMode]
STREAM_FAILURE_MODE_UNSPECIFIED: StreamFailureMode
STREAM_FAILURE_MODE_RESTART: StreamFailureMode
STREAM_FAILURE_MODE_FAIL_FAST: StreamFailureMode

class DecideRequest(_message.Message):
    __slots__ = ("task_class", "workflow", "messages", "features", "allowed_models", "data_class", "objective", "input_tokens", "max_output_tokens", "session_id", "request_id", "required_capabilities")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_MODELS_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    task_class: str
    workflow: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    features: _containers.ScalarMap[str, float]
    allowed_models: _containers.RepeatedScalarFieldContainer[str]
    data_class: str
    objective: _objective_pb2.Objective
    input_tokens: int
    max_output_tokens: int
    session_id: str
    request_id: str
    required_capabilities: _containers.RepeatedScalarFieldContainer[_catalog_pb2.Capability]
    def __init__(self, task_class: _Optional[str] = ..., workflow: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping[str, object]]]] = ..., features: _Optional[_Mapping[str, float]] = ..., allowed_models: _Optional[_Iterable[str]] = ..., data_class: _Optional[str] = ..., objective: _Optional[_Union[_objective_pb2.Objective, _Mapping[str, object]]] = ..., input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., session_id: _Optional[str] = ..., request_id: _Optional[str] = ..., required_capabilities: _Optional[_Iterable[_Union[_catalog_pb2.Capability, str]]] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("decision_id", "model", "propensity", "ranking", "excluded", "policy_version", "task_class", "notices")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    RANKING_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    model: str
    propensity: float
    ranking: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Candidate]
    excluded: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Exclusion]
    policy_version: int
    task_class: str
    notices: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Notice]
    def __init__(self, decision_id: _Optional[str] = ..., model: _Optional[str] = ..., propensity: _Optional[float] = ..., ranking: _Optional[_Iterable[_Union[_decision_pb2.Candidate, _Mapping[str, object]]]] = ..., excluded: _Optional[_Iterable[_Union[_decision_pb2.Exclusion, _Mapping[str, object]]]] = ..., policy_version: _Optional[int] = ..., task_class: _Optional[str] = ..., notices: _Optional[_Iterable[_Union[_decision_pb2.Notice, _Mapping[str, object]]]] = ...) -> None: ...

class BatchDecideRequest(_message.Message):
    __slots__ = ("requests", "read_mask")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[DecideRequest]
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, requests: _Optional[_Iterable[_Union[DecideRequest, _Mapping[str, object]]]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, object]]] = ...) -> None: ...

class BatchDecideResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchDecideResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchDecideResult, _Mapping[str, object]]]] = ...) -> None: ...

class BatchDecideResult(_message.Message):
    __slots__ = ("decision", "error")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    decision: DecideResponse
    error: _error_pb2.ItemError
    def __init__(self, decision: _Optional[_Union[DecideResponse, _Mapping[str, object]]] = ..., error: _Optional[_Union[_error_pb2.ItemError, _Mapping[str, object]]] = ...) -> None: ...

class DecideStreamRequest(_message.Message):
    __slots__ = ("request", "correlation_id")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    request: DecideRequest
    correlation_id: int
    def __init__(self, request: _Optional[_Union[DecideRequest, _Mapping[str, object]]] = ..., correlation_id: _Optional[int] = ...) -> None: ...

class DecideStreamResponse(_message.Message):
    __slots__ = ("correlation_id", "decision", "error")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    decision: DecideResponse
    error: _error_pb2.ItemError
    def __init__(self, correlation_id: _Optional[int] = ..., decision: _Optional[_Union[DecideResponse, _Mapping[str, object]]] = ..., error: _Optional[_Union[_error_pb2.ItemError, _Mapping[str, object]]] = ...) -> None: ...

class CompleteRequest(_message.Message):
    __slots__ = ("task_class", "workflow", "messages", "features", "allowed_models", "data_class", "objective", "input_tokens", "max_output_tokens", "session_id", "request_id", "required_capabilities", "generation", "max_attempts", "max_cost_nano_usd", "dry_run")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_MODELS_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    task_class: str
    workflow: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    features: _containers.ScalarMap[str, float]
    allowed_models: _containers.RepeatedScalarFieldContainer[str]
    data_class: str
    objective: _objective_pb2.Objective
    input_tokens: int
    max_output_tokens: int
    session_id: str
    request_id: str
    required_capabilities: _containers.RepeatedScalarFieldContainer[_catalog_pb2.Capability]
    generation: _content_pb2.GenerationOptions
    max_attempts: int
    max_cost_nano_usd: int
    dry_run: bool
    def __init__(self, task_class: _Optional[str] = ..., workflow: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping[str, object]]]] = ..., features: _Optional[_Mapping[str, float]] = ..., allowed_models: _Optional[_Iterable[str]] = ..., data_class: _Optional[str] = ..., objective: _Optional[_Union[_objective_pb2.Objective, _Mapping[str, object]]] = ..., input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., session_id: _Optional[str] = ..., request_id: _Optional[str] = ..., required_capabilities: _Optional[_Iterable[_Union[_catalog_pb2.Capability, str]]] = ..., generation: _Optional[_Union[_content_pb2.GenerationOptions, _Mapping[str, object]]] = ..., max_attempts: _Optional[int] = ..., max_cost_nano_usd: _Optional[int] = ..., dry_run: bool = ...) -> None: ...

class CompleteResponse(_message.Message):
    __slots__ = ("decision_id", "attempt_id", "model", "answer", "finish_reason", "usage", "cost", "total_cost_nano_usd", "attempts", "propensity", "ranking", "excluded", "policy_version", "task_class", "notices")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    RANKING_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    attempt_id: str
    model: str
    answer: _content_pb2.Message
    finish_reason: _content_pb2.FinishReason
    usage: _content_pb2.Usage
    cost: _decision_pb2.CostBreakdown
    total_cost_nano_usd: int
    attempts: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Attempt]
    propensity: float
    ranking: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Candidate]
    excluded: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Exclusion]
    policy_version: int
    task_class: str
    notices: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Notice]
    def __init__(self, decision_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., model: _Optional[str] = ..., answer: _Optional[_Union[_content_pb2.Message, _Mapping[str, object]]] = ..., finish_reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ..., usage: _Optional[_Union[_content_pb2.Usage, _Mapping[str, object]]] = ..., cost: _Optional[_Union[_decision_pb2.CostBreakdown, _Mapping[str, object]]] = ..., total_cost_nano_usd: _Optional[int] = ..., attempts: _Optional[_Iterable[_Union[_decision_pb2.Attempt, _Mapping[str, object]]]] = ..., propensity: _Optional[float] = ..., ranking: _Optional[_Iterable[_Union[_decision_pb2.Candidate, _Mapping[str, object]]]] = ..., excluded: _Optional[_Iterable[_Union[_decision_pb2.Exclusion, _Mapping[str, object]]]] = ..., policy_version: _Optional[int] = ..., task_class: _Optional[str] = ..., notices: _Optional[_Iterable[_Union[_decision_pb2.Notice, _Mapping[str, object]]]] = ...) -> None: ...

class StreamCompleteRequest(_message.Message):
    __slots__ = ("task_class", "workflow", "messages", "features", "allowed_models", "data_class", "objective", "input_tokens", "max_output_tokens", "session_id", "request_id", "required_capabilities", "generation", "max_attempts", "max_cost_nano_usd", "failure_mode")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_MODELS_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    FAILURE_MODE_FIELD_NUMBER: _ClassVar[int]
    task_class: str
    workflow: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    features: _containers.ScalarMap[str, float]
    allowed_models: _containers.RepeatedScalarFieldContainer[str]
    data_class: str
    objective: _objective_pb2.Objective
    input_tokens: int
    max_output_tokens: int
    session_id: str
    request_id: str
    required_capabilities: _containers.RepeatedScalarFieldContainer[_catalog_pb2.Capability]
    generation: _content_pb2.GenerationOptions
    max_attempts: int
    max_cost_nano_usd: int
    failure_mode: StreamFailureMode
    def __init__(self, task_class: _Optional[str] = ..., workflow: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping[str, object]]]] = ..., features: _Optional[_Mapping[str, float]] = ..., allowed_models: _Optional[_Iterable[str]] = ..., data_class: _Optional[str] = ..., objective: _Optional[_Union[_objective_pb2.Objective, _Mapping[str, object]]] = ..., input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., session_id: _Optional[str] = ..., request_id: _Optional[str] = ..., required_capabilities: _Optional[_Iterable[_Union[_catalog_pb2.Capability, str]]] = ..., generation: _Optional[_Union[_content_pb2.GenerationOptions, _Mapping[str, object]]] = ..., max_attempts: _Optional[int] = ..., max_cost_nano_usd: _Optional[int] = ..., failure_mode: _Optional[_Union[StreamFailureMode, str]] = ...) -> None: ...

class StreamCompleteResponse(_message.Message):
    __slots__ = ("started", "text_delta", "tool_call_delta", "restarted", "completed")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_DELTA_FIELD_NUMBER: _ClassVar[int]
    RESTARTED_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    started: StreamStarted
    text_delta: TextDelta
    tool_call_delta: ToolCallDelta
    restarted: StreamRestarted
    completed: StreamCompleted
    def __init__(self, started: _Optional[_Union[StreamStarted, _Mapping[str, object]]] = ..., text_delta: _Optional[_Union[TextDelta, _Mapping[str, object]]] = ..., tool_call_delta: _Optional[_Union[ToolCallDelta, _Mapping[str, object]]] = ..., restarted: _Optional[_Union[StreamRestarted, _Mapping[str, object]]] = ..., completed: _Optional[_Union[StreamCompleted, _Mapping[str, object]]] = ...) -> None: ...

class StreamStarted(_message.Message):
    __slots__ = ("decision_id", "attempt_id", "model", "policy_version")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    attempt_id: str
    model: str
    policy_version: int
    def __init__(self, decision_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., model: _Optional[str] = ..., policy_version: _Optional[int] = ...) -> None: ...

class TextDelta(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    __slots__ = ("index", "tool_call_id", "name", "arguments_json")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    index: int
    tool_call_id: str
    name: str
    arguments_json: str
    def __init__(self, index: _Optional[int] = ..., tool_call_id: _Optional[str] = ..., name: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class StreamRestarted(_message.Message):
    __slots__ = ("failed", "attempt_id", "model")
    FAILED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    failed: _decision_pb2.Attempt
    attempt_id: str
    model: str
    def __init__(self, failed: _Optional[_Union[_decision_pb2.Attempt, _Mapping[str, object]]] = ..., attempt_id: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class StreamCompleted(_message.Message):
    __slots__ = ("response",)
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    response: CompleteResponse
    def __init__(self, response: _Optional[_Union[CompleteResponse, _Mapping[str, object]]] = ...) -> None: ...
