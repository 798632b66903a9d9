"""Keeping API keys, which needs an admin's key.

`request_id` repeats a change without doing it twice (None makes a new id); all raise NaiadError.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from naiad.client.calls import Call, Listing, Page, Timeouts, call, new_id
from naiad.client.convert import read, write
from naiad.client.keys import Key, NewKey, RotatedKey
from naiad.v1 import admin_service_pb2 as api


def create_key(
    name: str,
    *,
    role: str = "client",
    requests_per_minute: int | None = None,
    concurrent_calls: int | None = None,
    tokens_per_minute: int | None = None,
    allowed_models: Sequence[str] = (),
    data_class: str = "",
    expire_time: datetime | None = None,
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Call[NewKey]:
    """Make a key of one's own tenant. Its secret is in the result, and nowhere else.

    allowed_models: names of models, or patterns with "*"; empty permits all. data_class: the least of its requests.
    """
    if isinstance(allowed_models, str):
        raise TypeError("allowed_models is a sequence of names; give a list or tuple")
    request = api.CreateKeyRequest(
        name=name, request_id=_id(request_id), allowed_models=allowed_models, data_class=data_class
    )
    limits = {
        "requests_per_minute": requests_per_minute, "concurrent_calls": concurrent_calls,
        "tokens_per_minute": tokens_per_minute,
    }  # fmt: skip
    write(None, request, {"role": role, "expire_time": expire_time, **limits})
    return call("AdminService/CreateKey", request, api.CreateKeyResponse, _new, _admin_s, timeout_s)


def list_keys(*, include_ended: bool = False, page_size: int = 0, timeout_s: float | None = None) -> Listing[Key]:
    """Iterate over the keys of one's own tenant by id."""

    def page(token: str) -> Call[Page[Key]]:
        request = api.ListKeysRequest(page_size=page_size, page_token=token, include_ended=include_ended)
        return call("AdminService/ListKeys", request, api.ListKeysResponse, _keys, _admin_s, timeout_s)

    return Listing(page)


def rotate_key(
    key_id: str, *, grace_s: float | None = None, request_id: str | None = None, timeout_s: float | None = None
) -> Call[RotatedKey]:
    """Give a key a new secret; the old one holds for grace_s seconds, None for a day."""
    request = api.RotateKeyRequest(key_id=key_id, request_id=_id(request_id))
    write(None, request, {"grace_s": grace_s})
    return call("AdminService/RotateKey", request, api.RotateKeyResponse, _rotated, _admin_s, timeout_s)


def revoke_key(
    key_id: str, *, reason: str = "", request_id: str | None = None, timeout_s: float | None = None
) -> Call[Key]:
    """End a key at once, with the streams that it opened."""
    request = api.RevokeKeyRequest(key_id=key_id, reason=reason, request_id=_id(request_id))
    return call("AdminService/RevokeKey", request, api.RevokeKeyResponse, _revoked, _admin_s, timeout_s)


def _id(request_id: str | None) -> str:
    return new_id() if request_id is None else request_id


def _new(reply: api.CreateKeyResponse) -> NewKey:
    return read(NewKey, reply)


def _rotated(reply: api.RotateKeyResponse) -> RotatedKey:
    return read(RotatedKey, reply)


def _revoked(reply: api.RevokeKeyResponse) -> Key:
    return read(Key, reply.key)


def _keys(reply: api.ListKeysResponse) -> Page[Key]:
    return Page(tuple(read(Key, key) for key in reply.keys), reply.next_page_token)


def _admin_s(timeouts: Timeouts) -> float:
    return timeouts.catalog_s
