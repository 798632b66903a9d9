from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from naiad.v1 import feedback_pb2 as _feedback_pb2
from naiad.v1 import objective_pb2 as _objective_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PolicyStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_STAGE_UNSPECIFIED: _ClassVar[PolicyStage]
    POLICY_STAGE_DRAFT: _ClassVar[PolicyStage]
    POLICY_STAGE_SHADOW: _ClassVar[PolicyStage]
    POLICY_STAGE_CANARY: _ClassVar[PolicyStage]
    POLICY_STAGE_ACTIVE: _ClassVar[PolicyStage]
    POLICY_STAGE_RETIRED: _ClassVar[PolicyStage]
    POLICY_STAGE_ROLLED_BACK: _ClassVar[PolicyStage]

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    METRIC_QUALITY: _ClassVar[Metric]
    METRIC_COST: _ClassVar[Metric]
    METRIC_LATENCY: _ClassVar[Metric]
    METRIC_ERROR_RATE: _ClassVar[Metric]
    METRIC_UTILITY: _ClassVar[Metric]

class Estimator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ESTIMATOR_UNSPECIFIED: _ClassVar[Estimator]
    ESTIMATOR_IPS: _ClassVar[Estimator]
    ESTIMATOR_SNIPS: _ClassVar[Estimator]
    ESTIMATOR_DOUBLY_ROBUST: _ClassVar[Estimator]

class RollbackCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLBACK_CAUSE_UNSPECIFIED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_EVIDENCE_SPOILED: _ClassVar[RollbackCause]
    ROLLBACK_CAUSE_EVIDENCE_TRUE: _ClassVar[RollbackCause]
POLICY_STAGE_UNSPECIFIED: PolicyStage
POLICY_STAGE_DRAFT: PolicyStage
POLICY_STAGE_SHADOW: PolicyStage
POLICY_STAGE_CANARY: PolicyStage
POLICY_STAGE_ACTIVE: PolicyStage
POLICY_STAGE_RETIRED: PolicyStage
POLICY_STAGE_ROLLED_BACK: PolicyStage
METRIC_UNSPECIFIED: Metric
METRIC_QUALITY: Metric
METRIC_COST: Metric
METRIC_LATENCY: Metric
METRIC_ERROR_RATE: Metric
METRIC_UTILITY: Metric
ESTIMATOR_UNSPECIFIED: Estimator
ESTIMATOR_IPS: Estimator
ESTIMATOR_SNIPS: Estimator
ESTIMATOR_DOUBLY_ROBUST: Estimator
ROLLBACK_CAUSE_UNSPECIFIED: RollbackCause
ROLLBACK_CAUSE_EVIDENCE_SPOILED: RollbackCause
ROLLBACK_CAUSE_EVIDENCE_TRUE: RollbackCause

class PolicyRule(_message.Message):
    __slots__ = ("task_classes", "workflows", "objective", "bounds", "models", "exploration")
    TASK_CLASSES_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_FIELD_NUMBER: _ClassVar[int]
    task_classes: _containers.RepeatedScalarFieldContainer[str]
    workflows: _containers.RepeatedScalarFieldContainer[str]
    objective: _objective_pb2.Objective
    bounds: ObjectiveBounds
    models: _containers.RepeatedScalarFieldContainer[str]
    exploration: Exploration
    def __init__(self, task_classes: _Optional[_Iterable[str]] = ..., workflows: _Optional[_Iterable[str]] = ..., objective: _Optional[_Union[_objective_pb2.Objective, _Mapping[str, object]]] = ..., bounds: _Optional[_Union[ObjectiveBounds, _Mapping[str, object]]] = ..., models: _Optional[_Iterable[str]] = ..., exploration: _Optional[_Union[Exploration, _Mapping[str, object]]] = ...) -> None: ...

class ObjectiveBounds(_message.Message):
    __slots__ = ("strategies", "maximum_usd_per_quality", "maximum_usd_per_second", "minimum_quality_floor", "minimum_confidence")
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_USD_PER_QUALITY_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_USD_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_QUALITY_FLOOR_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    strategies: _containers.RepeatedScalarFieldContainer[_objective_pb2.Strategy]
    maximum_usd_per_quality: float
    maximum_usd_per_second: float
    minimum_quality_floor: float
    minimum_confidence: float
    def __init__(self, strategies: _Optional[_Iterable[_Union[_objective_pb2.Strategy, str]]] = ..., maximum_usd_per_quality: _Optional[float] = ..., maximum_usd_per_second: _Optional[float] = ..., minimum_quality_floor: _Optional[float] = ..., minimum_confidence: _Optional[float] = ...) -> None: ...

