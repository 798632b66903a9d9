"""What an HTTP status says, in the terms of the error tree; an adapter refines it by what its provider documents.

A provider's error text may quote the prompt or the key, so messages take over nothing but the status and short
identifiers (`code`, `type`, `status`) from where providers put them.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

from naiad.adapters.errors import (
    AuthenticationFailed,
    InvalidRequest,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
)
from naiad.adapters.exchange import Reply
from naiad.adapters.limits import retry_after_s
from naiad.adapters.secret import Secret, scrub

ERROR_BYTES = 65_536
"""The most of an error's body that is worth reading."""

_EXCERPT = 500  # characters
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,63}")
_BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: AuthenticationFailed,
    404: ModelNotFound,
    408: ServerError,
    410: ModelNotFound,
    425: Overloaded,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}
_REQUEST_IDS = ("request-id", "x-request-id", "x-amzn-requestid", "apim-request-id", "cf-ray")


def failure_of(reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
    """Return the error for a reply that is no success.

    now: UTC, for a Retry-After that is a date. secrets: what must not be in the message.
    """
    status = reply.status
    codes = ", ".join(codes_of(reply, *secrets))
    message = f"status {status}" + (f" ({codes})" if codes else "")
    if 300 <= status < 400:
        message = f"status {status}: redirects are not followed; let base_url of the endpoint be the final address"
    return reply.asked.error(
        kind_of_status(status),
        message,
        status=status,
        retry_after_s=retry_after_s(reply.headers, now),
        provider_request_id=request_id_of(reply, *secrets),
    )


def kind_of_status(status: int) -> type[ProviderError]:
    """Return what a status means where nothing more is known."""
    return _BY_STATUS.get(status) or (
        InvalidRequest if 400 <= status < 500 else ServerError if status >= 500 else MalformedAnswer
    )


def recast(error: ProviderError, kind: type[ProviderError]) -> ProviderError:
    """Return an error with the same facts as another class, for what a provider's own codes tell beyond the status."""
    return kind(
        str(error),
        provider=error.provider,
        model=error.model,
        status=error.status,
        retry_after_s=error.retry_after_s,
        provider_request_id=error.provider_request_id,
    )


def codes_of(reply: Reply, *secrets: Secret) -> tuple[str, ...]:
    """Return the identifiers by which a provider names an error, e.g. ("invalid_request_error", "model_not_found")."""
    try:
        body: Any = msgspec.json.decode(reply.body)
    except (ValueError, RecursionError):
        return ()
    found: dict[str, None] = {}
    for part in (body, body.get("error") if isinstance(body, dict) else None):
        if isinstance(part, str):
            continue  # a sentence
        for key in ("type", "code", "status"):
            value = part.get(key) if isinstance(part, dict) else None
            if isinstance(value, str) and _IDENTIFIER.fullmatch(value) and scrub(value, *secrets) == value:
                found[value] = None
    return tuple(found)


def excerpt_of(reply: Reply, *secrets: Secret) -> str:
    """Return the beginning of a body without the secrets, for an adapter to look at. It may quote the prompt."""
    return scrub(reply.body[: _EXCERPT * 4].decode("utf-8", "replace")[:_EXCERPT], *secrets)


def request_id_of(reply: Reply, *secrets: Secret) -> str:
    """Return the id that the provider gave the call, "" if it gave none that can be shown."""
    for name in _REQUEST_IDS:
        if value := shown_id(reply.headers.get(name), *secrets):
            return value
    return ""


def shown_id(value: Any, *secrets: Secret) -> str:
    """Return an id from outside if it can be shown, else ""."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.:/+=-]{1,128}", value):
        return ""
    return value if scrub(value, *secrets) == value else ""
