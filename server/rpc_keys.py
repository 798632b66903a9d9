"""The keys of AdminService: requests into the ring's words, and back."""

from __future__ import annotations

from typing import Any

from naiad.server import render
from naiad.server.authorization import Role
from naiad.server.convert import (
    duration_s,
    enum_value,
    number,
    optional_count,
    request_of,
    text,
    text_id,
    time_ms,
)
from naiad.server.credentials import Key
from naiad.server.errors import NaiadError, not_implemented
from naiad.server.identity import CALLER
from naiad.server.keyring import KeyRing
from naiad.server.paging import slice_page
from naiad.server.secret import Secret
from naiad.v1 import admin_pb2, admin_service_pb2

MOST_A_MINUTE, MOST_AT_A_TIME = 1_000_000, 100_000
DAY_S = 86_400.0
LONGEST_GRACE_S = 30 * DAY_S
_LONGEST_REASON = 4_000


def wanted_key(request: Any, now_ms: int) -> Key:
    """Return what CreateKey asks for; raises NaiadError."""
    role = enum_value(request.role, admin_pb2.KeyRole, "role")
    if request.allowed_models:
        raise not_implemented("a key's allowed_models", "allowed_models")
    if request.HasField("tokens_per_minute"):
        raise not_implemented("a key's tokens_per_minute", "tokens_per_minute")
    expires_ms = time_ms(request, "expire_time")
    if expires_ms is not None and expires_ms <= now_ms:
        raise NaiadError(
            "NUMBER_OUT_OF_RANGE", "expire_time is past; give one that is still to come, or none",
            metadata={"value": expires_ms / 1e3, "minimum": now_ms / 1e3}, field="expire_time",
        )  # fmt: skip
    return Key(
        key_id="", tenant=0, secret_hash=b"", created_ms=0,
        name=text_id(request.name, "name", required=True),
        role=Role(role),
        requests_per_minute=optional_count(request, "requests_per_minute", 1, most=MOST_A_MINUTE),
        concurrent_calls=optional_count(request, "concurrent_calls", 1, most=MOST_AT_A_TIME),
        expires_ms=expires_ms,
    )  # fmt: skip


def message_of(key: Key, tenants: dict[int, str]) -> admin_pb2.ApiKey:
    """Return a key without its secret."""
    message = admin_pb2.ApiKey(
        key_id=key.key_id, name=key.name, role=key.role.value, tenant=tenants[key.tenant],  # type: ignore[arg-type]
        requests_per_minute=key.requests_per_minute, concurrent_calls=key.concurrent_calls,
    )  # fmt: skip
    for field, at_ms in (
        ("create_time", key.created_ms), ("expire_time", key.expires_ms), ("revoke_time", key.revoked_ms),
        ("rotate_time", key.rotated_ms), ("last_use_time", key.used_ms),
    ):  # fmt: skip
        if at_ms is not None:
            getattr(message, field).CopyFrom(render.timestamp(at_ms))
    return message


class Keys:
    """What the key RPCs do, for the tenant of whoever calls."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def _message(self, key: Key) -> admin_pb2.ApiKey:
        return message_of(key, self._ring.tenants)

    async def create(self, request: Any) -> admin_service_pb2.CreateKeyResponse:
        """Make a key."""
        asked = request_of("AdminService/CreateKey", request)
        key, secret = await self._ring.create(CALLER.get(), wanted_key(request, self._ring.now_ms()), asked)
        return admin_service_pb2.CreateKeyResponse(key=self._message(key), secret=_shown(secret))

    def list(self, request: Any) -> admin_service_pb2.ListKeysResponse:
        """List the keys of the caller's tenant."""
        tenant = CALLER.get().tenant
        keys, following = slice_page(
            self._ring.listed(tenant, ended=request.include_ended),
            request.page_size, request.page_token, "keys", tenant, request.include_ended,
        )  # fmt: skip
        return admin_service_pb2.ListKeysResponse(keys=[self._message(k) for k in keys], next_page_token=following)

    async def rotate(self, request: Any) -> admin_service_pb2.RotateKeyResponse:
        """Give a key a new secret."""
        key_id = text_id(request.key_id, "key_id", required=True)
        grace_s = duration_s(request, "grace")
        grace_s = DAY_S if grace_s is None else number(grace_s, "grace", 0.0, LONGEST_GRACE_S)
        asked = request_of("AdminService/RotateKey", request)
        key, secret = await self._ring.rotate(CALLER.get(), key_id, round(grace_s * 1e3), asked)
        return admin_service_pb2.RotateKeyResponse(
            key=self._message(key),
            secret=_shown(secret),
            old_secret_expire_time=render.timestamp(key.old_expires_ms or 0),
        )

    async def revoke(self, request: Any) -> admin_service_pb2.RevokeKeyResponse:
        """End a key."""
        key_id = text_id(request.key_id, "key_id", required=True)
        reason = text(request.reason, "reason", _LONGEST_REASON)
        asked = request_of("AdminService/RevokeKey", request)
        key = await self._ring.revoke(CALLER.get(), key_id, reason, asked)
        return admin_service_pb2.RevokeKeyResponse(key=self._message(key))


def _shown(secret: Secret | None) -> str:
    """Return a secret for the one reply that shows it."""
    return "" if secret is None else secret.reveal()
