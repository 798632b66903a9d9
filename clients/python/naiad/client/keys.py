"""API keys, for those who keep them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from naiad.v1 import admin_pb2, admin_service_pb2


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of the API, without its secret."""

    key_id: str
    name: str
    role: str  # "client", "reviewer", "operator", "admin"
    tenant: str
    allowed_models: tuple[str, ...]  # empty: all
    requests_per_minute: int | None  # None takes the server's configuration
    concurrent_calls: int | None
    tokens_per_minute: int | None
    data_class: str  # that its requests have at least; "" says nothing
    create_time: datetime | None
    expire_time: datetime | None  # None: never
    revoke_time: datetime | None
    rotate_time: datetime | None
    last_use_time: datetime | None  # to the minute
    raw: admin_pb2.ApiKey = field(default_factory=admin_pb2.ApiKey, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key with its secret, which is shown this once; "" where the request was a repetition. Its repr hides it."""

    key: Key
    secret: str = field(repr=False)
    raw: admin_service_pb2.CreateKeyResponse = field(
        default_factory=admin_service_pb2.CreateKeyResponse, repr=False, compare=False
    )


@dataclass(frozen=True, kw_only=True)
class RotatedKey:
    """A key with its new secret, and when the old one ends. Its repr hides the secret."""

    key: Key
    secret: str = field(repr=False)
    old_secret_expire_time: datetime | None
    raw: admin_service_pb2.RotateKeyResponse = field(
        default_factory=admin_service_pb2.RotateKeyResponse, repr=False, compare=False
    )
