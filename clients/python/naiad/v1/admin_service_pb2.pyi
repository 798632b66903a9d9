from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from naiad.v1 import admin_pb2 as _admin_pb2
from naiad.v1 import feedback_pb2 as _feedback_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateKeyRequest(_message.Message):
    __slots__ = ("name", "role", "allowed_models", "requests_per_minute", "tokens_per_minute", "expire_time", "request_id", "concurrent_calls", "data_class")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_MODELS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_CALLS_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: _admin_pb2.KeyRole
    allowed_models: _containers.RepeatedScalarFieldContainer[str]
    requests_per_minute: int
    tokens_per_minute: int
    expire_time: _timestamp_pb2.Timestamp
    request_id: str
    concurrent_calls: int
    data_class: str
    def __init__(self, name: _Optional[str] = ..., role: _Optional[_Union[_admin_pb2.KeyRole, str]] = ..., allowed_models: _Optional[_Iterable[str]] = ..., requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ..., concurrent_calls: _Optional[int] = ..., data_class: _Optional[str] = ...) -> None: ...

class CreateKeyResponse(_message.Message):
    __slots__ = ("key", "secret")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    key: _admin_pb2.ApiKey
    secret: str
    def __init__(self, key: _Optional[_Union[_admin_pb2.ApiKey, _Mapping[str, object]]] = ..., secret: _Optional[str] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "include_ended")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ENDED_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    include_ended: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_ended: bool = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys", "next_page_token")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[_admin_pb2.ApiKey]
    next_page_token: str
    def __init__(self, keys: _Optional[_Iterable[_Union[_admin_pb2.ApiKey, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RotateKeyRequest(_message.Message):
    __slots__ = ("key_id", "grace", "request_id")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    grace: _duration_pb2.Duration
    request_id: str
    def __init__(self, key_id: _Optional[str] = ..., grace: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RotateKeyResponse(_message.Message):
    __slots__ = ("key", "secret", "old_secret_expire_time")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    OLD_SECRET_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    key: _admin_pb2.ApiKey
    secret: str
    old_secret_expire_time: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[_Union[_admin_pb2.ApiKey, _Mapping[str, object]]] = ..., secret: _Optional[str] = ..., old_secret_expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ...) -> None: ...

class RevokeKeyRequest(_message.Message):
    __slots__ = ("key_id", "reason", "request_id")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    reason: str
    request_id: str
    def __init__(self, key_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RevokeKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _admin_pb2.ApiKey
    def __init__(self, key: _Optional[_Union[_admin_pb2.ApiKey, _Mapping[str, object]]] = ...) -> None: ...

class CreateBudgetRequest(_message.Message):
    __slots__ = ("budget", "request_id")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    budget: _admin_pb2.Budget
    request_id: str
    def __init__(self, budget: _Optional[_Union[_admin_pb2.Budget, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateBudgetResponse(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: _admin_pb2.Budget
    def __init__(self, budget: _Optional[_Union[_admin_pb2.Budget, _Mapping[str, object]]] = ...) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ("budget_id",)
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    budget_id: str
    def __init__(self, budget_id: _Optional[str] = ...) -> None: ...

class GetBudgetResponse(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: _admin_pb2.Budget
    def __init__(self, budget: _Optional[_Union[_admin_pb2.Budget, _Mapping[str, object]]] = ...) -> None: ...

class ListBudgetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBudgetsResponse(_message.Message):
    __slots__ = ("budgets", "next_page_token")
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[_admin_pb2.Budget]
    next_page_token: str
    def __init__(self, budgets: _Optional[_Iterable[_Union[_admin_pb2.Budget, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateBudgetRequest(_message.Message):
    __slots__ = ("budget", "update_mask", "request_id")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    budget: _admin_pb2.Budget
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, budget: _Optional[_Union[_admin_pb2.Budget, _Mapping[str, object]]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping[str, object]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateBudgetResponse(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: _admin_pb2.Budget
    def __init__(self, budget: _Optional[_Union[_admin_pb2.Budget, _Mapping[str, object]]] = ...) -> None: ...

class DeleteBudgetRequest(_message.Message):
    __slots__ = ("budget_id", "revision", "request_id")
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    budget_id: str
    revision: int
    request_id: str
    def __init__(self, budget_id: _Optional[str] = ..., revision: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteBudgetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeSourceRequest(_message.Message):
    __slots__ = ("source", "rater_id", "start_time", "end_time", "dry_run", "reason", "request_id")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RATER_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    source: _feedback_pb2.FeedbackSource
    rater_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    dry_run: bool
    reason: str
    request_id: str
    def __init__(self, source: _Optional[_Union[_feedback_pb2.FeedbackSource, str]] = ..., rater_id: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., dry_run: bool = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RevokeSourceResponse(_message.Message):
    __slots__ = ("feedback_revoked", "scores_changed", "arms_changed", "sequence")
    FEEDBACK_REVOKED_FIELD_NUMBER: _ClassVar[int]
    SCORES_CHANGED_FIELD_NUMBER: _ClassVar[int]
    ARMS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    feedback_revoked: int
    scores_changed: int
    arms_changed: int
    sequence: int
    def __init__(self, feedback_revoked: _Optional[int] = ..., scores_changed: _Optional[int] = ..., arms_changed: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class ListAuditEventsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "start_time", "end_time", "key_id", "action")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    key_id: str
    action: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., key_id: _Optional[str] = ..., action: _Optional[str] = ...) -> None: ...

class ListAuditEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_admin_pb2.AuditEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[_admin_pb2.AuditEvent, _Mapping[str, object]]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class VerifyAuditRequest(_message.Message):
    __slots__ = ("known_digest",)
    KNOWN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    known_digest: bytes
    def __init__(self, known_digest: _Optional[bytes] = ...) -> None: ...

class VerifyAuditResponse(_message.Message):
    __slots__ = ("intact", "events_checked", "first_broken_sequence", "last_digest")
    INTACT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_CHECKED_FIELD_NUMBER: _ClassVar[int]
    FIRST_BROKEN_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    intact: bool
    events_checked: int
    first_broken_sequence: int
    last_digest: bytes
    def __init__(self, intact: bool = ..., events_checked: _Optional[int] = ..., first_broken_sequence: _Optional[int] = ..., last_digest: _Optional[bytes] = ...) -> None: ...

class CreateBackupRequest(_message.Message):
    __slots__ = ("name", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateBackupResponse(_message.Message):
    __slots__ = ("name", "size_bytes", "sha256", "sequence", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    sha256: bytes
    sequence: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ..., sequence: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ...) -> None: ...

class VerifyLogRequest(_message.Message):
    __slots__ = ("until_sequence",)
    UNTIL_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    until_sequence: int
    def __init__(self, until_sequence: _Optional[int] = ...) -> None: ...

class VerifyLogResponse(_message.Message):
    __slots__ = ("events_folded", "sequence", "live_statistics_digest", "replayed_statistics_digest", "live_beliefs_digest", "replayed_beliefs_digest", "statistics_equal", "beliefs_equal", "elapsed", "live_budgets_digest", "replayed_budgets_digest", "budgets_equal")
    EVENTS_FOLDED_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIVE_STATISTICS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_STATISTICS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LIVE_BELIEFS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_BELIEFS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_EQUAL_FIELD_NUMBER: _ClassVar[int]
    BELIEFS_EQUAL_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    LIVE_BUDGETS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_BUDGETS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_EQUAL_FIELD_NUMBER: _ClassVar[int]
    events_folded: int
    sequence: int
    live_statistics_digest: bytes
    replayed_statistics_digest: bytes
    live_beliefs_digest: bytes
    replayed_beliefs_digest: bytes
    statistics_equal: bool
    beliefs_equal: bool
    elapsed: _duration_pb2.Duration
    live_budgets_digest: bytes
    replayed_budgets_digest: bytes
    budgets_equal: bool
    def __init__(self, events_folded: _Optional[int] = ..., sequence: _Optional[int] = ..., live_statistics_digest: _Optional[bytes] = ..., replayed_statistics_digest: _Optional[bytes] = ..., live_beliefs_digest: _Optional[bytes] = ..., replayed_beliefs_digest: _Optional[bytes] = ..., statistics_equal: bool = ..., beliefs_equal: bool = ..., elapsed: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, object]]] = ..., live_budgets_digest: _Optional[bytes] = ..., replayed_budgets_digest: _Optional[bytes] = ..., budgets_equal: bool = ...) -> None: ...
