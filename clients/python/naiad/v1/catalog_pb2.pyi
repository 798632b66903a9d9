from google.protobuf import timestamp_pb2 as _timestamp_pb2
from naiad.v1 import objective_pb2 as _objective_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Capability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAPABILITY_UNSPECIFIED: _ClassVar[Capability]
    CAPABILITY_VISION: _ClassVar[Capability]
    CAPABILITY_TOOLS: _ClassVar[Capability]
    CAPABILITY_JSON_SCHEMA: _ClassVar[Capability]
    CAPABILITY_STREAMING: _ClassVar[Capability]
    CAPABILITY_REASONING: _ClassVar[Capability]
    CAPABILITY_SYSTEM_PROMPT: _ClassVar[Capability]

class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIGIN_UNSPECIFIED: _ClassVar[Origin]
    ORIGIN_CONFIGURATION: _ClassVar[Origin]
    ORIGIN_API: _ClassVar[Origin]
    ORIGIN_FIRST_USE: _ClassVar[Origin]

class Aggregation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGGREGATION_UNSPECIFIED: _ClassVar[Aggregation]
    AGGREGATION_MAJORITY: _ClassVar[Aggregation]
    AGGREGATION_JUDGE: _ClassVar[Aggregation]
    AGGREGATION_FIRST_AGREEMENT: _ClassVar[Aggregation]

