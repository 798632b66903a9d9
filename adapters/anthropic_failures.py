"""Anthropic's errors in the terms of the error tree: by `error.type` and `details.error_code`, which it documents.

Three cases have neither and are told by the fixed beginning of their sentence alone, which is compared and never shown:
a prompt that does not fit the window, a spend limit of the organisation or workspace, and an answer that the content
filter stopped. All are plain `invalid_request_error`s of status 400 otherwise.

https://platform.claude.com/docs/en/api/errors, https://platform.claude.com/docs/en/api/rate-limits
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from naiad.adapters.errors import (
    AuthenticationFailed,
    Blocked,
    ContextTooLong,
    InvalidRequest,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
)
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.failures import failure_of, recast, shown_id
from naiad.adapters.secret import Secret

BY_TYPE: Mapping[str, type[ProviderError]] = {
    "invalid_request_error": InvalidRequest,
    "authentication_error": AuthenticationFailed,
    "billing_error": QuotaExhausted,
    "permission_error": AuthenticationFailed,
    "not_found_error": ModelNotFound,
    "request_too_large": InvalidRequest,
    "rate_limit_error": RateLimited,
    "api_error": ServerError,
    "timeout_error": ServerError,
    "overloaded_error": Overloaded,
    "exceed_context_size_error": ContextTooLong,  # llama-server
}
SPENT = (
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "linked_organization_spend_limit_reached",
)
"""`details.error_code` where money is used up, not the rate."""

_TOO_LONG = re.compile(
    r"prompt is too long: \d+ tokens > \d+ maximum"
    r"|input length and `max_tokens` exceed context limit: \d+ \+ \d+ > \d+"
)
_LIMIT_SET = re.compile(r"You have reached your specified (?:workspace )?API usage limits")
_BLOCKED = re.compile(r"Output blocked by content filtering policy")


def failure(reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
    """Return the error of a reply that is no success, as `WireFormat.failure` says."""
    error = failure_of(reply, *secrets, now=now)
    try:
        body = reply.json()
    except MalformedAnswer:
        return error
    if not isinstance(body, dict):
        return error
    if not error.provider_request_id:
        error.provider_request_id = shown_id(body.get("request_id"), *secrets)
    kind = _kind(body.get("error"))
    return error if kind is None or isinstance(error, kind) else recast(error, kind)


def error_in(said: Any, asked: Asked) -> ProviderError:
    """Return the error that a reply of status 200 holds, e.g. in the midst of a stream; said: its `error`."""
    name = said.get("type") if isinstance(said, dict) else None
    known = f" ({name})" if isinstance(name, str) and name in BY_TYPE else ""
    return asked.error(_kind(said) or ServerError, f"the reply broke off with an error{known}", status=200)


def _kind(said: Any) -> type[ProviderError] | None:
    """Return the class for the `error` of a body, None where nothing in it is known."""
    if not isinstance(said, dict):
        return None
    details, name, message = said.get("details"), said.get("type"), said.get("message")
    if isinstance(details, dict) and details.get("error_code") in SPENT:
        return QuotaExhausted
    if name == "invalid_request_error" and isinstance(message, str):
        if _TOO_LONG.match(message):
            return ContextTooLong
        if _LIMIT_SET.match(message):
            return QuotaExhausted
        if _BLOCKED.match(message):
            return Blocked
    return BY_TYPE.get(name) if isinstance(name, str) else None