class Exploration(_message.Message):
    __slots__ = ("floor", "temperature", "floor_allowance", "daily_allowance_nano_usd", "newcomer_quota", "newcomer_calls", "newcomer_share", "newcomer_nano_usd")
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    FLOOR_ALLOWANCE_FIELD_NUMBER: _ClassVar[int]
    DAILY_ALLOWANCE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    NEWCOMER_QUOTA_FIELD_NUMBER: _ClassVar[int]
    NEWCOMER_CALLS_FIELD_NUMBER: _ClassVar[int]
    NEWCOMER_SHARE_FIELD_NUMBER: _ClassVar[int]
    NEWCOMER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    floor: float
    temperature: float
    floor_allowance: float
    daily_allowance_nano_usd: int
    newcomer_quota: int
    newcomer_calls: int
    newcomer_share: float
    newcomer_nano_usd: int
    def __init__(self, floor: _Optional[float] = ..., temperature: _Optional[float] = ..., floor_allowance: _Optional[float] = ..., daily_allowance_nano_usd: _Optional[int] = ..., newcomer_quota: _Optional[int] = ..., newcomer_calls: _Optional[int] = ..., newcomer_share: _Optional[float] = ..., newcomer_nano_usd: _Optional[int] = ...) -> None: ...

class DataRule(_message.Message):
    __slots__ = ("data_class", "data_zones")
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    DATA_ZONES_FIELD_NUMBER: _ClassVar[int]
    data_class: str
    data_zones: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, data_class: _Optional[str] = ..., data_zones: _Optional[_Iterable[str]] = ...) -> None: ...

class TrustRule(_message.Message):
    __slots__ = ("source", "rater_id", "weight", "influence_cap", "period")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RATER_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    INFLUENCE_CAP_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    source: _feedback_pb2.FeedbackSource
    rater_id: str
    weight: float
    influence_cap: float
    period: _duration_pb2.Duration
    def __init__(self, source: _Optional[_Union[_feedback_pb2.FeedbackSource, str]] = ..., rater_id: _Optional[str] = ..., weight: _Optional[float] = ..., influence_cap: _Optional[float] = ..., period: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ...) -> None: ...

class Guard(_message.Message):
    __slots__ = ("metric", "tolerance", "false_alarm_rate", "roll_back")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    FALSE_ALARM_RATE_FIELD_NUMBER: _ClassVar[int]
    ROLL_BACK_FIELD_NUMBER: _ClassVar[int]
    metric: Metric
    tolerance: float
    false_alarm_rate: float
    roll_back: bool
    def __init__(self, metric: _Optional[_Union[Metric, str]] = ..., tolerance: _Optional[float] = ..., false_alarm_rate: _Optional[float] = ..., roll_back: bool = ...) -> None: ...

class PolicySpec(_message.Message):
    __slots__ = ("rules", "data_rules", "trust_rules", "guards", "forgetting")
    RULES_FIELD_NUMBER: _ClassVar[int]
    DATA_RULES_FIELD_NUMBER: _ClassVar[int]
    TRUST_RULES_FIELD_NUMBER: _ClassVar[int]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[PolicyRule]
    data_rules: _containers.RepeatedCompositeFieldContainer[DataRule]
    trust_rules: _containers.RepeatedCompositeFieldContainer[TrustRule]
    guards: _containers.RepeatedCompositeFieldContainer[Guard]
    forgetting: float
    def __init__(self, rules: _Optional[_Iterable[_Union[PolicyRule, _Mapping[str, object]]]] = ..., data_rules: _Optional[_Iterable[_Union[DataRule, _Mapping[str, object]]]] = ..., trust_rules: _Optional[_Iterable[_Union[TrustRule, _Mapping[str, object]]]] = ..., guards: _Optional[_Iterable[_Union[Guard, _Mapping[str, object]]]] = ..., forgetting: _Optional[float] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("version", "spec", "stage", "canary_share", "base_version", "author", "reason", "create_time", "stage_time", "stage_reason")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CANARY_SHARE_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    STAGE_TIME_FIELD_NUMBER: _ClassVar[int]
    STAGE_REASON_FIELD_NUMBER: _ClassVar[int]
    version: int
    spec: PolicySpec
    stage: PolicyStage
    canary_share: float
    base_version: int
    author: str
    reason: str
    create_time: _timestamp_pb2.Timestamp
    stage_time: _timestamp_pb2.Timestamp
    stage_reason: str
    def __init__(self, version: _Optional[int] = ..., spec: _Optional[_Union[PolicySpec, _Mapping[str, object]]] = ..., stage: _Optional[_Union[PolicyStage, str]] = ..., canary_share: _Optional[float] = ..., base_version: _Optional[int] = ..., author: _Optional[str] = ..., reason: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., stage_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., stage_reason: _Optional[str] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("metric", "task_class", "value", "lower", "upper", "served_value", "effective_samples", "needed_samples")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    SERVED_VALUE_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEEDED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    metric: Metric
    task_class: str
    value: float
    lower: float
    upper: float
    served_value: float
    effective_samples: float
    needed_samples: float
    def __init__(self, metric: _Optional[_Union[Metric, str]] = ..., task_class: _Optional[str] = ..., value: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., served_value: _Optional[float] = ..., effective_samples: _Optional[float] = ..., needed_samples: _Optional[float] = ...) -> None: ...

class PolicyChange(_message.Message):
    __slots__ = ("path", "old_json", "new_json")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OLD_JSON_FIELD_NUMBER: _ClassVar[int]
    NEW_JSON_FIELD_NUMBER: _ClassVar[int]
    path: str
    old_json: str
    new_json: str
    def __init__(self, path: _Optional[str] = ..., old_json: _Optional[str] = ..., new_json: _Optional[str] = ...) -> None: ...
