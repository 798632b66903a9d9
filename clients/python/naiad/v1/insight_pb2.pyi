from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from naiad.v1 import decision_pb2 as _decision_pb2
from naiad.v1 import feedback_pb2 as _feedback_pb2
from naiad.v1 import objective_pb2 as _objective_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlertKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_KIND_UNSPECIFIED: _ClassVar[AlertKind]
    ALERT_KIND_QUALITY: _ClassVar[AlertKind]
    ALERT_KIND_COST: _ClassVar[AlertKind]
    ALERT_KIND_LATENCY: _ClassVar[AlertKind]
    ALERT_KIND_ERROR_RATE: _ClassVar[AlertKind]
    ALERT_KIND_DRIFT: _ClassVar[AlertKind]
    ALERT_KIND_BASELINE: _ClassVar[AlertKind]
    ALERT_KIND_BUDGET: _ClassVar[AlertKind]
    ALERT_KIND_RETIREMENT: _ClassVar[AlertKind]

class AlertSeverity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_SEVERITY_UNSPECIFIED: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_INFO: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_WARNING: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_CRITICAL: _ClassVar[AlertSeverity]

class CostDimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COST_DIMENSION_UNSPECIFIED: _ClassVar[CostDimension]
    COST_DIMENSION_WORKFLOW: _ClassVar[CostDimension]
    COST_DIMENSION_TASK_CLASS: _ClassVar[CostDimension]
    COST_DIMENSION_MODEL: _ClassVar[CostDimension]
    COST_DIMENSION_HOUR: _ClassVar[CostDimension]
    COST_DIMENSION_DAY: _ClassVar[CostDimension]

class WatchRestart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WATCH_RESTART_UNSPECIFIED: _ClassVar[WatchRestart]
    WATCH_RESTART_NO_CURSOR: _ClassVar[WatchRestart]
    WATCH_RESTART_OTHER_LIFE: _ClassVar[WatchRestart]
ALERT_KIND_UNSPECIFIED: AlertKind
ALERT_KIND_QUALITY: AlertKind
ALERT_KIND_COST: AlertKind
ALERT_KIND_LATENCY: AlertKind
ALERT_KIND_ERROR_RATE: AlertKind
ALERT_KIND_DRIFT: AlertKind
ALERT_KIND_BASELINE: AlertKind
ALERT_KIND_BUDGET: AlertKind
ALERT_KIND_RETIREMENT: AlertKind
ALERT_SEVERITY_UNSPECIFIED: AlertSeverity
ALERT_SEVERITY_INFO: AlertSeverity
ALERT_SEVERITY_WARNING: AlertSeverity
ALERT_SEVERITY_CRITICAL: AlertSeverity
COST_DIMENSION_UNSPECIFIED: CostDimension
COST_DIMENSION_WORKFLOW: CostDimension
COST_DIMENSION_TASK_CLASS: CostDimension
COST_DIMENSION_MODEL: CostDimension
COST_DIMENSION_HOUR: CostDimension
COST_DIMENSION_DAY: CostDimension
WATCH_RESTART_UNSPECIFIED: WatchRestart
WATCH_RESTART_NO_CURSOR: WatchRestart
WATCH_RESTART_OTHER_LIFE: WatchRestart

class Belief(_message.Message):
    __slots__ = ("mean", "standard_deviation", "effective_observations")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    STANDARD_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    mean: float
    standard_deviation: float
    effective_observations: float
    def __init__(self, mean: _Optional[float] = ..., standard_deviation: _Optional[float] = ..., effective_observations: _Optional[float] = ...) -> None: ...