class OnCheckError(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_CHECK_ERROR_UNSPECIFIED: _ClassVar[OnCheckError]
    ON_CHECK_ERROR_ESCALATE: _ClassVar[OnCheckError]
    ON_CHECK_ERROR_ACCEPT: _ClassVar[OnCheckError]
CAPABILITY_UNSPECIFIED: Capability
CAPABILITY_VISION: Capability
CAPABILITY_TOOLS: Capability
CAPABILITY_JSON_SCHEMA: Capability
CAPABILITY_STREAMING: Capability
CAPABILITY_REASONING: Capability
CAPABILITY_SYSTEM_PROMPT: Capability
ORIGIN_UNSPECIFIED: Origin
ORIGIN_CONFIGURATION: Origin
ORIGIN_API: Origin
ORIGIN_FIRST_USE: Origin
AGGREGATION_UNSPECIFIED: Aggregation
AGGREGATION_MAJORITY: Aggregation
AGGREGATION_JUDGE: Aggregation
AGGREGATION_FIRST_AGREEMENT: Aggregation
ON_CHECK_ERROR_UNSPECIFIED: OnCheckError
ON_CHECK_ERROR_ESCALATE: OnCheckError
ON_CHECK_ERROR_ACCEPT: OnCheckError

class Prices(_message.Message):
    __slots__ = ("input_nano_usd_per_million_tokens", "output_nano_usd_per_million_tokens", "cached_input_nano_usd_per_million_tokens", "cache_write_nano_usd_per_million_tokens", "request_nano_usd", "price_version")
    INPUT_NANO_USD_PER_MILLION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NANO_USD_PER_MILLION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_NANO_USD_PER_MILLION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_NANO_USD_PER_MILLION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    input_nano_usd_per_million_tokens: int
    output_nano_usd_per_million_tokens: int
    cached_input_nano_usd_per_million_tokens: int
    cache_write_nano_usd_per_million_tokens: int
    request_nano_usd: int
    price_version: str
    def __init__(self, input_nano_usd_per_million_tokens: _Optional[int] = ..., output_nano_usd_per_million_tokens: _Optional[int] = ..., cached_input_nano_usd_per_million_tokens: _Optional[int] = ..., cache_write_nano_usd_per_million_tokens: _Optional[int] = ..., request_nano_usd: _Optional[int] = ..., price_version: _Optional[str] = ...) -> None: ...

class Ensemble(_message.Message):
    __slots__ = ("members", "aggregation", "judge", "agree")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    AGGREGATION_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    AGREE_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedScalarFieldContainer[str]
    aggregation: Aggregation
    judge: str
    agree: int
    def __init__(self, members: _Optional[_Iterable[str]] = ..., aggregation: _Optional[_Union[Aggregation, str]] = ..., judge: _Optional[str] = ..., agree: _Optional[int] = ...) -> None: ...

class Cascade(_message.Message):
    __slots__ = ("members", "check")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedScalarFieldContainer[str]
    check: Check
    def __init__(self, members: _Optional[_Iterable[str]] = ..., check: _Optional[_Union[Check, _Mapping[str, object]]] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("json_schema", "pattern", "judge", "callback", "threshold", "on_error")
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    CALLBACK_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    json_schema: str
    pattern: str
    judge: str
    callback: str
    threshold: float
    on_error: OnCheckError
    def __init__(self, json_schema: _Optional[str] = ..., pattern: _Optional[str] = ..., judge: _Optional[str] = ..., callback: _Optional[str] = ..., threshold: _Optional[float] = ..., on_error: _Optional[_Union[OnCheckError, str]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "provider", "upstream_model", "endpoint_profile", "prices", "context_window", "max_output_tokens", "capabilities", "data_zone", "disabled", "labels", "retire_time", "revision", "origin", "create_time", "update_time", "ensemble", "cascade")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_PROFILE_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    DATA_ZONE_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    RETIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ENSEMBLE_FIELD_NUMBER: _ClassVar[int]
    CASCADE_FIELD_NUMBER: _ClassVar[int]
    name: str
    provider: str
    upstream_model: str
    endpoint_profile: str
    prices: Prices
    context_window: int
    max_output_tokens: int
    capabilities: _containers.RepeatedScalarFieldContainer[Capability]
    data_zone: str
    disabled: bool
    labels: _containers.ScalarMap[str, str]
    retire_time: _timestamp_pb2.Timestamp
    revision: int
    origin: Origin
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    ensemble: Ensemble
    cascade: Cascade
    def __init__(self, name: _Optional[str] = ..., provider: _Optional[str] = ..., upstream_model: _Optional[str] = ..., endpoint_profile: _Optional[str] = ..., prices: _Optional[_Union[Prices, _Mapping[str, object]]] = ..., context_window: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[Capability, str]]] = ..., data_zone: _Optional[str] = ..., disabled: bool = ..., labels: _Optional[_Mapping[str, str]] = ..., retire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., revision: _Optional[int] = ..., origin: _Optional[_Union[Origin, str]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., ensemble: _Optional[_Union[Ensemble, _Mapping[str, object]]] = ..., cascade: _Optional[_Union[Cascade, _Mapping[str, object]]] = ...) -> None: ...

class ProviderModel(_message.Message):
    __slots__ = ("name", "context_window", "max_output_tokens", "capabilities", "retire_time", "prices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    RETIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    context_window: int
    max_output_tokens: int
    capabilities: _containers.RepeatedScalarFieldContainer[Capability]
    retire_time: _timestamp_pb2.Timestamp
    prices: Prices
    def __init__(self, name: _Optional[str] = ..., context_window: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[Capability, str]]] = ..., retire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., prices: _Optional[_Union[Prices, _Mapping[str, object]]] = ...) -> None: ...

class FeatureSpec(_message.Message):
    __slots__ = ("name", "description", "low", "high")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    low: float
    high: float
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class QualityPrior(_message.Message):
    __slots__ = ("model", "mean", "effective_observations")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    mean: float
    effective_observations: float
    def __init__(self, model: _Optional[str] = ..., mean: _Optional[float] = ..., effective_observations: _Optional[float] = ...) -> None: ...

class TaskClass(_message.Message):
    __slots__ = ("name", "description", "default_objective", "priors", "features", "default_data_class", "labels", "revision", "origin", "create_time", "update_time")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    PRIORS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    default_objective: _objective_pb2.Objective
    priors: _containers.RepeatedCompositeFieldContainer[QualityPrior]
    features: _containers.RepeatedCompositeFieldContainer[FeatureSpec]
    default_data_class: str
    labels: _containers.ScalarMap[str, str]
    revision: int
    origin: Origin
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., default_objective: _Optional[_Union[_objective_pb2.Objective, _Mapping[str, object]]] = ..., priors: _Optional[_Iterable[_Union[QualityPrior, _Mapping[str, object]]]] = ..., features: _Optional[_Iterable[_Union[FeatureSpec, _Mapping[str, object]]]] = ..., default_data_class: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., revision: _Optional[int] = ..., origin: _Optional[_Union[Origin, str]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ...) -> None: ...
