from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_ROLE_UNSPECIFIED: _ClassVar[KeyRole]
    KEY_ROLE_CLIENT: _ClassVar[KeyRole]
    KEY_ROLE_REVIEWER: _ClassVar[KeyRole]
    KEY_ROLE_OPERATOR: _ClassVar[KeyRole]
    KEY_ROLE_ADMIN: _ClassVar[KeyRole]

class BudgetPeriod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_PERIOD_UNSPECIFIED: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_HOUR: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_DAY: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_WEEK: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_MONTH: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_ONCE: _ClassVar[BudgetPeriod]
KEY_ROLE_UNSPECIFIED: KeyRole
KEY_ROLE_CLIENT: KeyRole
KEY_ROLE_REVIEWER: KeyRole
KEY_ROLE_OPERATOR: KeyRole
KEY_ROLE_ADMIN: KeyRole
BUDGET_PERIOD_UNSPECIFIED: BudgetPeriod
BUDGET_PERIOD_HOUR: BudgetPeriod
BUDGET_PERIOD_DAY: BudgetPeriod
BUDGET_PERIOD_WEEK: BudgetPeriod
BUDGET_PERIOD_MONTH: BudgetPeriod
BUDGET_PERIOD_ONCE: BudgetPeriod

class ApiKey(_message.Message):
    __slots__ = ("key_id", "name", "role", "tenant", "allowed_models", "requests_per_minute", "tokens_per_minute", "create_time", "expire_time", "revoke_time", "last_use_time", "concurrent_calls", "rotate_time", "data_class")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_MODELS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_CALLS_FIELD_NUMBER: _ClassVar[int]
    ROTATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASS_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    name: str
    role: KeyRole
    tenant: str
    allowed_models: _containers.RepeatedScalarFieldContainer[str]
    requests_per_minute: int
    tokens_per_minute: int
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    revoke_time: _timestamp_pb2.Timestamp
    last_use_time: _timestamp_pb2.Timestamp
    concurrent_calls: int
    rotate_time: _timestamp_pb2.Timestamp
    data_class: str
    def __init__(self, key_id: _Optional[str] = ..., name: _Optional[str] = ..., role: _Optional[_Union[KeyRole, str]] = ..., tenant: _Optional[str] = ..., allowed_models: _Optional[_Iterable[str]] = ..., requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., revoke_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., last_use_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., concurrent_calls: _Optional[int] = ..., rotate_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., data_class: _Optional[str] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("budget_id", "name", "workflow", "task_class", "key_id", "limit_nano_usd", "period", "paced", "spent_nano_usd", "reserved_nano_usd", "reset_time", "revision", "create_time", "update_time", "uncertain_nano_usd")
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    PACED_FIELD_NUMBER: _ClassVar[int]
    SPENT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    RESERVED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    RESET_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UNCERTAIN_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    budget_id: str
    name: str
    workflow: str
    task_class: str
    key_id: str
    limit_nano_usd: int
    period: BudgetPeriod
    paced: bool
    spent_nano_usd: int
    reserved_nano_usd: int
    reset_time: _timestamp_pb2.Timestamp
    revision: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    uncertain_nano_usd: int
    def __init__(self, budget_id: _Optional[str] = ..., name: _Optional[str] = ..., workflow: _Optional[str] = ..., task_class: _Optional[str] = ..., key_id: _Optional[str] = ..., limit_nano_usd: _Optional[int] = ..., period: _Optional[_Union[BudgetPeriod, str]] = ..., paced: bool = ..., spent_nano_usd: _Optional[int] = ..., reserved_nano_usd: _Optional[int] = ..., reset_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., revision: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., uncertain_nano_usd: _Optional[int] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("sequence", "create_time", "key_id", "action", "resource", "reason", "succeeded", "facts", "digest")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    create_time: _timestamp_pb2.Timestamp
    key_id: str
    action: str
    resource: str
    reason: str
    succeeded: bool
    facts: _containers.ScalarMap[str, str]
    digest: bytes
    def __init__(self, sequence: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., key_id: _Optional[str] = ..., action: _Optional[str] = ..., resource: _Optional[str] = ..., reason: _Optional[str] = ..., succeeded: bool = ..., facts: _Optional[_Mapping[str, str]] = ..., digest: _Optional[bytes] = ...) -> None: ...