class Drift(_message.Message):
    __slots__ = ("alarm_time", "shift", "ordinal", "evidence_weight")
    ALARM_TIME_FIELD_NUMBER: _ClassVar[int]
    SHIFT_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    alarm_time: _timestamp_pb2.Timestamp
    shift: float
    ordinal: int
    evidence_weight: float
    def __init__(self, alarm_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., shift: _Optional[float] = ..., ordinal: _Optional[int] = ..., evidence_weight: _Optional[float] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("task_class", "model", "quality", "success", "output_tokens", "cost_nano_usd", "latency_s", "pulls", "traffic_share", "recent_traffic_share", "failures", "last_pull_time", "time_to_first_token_s", "drift")
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    PULLS_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_SHARE_FIELD_NUMBER: _ClassVar[int]
    RECENT_TRAFFIC_SHARE_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LAST_PULL_TIME_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_S_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    task_class: str
    model: str
    quality: Belief
    success: Belief
    output_tokens: Belief
    cost_nano_usd: Belief
    latency_s: Belief
    pulls: int
    traffic_share: float
    recent_traffic_share: float
    failures: int
    last_pull_time: _timestamp_pb2.Timestamp
    time_to_first_token_s: Belief
    drift: Drift
    def __init__(self, task_class: _Optional[str] = ..., model: _Optional[str] = ..., quality: _Optional[_Union[Belief, _Mapping[str, object]]] = ..., success: _Optional[_Union[Belief, _Mapping[str, object]]] = ..., output_tokens: _Optional[_Union[Belief, _Mapping[str, object]]] = ..., cost_nano_usd: _Optional[_Union[Belief, _Mapping[str, object]]] = ..., latency_s: _Optional[_Union[Belief, _Mapping[str, object]]] = ..., pulls: _Optional[int] = ..., traffic_share: _Optional[float] = ..., recent_traffic_share: _Optional[float] = ..., failures: _Optional[int] = ..., last_pull_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., time_to_first_token_s: _Optional[_Union[Belief, _Mapping[str, object]]] = ..., drift: _Optional[_Union[Drift, _Mapping[str, object]]] = ...) -> None: ...

class RemovedArm(_message.Message):
    __slots__ = ("task_class", "model")
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    task_class: str
    model: str
    def __init__(self, task_class: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class CandidateExplanation(_message.Message):
    __slots__ = ("candidate", "quality", "thompson_probability", "utility", "utility_sd", "floor_probability", "budget_price_nano_usd", "note", "drift", "permitted_by")
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    THOMPSON_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    UTILITY_FIELD_NUMBER: _ClassVar[int]
    UTILITY_SD_FIELD_NUMBER: _ClassVar[int]
    FLOOR_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    BUDGET_PRICE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_BY_FIELD_NUMBER: _ClassVar[int]
    candidate: _decision_pb2.Candidate
    quality: Belief
    thompson_probability: float
    utility: float
    utility_sd: float
    floor_probability: float
    budget_price_nano_usd: int
    note: str
    drift: Drift
    permitted_by: str
    def __init__(self, candidate: _Optional[_Union[_decision_pb2.Candidate, _Mapping[str, object]]] = ..., quality: _Optional[_Union[Belief, _Mapping[str, object]]] = ..., thompson_probability: _Optional[float] = ..., utility: _Optional[float] = ..., utility_sd: _Optional[float] = ..., floor_probability: _Optional[float] = ..., budget_price_nano_usd: _Optional[int] = ..., note: _Optional[str] = ..., drift: _Optional[_Union[Drift, _Mapping[str, object]]] = ..., permitted_by: _Optional[str] = ...) -> None: ...

class TaskClassInference(_message.Message):
    __slots__ = ("task_class", "probability", "evidence")
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    task_class: str
    probability: float
    evidence: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_class: _Optional[str] = ..., probability: _Optional[float] = ..., evidence: _Optional[_Iterable[str]] = ...) -> None: ...

class BudgetExplanation(_message.Message):
    __slots__ = ("scope", "usd_per_request", "quality_per_usd", "bank_nano_usd", "below_cheapest", "lower_price_share")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    USD_PER_REQUEST_FIELD_NUMBER: _ClassVar[int]
    QUALITY_PER_USD_FIELD_NUMBER: _ClassVar[int]
    BANK_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    BELOW_CHEAPEST_FIELD_NUMBER: _ClassVar[int]
    LOWER_PRICE_SHARE_FIELD_NUMBER: _ClassVar[int]
    scope: str
    usd_per_request: float
    quality_per_usd: float
    bank_nano_usd: int
    below_cheapest: bool
    lower_price_share: float
    def __init__(self, scope: _Optional[str] = ..., usd_per_request: _Optional[float] = ..., quality_per_usd: _Optional[float] = ..., bank_nano_usd: _Optional[int] = ..., below_cheapest: bool = ..., lower_price_share: _Optional[float] = ...) -> None: ...

class DecisionRecord(_message.Message):
    __slots__ = ("decision_id", "task_class", "task_class_inference", "workflow", "session_id", "data_class", "policy_version", "objective", "features", "input_tokens", "max_output_tokens", "model", "propensity", "uniform_draw", "candidates", "ranking", "excluded", "model_ordinal", "sticky", "create_time", "decide_duration", "sequence", "attempts", "feedback", "effective_score", "price_version", "restored_from_id", "budget", "data_class_source", "policy_epoch", "no_store", "session_moved_from", "session_moved_reason", "session_saving_nano_usd")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_INFERENCE_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    UNIFORM_DRAW_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RANKING_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    MODEL_ORDINAL_FIELD_NUMBER: _ClassVar[int]
    STICKY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DECIDE_DURATION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SCORE_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FROM_ID_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASS_SOURCE_FIELD_NUMBER: _ClassVar[int]
    POLICY_EPOCH_FIELD_NUMBER: _ClassVar[int]
    NO_STORE_FIELD_NUMBER: _ClassVar[int]
    SESSION_MOVED_FROM_FIELD_NUMBER: _ClassVar[int]
    SESSION_MOVED_REASON_FIELD_NUMBER: _ClassVar[int]
    SESSION_SAVING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    task_class: str
    task_class_inference: TaskClassInference
    workflow: str
    session_id: str
    data_class: str
    policy_version: int
    objective: _objective_pb2.Objective
    features: _containers.ScalarMap[str, float]
    input_tokens: int
    max_output_tokens: int
    model: str
    propensity: float
    uniform_draw: float
    candidates: _containers.RepeatedCompositeFieldContainer[CandidateExplanation]
    ranking: _containers.RepeatedScalarFieldContainer[str]
    excluded: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Exclusion]
    model_ordinal: int
    sticky: bool
    create_time: _timestamp_pb2.Timestamp
    decide_duration: _duration_pb2.Duration
    sequence: int
    attempts: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Attempt]
    feedback: _containers.RepeatedCompositeFieldContainer[_feedback_pb2.Feedback]
    effective_score: float
    price_version: str
    restored_from_id: bool
    budget: BudgetExplanation
    data_class_source: str
    policy_epoch: int
    no_store: bool
    session_moved_from: str
    session_moved_reason: str
    session_saving_nano_usd: int
    def __init__(self, decision_id: _Optional[str] = ..., task_class: _Optional[str] = ..., task_class_inference: _Optional[_Union[TaskClassInference, _Mapping[str, object]]] = ..., workflow: _Optional[str] = ..., session_id: _Optional[str] = ..., data_class: _Optional[str] = ..., policy_version: _Optional[int] = ..., objective: _Optional[_Union[_objective_pb2.Objective, _Mapping[str, object]]] = ..., features: _Optional[_Mapping[str, float]] = ..., input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., model: _Optional[str] = ..., propensity: _Optional[float] = ..., uniform_draw: _Optional[float] = ..., candidates: _Optional[_Iterable[_Union[CandidateExplanation, _Mapping[str, object]]]] = ..., ranking: _Optional[_Iterable[str]] = ..., excluded: _Optional[_Iterable[_Union[_decision_pb2.Exclusion, _Mapping[str, object]]]] = ..., model_ordinal: _Optional[int] = ..., sticky: bool = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., decide_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ..., sequence: _Optional[int] = ..., attempts: _Optional[_Iterable[_Union[_decision_pb2.Attempt, _Mapping[str, object]]]] = ..., feedback: _Optional[_Iterable[_Union[_feedback_pb2.Feedback, _Mapping[str, object]]]] = ..., effective_score: _Optional[float] = ..., price_version: _Optional[str] = ..., restored_from_id: bool = ..., budget: _Optional[_Union[BudgetExplanation, _Mapping[str, object]]] = ..., data_class_source: _Optional[str] = ..., policy_epoch: _Optional[int] = ..., no_store: bool = ..., session_moved_from: _Optional[str] = ..., session_moved_reason: _Optional[str] = ..., session_saving_nano_usd: _Optional[int] = ...) -> None: ...

