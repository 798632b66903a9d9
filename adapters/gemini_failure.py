"""What Gemini's errors mean: `{"error": {"code", "message", "status", "details"}}`, whole or in a stream.

The sentence in `message` may quote the request, so it is never passed on. `status` is a canonical code of gRPC; in a
stream, where no secret is at hand to compare with, it is shown only if it is known here. `details` say by
their `@type` what they are (google.rpc: ErrorInfo, RetryInfo, QuotaFailure).

A quota of a day is told from one of a minute by its `quotaId` alone: the 429 of both says "retry in 22s". That of a day
is renewed at midnight Pacific time, taken here as 08:00 UTC: an hour late in summer, never early.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from naiad.adapters.errors import (
    AuthenticationFailed,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
)
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.failures import failure_of
from naiad.adapters.limits import duration_s
from naiad.adapters.secret import Secret

_BY_STATUS: dict[str, type[ProviderError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "FAILED_PRECONDITION": AuthenticationFailed,  # no billing account, or a country without the free tier
    "OUT_OF_RANGE": InvalidRequest,
    "UNAUTHENTICATED": AuthenticationFailed,
    "PERMISSION_DENIED": AuthenticationFailed,
    "NOT_FOUND": ModelNotFound,
    "RESOURCE_EXHAUSTED": RateLimited,
    "CANCELLED": ServerError,
    "ABORTED": ServerError,
    "DATA_LOSS": ServerError,
    "UNKNOWN": ServerError,
    "INTERNAL": ServerError,
    "UNIMPLEMENTED": InvalidRequest,
    "UNAVAILABLE": Overloaded,
    "DEADLINE_EXCEEDED": ServerError,
}
_KEYS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "ACCESS_TOKEN_EXPIRED"})
_TOO_LONG = re.compile(r"input token count.{0,40}exceeds the maximum", re.IGNORECASE | re.DOTALL)
_LONG_QUOTA = re.compile(r"Per(Day|Month)", re.IGNORECASE)


class GeminiError(msgspec.Struct, frozen=True):
    """The error of a reply; every field may be missing, or be something else."""

    code: Any = None
    message: Any = None
    status: Any = None
    details: Any = None

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The details, those of them that are objects."""
        return [fact for fact in self.details if isinstance(fact, dict)] if isinstance(self.details, list) else []


class _Body(msgspec.Struct, frozen=True):
    error: GeminiError


def failure(reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
    """Return the error of a reply that is no success; now: UTC."""
    error = failure_of(reply, *secrets, now=now)
    said = _error_of(reply.body)
    return error if said is None else _refined(error, said, now)


def error_in_stream(said: GeminiError, asked: Asked) -> ProviderError:
    """Return the error that came in place of a piece of an answer."""
    status = said.status if said.status in tuple(_BY_STATUS) else ""
    kind = _BY_STATUS.get(status, ServerError)
    code = said.code if isinstance(said.code, int) and 400 <= said.code < 600 else None
    message = "an error came in place of the answer" + (f" ({status})" if status else "")
    return _refined(asked.error(kind, message, status=code), said, None)


def _refined(error: ProviderError, said: GeminiError, now: datetime | None) -> ProviderError:
    """Return an error as the body specifies it; now: None where no clock is at hand."""
    kind = _BY_STATUS.get(said.status, type(error)) if isinstance(said.status, str) else type(error)
    if any(isinstance(reason := fact.get("reason"), str) and reason in _KEYS for fact in said.facts):
        kind = AuthenticationFailed
    elif kind is InvalidRequest and isinstance(said.message, str) and _TOO_LONG.search(said.message):
        kind = ContextTooLong
    facts: dict[str, Any] = {
        "provider": error.provider,
        "model": error.model,
        "status": error.status,
        "provider_request_id": error.provider_request_id,
    }
    if kind is RateLimited and _is_long(said):
        spent = QuotaExhausted(f"{error}: the quota of the day is used up", **facts)
        spent.cooldown_s = spent.cooldown_s if now is None else _until_renewal_s(now)
        return spent
    waits = [fact.get("retryDelay") for fact in said.facts]
    stated = [wait for text in waits if isinstance(text, str) and (wait := duration_s(text)) is not None]
    return kind(str(error), **facts, retry_after_s=max(stated, default=error.retry_after_s))


def _is_long(said: GeminiError) -> bool:
    """Return whether a quota of more than minutes is used up."""
    found = [fact.get("violations") for fact in said.facts]
    return any(
        isinstance(one, dict) and isinstance(id := one.get("quotaId"), str) and _LONG_QUOTA.search(id)
        for violations in found
        if isinstance(violations, list)
        for one in violations
    )


def _until_renewal_s(now: datetime) -> float:
    today = now.astimezone(UTC).replace(hour=8, minute=0, second=0, microsecond=0)
    return ((today if now < today else today + timedelta(days=1)) - now).total_seconds()


def _error_of(body: bytes) -> GeminiError | None:
    """Return the error of a body, None where there is none; some come in an array."""
    try:
        found = msgspec.json.decode(body, type=_Body | list[_Body])
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list):
        return found[0].error if found else None
    return found.error
