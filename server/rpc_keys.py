"""The keys of AdminService: requests into the ring's words, and back."""

from __future__ import annotations

import re
from typing import Any

from naiad.adapters.secret import Secret
from naiad.server import render
from naiad.server.authorization import Role
from naiad.server.bounds import MOST_TOKENS
from naiad.server.catalog import Catalog
from naiad.server.convert import (
    LONG,
    duration_s,
    enum_value,
    items,
    model_name,
    number,
    optional_count,
    request_of,
    text,
    text_id,
    time_ms,
)
from naiad.server.credentials import Key
from naiad.server.eligibility import named_by
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError, unknown_model
from naiad.server.governance import Governance
from naiad.server.identity import CALLER
from naiad.server.keyring import KeyRing
from naiad.server.paging import slice_page
from naiad.v1 import admin_pb2, admin_service_pb2

MOST_A_MINUTE, MOST_AT_A_TIME = 1_000_000, 100_000
DAY_S = 86_400.0
LONGEST_GRACE_S = 30 * DAY_S
_LONGEST_REASON = 4_000
_MOST_MODELS = 100  # names and patterns of a key
_PATTERN = re.compile(r"[A-Za-z0-9*][A-Za-z0-9*._:/-]*\Z")


def wanted_key(request: Any, now_ms: int, catalog: Catalog, governance: Governance) -> Key:
    """Return what CreateKey asks for; raises NaiadError."""
    role = enum_value(request.role, admin_pb2.KeyRole, "role")
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
        tokens_per_minute=optional_count(request, "tokens_per_minute", 1, most=MOST_TOKENS),
        models=_models(request.allowed_models, catalog),
        data_class=_data_class(request.data_class, governance),
        expires_ms=expires_ms,
    )  # fmt: skip


def _models(patterns: Any, catalog: Catalog) -> tuple[str, ...]:
    """Return the names and patterns of models that a key permits; raises NaiadError for one that fits no model."""
    for index, pattern in enumerate(items(patterns, "allowed_models", _MOST_MODELS)):
        where = f"allowed_models[{index}]"
        if "*" not in pattern:
            catalog.model(model_name(pattern, where), where)
            continue
        if len(pattern) > LONG or not _PATTERN.match(pattern):
            rule = f"as a model's name, with '*' for any characters, at most {LONG} characters"
            raise NaiadError(
                "INVALID_ID", f"{where} is {pattern[:60]!r} ({len(pattern)} characters); the rule is: {rule}",
                metadata={"value": pattern[:60], "rule": rule}, field=where,
            )  # fmt: skip
        if not any(named_by((pattern,), model.name) for model in catalog.live):
            raise unknown_model(pattern, (model.name for model in catalog.live), where)
    return tuple(dict.fromkeys(patterns))


def _data_class(name: str, governance: Governance) -> str:
    """Return the least data class of a key; raises NaiadError for one that is not configured."""
    text_id(name, "data_class")
    if name and not governance.enforced:
        raise NaiadError(
            "UNKNOWN_DATA_CLASS",
            f"data_class is {name[:64]!r}, and there are no data classes; configure [[data_classes]], or leave it out",
            metadata={"value": name, "nearest": ""}, field="data_class",
        )  # fmt: skip
    governance.check_class(name, "data_class")
    return name


def message_of(key: Key, tenants: dict[int, str]) -> admin_pb2.ApiKey:
    """Return a key without its secret."""
    message = admin_pb2.ApiKey(
        key_id=key.key_id, name=key.name, role=key.role.value, tenant=tenants[key.tenant],  # type: ignore[arg-type]
        requests_per_minute=key.requests_per_minute, concurrent_calls=key.concurrent_calls,
        tokens_per_minute=key.tokens_per_minute, allowed_models=key.models, data_class=key.data_class,
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

    def __init__(self, ring: KeyRing, engine: Engine) -> None:
        self._ring = ring
        self._engine = engine

    def _message(self, key: Key) -> admin_pb2.ApiKey:
        return message_of(key, self._ring.tenants)

    async def create(self, request: Any) -> admin_service_pb2.CreateKeyResponse:
        """Make a key."""
        asked = request_of("AdminService/CreateKey", request)
        governance = self._engine.eligibility.governance
        wanted = wanted_key(request, self._ring.now_ms(), self._engine.catalog, governance)
        key, secret = await self._ring.create(CALLER.get(), wanted, asked)
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