class DecisionSummary(_message.Message):
    __slots__ = ("decision_id", "task_class", "workflow", "model", "propensity", "policy_version", "create_time", "answered_by", "attempt_count", "cost_nano_usd", "effective_score", "sequence")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SCORE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    task_class: str
    workflow: str
    model: str
    propensity: float
    policy_version: int
    create_time: _timestamp_pb2.Timestamp
    answered_by: str
    attempt_count: int
    cost_nano_usd: int
    effective_score: float
    sequence: int
    def __init__(self, decision_id: _Optional[str] = ..., task_class: _Optional[str] = ..., workflow: _Optional[str] = ..., model: _Optional[str] = ..., propensity: _Optional[float] = ..., policy_version: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., answered_by: _Optional[str] = ..., attempt_count: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., effective_score: _Optional[float] = ..., sequence: _Optional[int] = ...) -> None: ...

class CostRow(_message.Message):
    __slots__ = ("workflow", "task_class", "model", "period_start_time", "decisions", "attempts", "input_tokens", "output_tokens", "cost_nano_usd", "mean_score", "scores", "failed_attempts", "unpriced_attempts", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "input_nano_usd", "cached_input_nano_usd", "cache_write_nano_usd", "output_nano_usd", "request_nano_usd", "adjustment_nano_usd", "reasoning_nano_usd", "failed_nano_usd", "estimate_nano_usd", "estimated_nano_usd", "judge_nano_usd", "other_members_nano_usd", "doubted_attempts", "uncertain_attempts", "uncertain_nano_usd")
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PERIOD_START_TIME_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    MEAN_SCORE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    FAILED_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ADJUSTMENT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    REASONING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    FAILED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    JUDGE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    OTHER_MEMBERS_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    DOUBTED_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    UNCERTAIN_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    UNCERTAIN_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    workflow: str
    task_class: str
    model: str
    period_start_time: _timestamp_pb2.Timestamp
    decisions: int
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    mean_score: float
    scores: int
    failed_attempts: int
    unpriced_attempts: int
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    input_nano_usd: int
    cached_input_nano_usd: int
    cache_write_nano_usd: int
    output_nano_usd: int
    request_nano_usd: int
    adjustment_nano_usd: int
    reasoning_nano_usd: int
    failed_nano_usd: int
    estimate_nano_usd: int
    estimated_nano_usd: int
    judge_nano_usd: int
    other_members_nano_usd: int
    doubted_attempts: int
    uncertain_attempts: int
    uncertain_nano_usd: int
    def __init__(self, workflow: _Optional[str] = ..., task_class: _Optional[str] = ..., model: _Optional[str] = ..., period_start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., decisions: _Optional[int] = ..., attempts: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., mean_score: _Optional[float] = ..., scores: _Optional[int] = ..., failed_attempts: _Optional[int] = ..., unpriced_attempts: _Optional[int] = ..., cached_input_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., input_nano_usd: _Optional[int] = ..., cached_input_nano_usd: _Optional[int] = ..., cache_write_nano_usd: _Optional[int] = ..., output_nano_usd: _Optional[int] = ..., request_nano_usd: _Optional[int] = ..., adjustment_nano_usd: _Optional[int] = ..., reasoning_nano_usd: _Optional[int] = ..., failed_nano_usd: _Optional[int] = ..., estimate_nano_usd: _Optional[int] = ..., estimated_nano_usd: _Optional[int] = ..., judge_nano_usd: _Optional[int] = ..., other_members_nano_usd: _Optional[int] = ..., doubted_attempts: _Optional[int] = ..., uncertain_attempts: _Optional[int] = ..., uncertain_nano_usd: _Optional[int] = ...) -> None: ...

