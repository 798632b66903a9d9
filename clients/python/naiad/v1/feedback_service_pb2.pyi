from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from naiad.v1 import content_pb2 as _content_pb2
from naiad.v1 import decision_pb2 as _decision_pb2
from naiad.v1 import error_pb2 as _error_pb2
from naiad.v1 import feedback_pb2 as _feedback_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReviewReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVIEW_REASON_UNSPECIFIED: _ClassVar[ReviewReason]
    REVIEW_REASON_UNCERTAIN: _ClassVar[ReviewReason]
    REVIEW_REASON_DISAGREEMENT: _ClassVar[ReviewReason]
    REVIEW_REASON_CALIBRATION: _ClassVar[ReviewReason]
    REVIEW_REASON_RANDOM: _ClassVar[ReviewReason]
REVIEW_REASON_UNSPECIFIED: ReviewReason
REVIEW_REASON_UNCERTAIN: ReviewReason
REVIEW_REASON_DISAGREEMENT: ReviewReason
REVIEW_REASON_CALIBRATION: ReviewReason
REVIEW_REASON_RANDOM: ReviewReason

class ReportOutcomeRequest(_message.Message):
    __slots__ = ("decision_id", "attempt_id", "model", "input_tokens", "output_tokens", "cost_nano_usd", "latency", "error", "request_id", "cached_input_tokens", "cache_write_input_tokens", "time_to_first_token", "finish_reason")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    attempt_id: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    latency: _duration_pb2.Duration
    error: _decision_pb2.AttemptError
    request_id: str
    cached_input_tokens: int
    cache_write_input_tokens: int
    time_to_first_token: _duration_pb2.Duration
    finish_reason: _content_pb2.FinishReason
    def __init__(self, decision_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., model: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., latency: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ..., error: _Optional[_Union[_decision_pb2.AttemptError, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ..., cached_input_tokens: _Optional[int] = ..., cache_write_input_tokens: _Optional[int] = ..., time_to_first_token: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ..., finish_reason: _Optional[_Union[_content_pb2.FinishReason, str]] = ...) -> None: ...

class ReportOutcomeResponse(_message.Message):
    __slots__ = ("attempt_id", "cost", "sequence")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    cost: _decision_pb2.CostBreakdown
    sequence: int
    def __init__(self, attempt_id: _Optional[str] = ..., cost: _Optional[_Union[_decision_pb2.CostBreakdown, _Mapping[str, object]]] = ..., sequence: _Optional[int] = ...) -> None: ...

class ReportFeedbackRequest(_message.Message):
    __slots__ = ("decision_id", "attempt_id", "source", "rater_id", "score", "thumb", "preference", "reaction", "comment", "request_id")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RATER_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THUMB_FIELD_NUMBER: _ClassVar[int]
    PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    REACTION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    attempt_id: str
    source: _feedback_pb2.FeedbackSource
    rater_id: str
    score: float
    thumb: _feedback_pb2.Thumb
    preference: _feedback_pb2.Preference
    reaction: _feedback_pb2.Reaction
    comment: str
    request_id: str
    def __init__(self, decision_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., source: _Optional[_Union[_feedback_pb2.FeedbackSource, str]] = ..., rater_id: _Optional[str] = ..., score: _Optional[float] = ..., thumb: _Optional[_Union[_feedback_pb2.Thumb, str]] = ..., preference: _Optional[_Union[_feedback_pb2.Preference, _Mapping[str, object]]] = ..., reaction: _Optional[_Union[_feedback_pb2.Reaction, _Mapping[str, object]]] = ..., comment: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReportFeedbackResponse(_message.Message):
    __slots__ = ("feedback_id", "state", "effective_score", "revised", "sequence")
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SCORE_FIELD_NUMBER: _ClassVar[int]
    REVISED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    state: _feedback_pb2.FeedbackState
    effective_score: float
    revised: bool
    sequence: int
    def __init__(self, feedback_id: _Optional[str] = ..., state: _Optional[_Union[_feedback_pb2.FeedbackState, str]] = ..., effective_score: _Optional[float] = ..., revised: bool = ..., sequence: _Optional[int] = ...) -> None: ...

class BatchReportFeedbackRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ReportFeedbackRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[ReportFeedbackRequest, _Mapping[str, object]]]] = ...) -> None: ...

class BatchReportFeedbackResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchReportFeedbackResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchReportFeedbackResult, _Mapping[str, object]]]] = ...) -> None: ...

class BatchReportFeedbackResult(_message.Message):
    __slots__ = ("feedback", "error")
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    feedback: ReportFeedbackResponse
    error: _error_pb2.ItemError
    def __init__(self, feedback: _Optional[_Union[ReportFeedbackResponse, _Mapping[str, object]]] = ..., error: _Optional[_Union[_error_pb2.ItemError, _Mapping[str, object]]] = ...) -> None: ...

