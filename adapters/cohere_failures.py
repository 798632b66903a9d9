"""Cohere's errors in the terms of the error tree. Its bodies are `{"id", "message"}`: the status tells nearly all.

Two cases share a status with others and are known by the fixed beginning of their sentence alone, which is compared and
never shown: a prompt that is too long, and the calls of a month that a trial key has. Its limits by the minute are
plain rate limits, and no header tells the two apart.

https://docs.cohere.com/reference/errors, https://docs.cohere.com/docs/rate-limits
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from naiad.adapters.errors import (
    Blocked,
    ContextTooLong,
    InvalidRequest,
    MalformedAnswer,
    ProviderError,
    QuotaExhausted,
    ServerError,
)
from naiad.adapters.exchange import Reply
from naiad.adapters.failures import failure_of, recast, shown_id
from naiad.adapters.secret import Secret

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    498: Blocked,  # what was said or written is blocked
    499: ServerError,  # Cohere thinks that we hung up
    501: InvalidRequest,  # this model cannot do it
}
_TOO_LONG = re.compile(
    r"too many tokens: (?:total number of tokens in the prompt cannot exceed|size limit exceeded by)"
)
_MONTH = re.compile(r"You are using a Trial key, which is limited to \d+ API calls / month")


def failure(reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
    """Return the error of a reply that is no success, as `WireFormat.failure` says."""
    error = failure_of(reply, *secrets, now=now)
    try:
        body = reply.json()
    except MalformedAnswer:
        body = None
    said = body.get("message") if isinstance(body, dict) else None
    if isinstance(body, dict):
        error.provider_request_id = error.provider_request_id or shown_id(body.get("id"), *secrets)
    kind = _kind(reply, said if isinstance(said, str) else "")
    return error if kind is None else recast(error, kind)


def _kind(reply: Reply, message: str) -> type[ProviderError] | None:
    if reply.status == 400 and _TOO_LONG.match(message):
        return ContextTooLong
    if reply.status == 429 and _MONTH.match(message):
        return QuotaExhausted
    return _BY_STATUS.get(reply.status)