class Saving(_message.Message):
    __slots__ = ("baseline_model", "baseline_cost_nano_usd", "saving_nano_usd", "lower_nano_usd", "upper_nano_usd", "quality_difference", "confidence", "cost_nano_usd", "decisions", "left_out")
    BASELINE_MODEL_FIELD_NUMBER: _ClassVar[int]
    BASELINE_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    SAVING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    LOWER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UPPER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    QUALITY_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    baseline_model: str
    baseline_cost_nano_usd: int
    saving_nano_usd: int
    lower_nano_usd: int
    upper_nano_usd: int
    quality_difference: float
    confidence: float
    cost_nano_usd: int
    decisions: int
    left_out: int
    def __init__(self, baseline_model: _Optional[str] = ..., baseline_cost_nano_usd: _Optional[int] = ..., saving_nano_usd: _Optional[int] = ..., lower_nano_usd: _Optional[int] = ..., upper_nano_usd: _Optional[int] = ..., quality_difference: _Optional[float] = ..., confidence: _Optional[float] = ..., cost_nano_usd: _Optional[int] = ..., decisions: _Optional[int] = ..., left_out: _Optional[int] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("alert_id", "kind", "severity", "task_class", "model", "policy_version", "message", "observed", "expected", "rolled_back", "create_time", "resolve_time", "sequence")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RESOLVE_TIME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    kind: AlertKind
    severity: AlertSeverity
    task_class: str
    model: str
    policy_version: int
    message: str
    observed: float
    expected: float
    rolled_back: bool
    create_time: _timestamp_pb2.Timestamp
    resolve_time: _timestamp_pb2.Timestamp
    sequence: int
    def __init__(self, alert_id: _Optional[str] = ..., kind: _Optional[_Union[AlertKind, str]] = ..., severity: _Optional[_Union[AlertSeverity, str]] = ..., task_class: _Optional[str] = ..., model: _Optional[str] = ..., policy_version: _Optional[int] = ..., message: _Optional[str] = ..., observed: _Optional[float] = ..., expected: _Optional[float] = ..., rolled_back: bool = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., resolve_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., sequence: _Optional[int] = ...) -> None: ...