class StreamFeedbackRequest(_message.Message):
    __slots__ = ("correlation_id", "outcome", "feedback")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    outcome: ReportOutcomeRequest
    feedback: ReportFeedbackRequest
    def __init__(self, correlation_id: _Optional[int] = ..., outcome: _Optional[_Union[ReportOutcomeRequest, _Mapping[str, object]]] = ..., feedback: _Optional[_Union[ReportFeedbackRequest, _Mapping[str, object]]] = ...) -> None: ...

class StreamFeedbackResponse(_message.Message):
    __slots__ = ("correlation_id", "outcome", "feedback", "error")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    outcome: ReportOutcomeResponse
    feedback: ReportFeedbackResponse
    error: _error_pb2.ItemError
    def __init__(self, correlation_id: _Optional[int] = ..., outcome: _Optional[_Union[ReportOutcomeResponse, _Mapping[str, object]]] = ..., feedback: _Optional[_Union[ReportFeedbackResponse, _Mapping[str, object]]] = ..., error: _Optional[_Union[_error_pb2.ItemError, _Mapping[str, object]]] = ...) -> None: ...

class RetractFeedbackRequest(_message.Message):
    __slots__ = ("feedback_id", "comment", "request_id")
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    comment: str
    request_id: str
    def __init__(self, feedback_id: _Optional[str] = ..., comment: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RetractFeedbackResponse(_message.Message):
    __slots__ = ("feedback", "effective_score", "sequence")
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SCORE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    feedback: _feedback_pb2.Feedback
    effective_score: float
    sequence: int
    def __init__(self, feedback: _Optional[_Union[_feedback_pb2.Feedback, _Mapping[str, object]]] = ..., effective_score: _Optional[float] = ..., sequence: _Optional[int] = ...) -> None: ...

class ReviewItem(_message.Message):
    __slots__ = ("review_item_id", "decision_id", "attempt_id", "task_class", "model", "reason", "value_usd", "messages", "answer", "feedback", "claimed_by", "claim_expire_time", "create_time")
    REVIEW_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VALUE_USD_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_BY_FIELD_NUMBER: _ClassVar[int]
    CLAIM_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    review_item_id: str
    decision_id: str
    attempt_id: str
    task_class: str
    model: str
    reason: ReviewReason
    value_usd: float
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    answer: _content_pb2.Message
    feedback: _containers.RepeatedCompositeFieldContainer[_feedback_pb2.Feedback]
    claimed_by: str
    claim_expire_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, review_item_id: _Optional[str] = ..., decision_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., task_class: _Optional[str] = ..., model: _Optional[str] = ..., reason: _Optional[_Union[ReviewReason, str]] = ..., value_usd: _Optional[float] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping[str, object]]]] = ..., answer: _Optional[_Union[_content_pb2.Message, _Mapping[str, object]]] = ..., feedback: _Optional[_Iterable[_Union[_feedback_pb2.Feedback, _Mapping[str, object]]]] = ..., claimed_by: _Optional[str] = ..., claim_expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ...) -> None: ...

class ListReviewItemsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "task_class", "model", "include_claimed")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CLAIMED_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    task_class: str
    model: str
    include_claimed: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., task_class: _Optional[str] = ..., model: _Optional[str] = ..., include_claimed: bool = ...) -> None: ...

class ListReviewItemsResponse(_message.Message):
    __slots__ = ("items", "next_page_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ReviewItem]
    next_page_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[ReviewItem, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ClaimReviewItemRequest(_message.Message):
    __slots__ = ("review_item_id", "rater_id", "lease", "request_id")
    REVIEW_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    RATER_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    review_item_id: str
    rater_id: str
    lease: _duration_pb2.Duration
    request_id: str
    def __init__(self, review_item_id: _Optional[str] = ..., rater_id: _Optional[str] = ..., lease: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ClaimReviewItemResponse(_message.Message):
    __slots__ = ("item", "claim_token")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CLAIM_TOKEN_FIELD_NUMBER: _ClassVar[int]
    item: ReviewItem
    claim_token: str
    def __init__(self, item: _Optional[_Union[ReviewItem, _Mapping[str, object]]] = ..., claim_token: _Optional[str] = ...) -> None: ...

class SubmitReviewRequest(_message.Message):
    __slots__ = ("review_item_id", "claim_token", "score", "thumb", "preference", "skip", "comment", "request_id")
    REVIEW_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THUMB_FIELD_NUMBER: _ClassVar[int]
    PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    review_item_id: str
    claim_token: str
    score: float
    thumb: _feedback_pb2.Thumb
    preference: _feedback_pb2.Preference
    skip: bool
    comment: str
    request_id: str
    def __init__(self, review_item_id: _Optional[str] = ..., claim_token: _Optional[str] = ..., score: _Optional[float] = ..., thumb: _Optional[_Union[_feedback_pb2.Thumb, str]] = ..., preference: _Optional[_Union[_feedback_pb2.Preference, _Mapping[str, object]]] = ..., skip: bool = ..., comment: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SubmitReviewResponse(_message.Message):
    __slots__ = ("feedback",)
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    feedback: ReportFeedbackResponse
    def __init__(self, feedback: _Optional[_Union[ReportFeedbackResponse, _Mapping[str, object]]] = ...) -> None: ...
