"""What went wrong, by the codes that the vendors of this format document.

https://platform.openai.com/docs/guides/error-codes, https://console.groq.com/docs/errors,
https://openrouter.ai/docs/api-reference/errors, https://docs.mistral.ai/api. An error may come with its status, in the
body of a reply of status 200 (OpenRouter), or in the midst of a stream. Nothing of its text is taken over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

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
from naiad.adapters.failures import failure_of, kind_of_status, recast, request_id_of
from naiad.adapters.secret import Secret, scrub

_BY_CODE: Mapping[str, type[ProviderError]] = {
    "context_length_exceeded": ContextTooLong,
    "exceed_context_size_error": ContextTooLong,  # llama-server
    "content_filter": Blocked,  # Azure
    "ResponsibleAIPolicyViolation": Blocked,
    "content_policy_violation": Blocked,
    "invalid_prompt": Blocked,  # OpenAI, of prompts to models that reason
    "data_inspection_failed": Blocked,  # Alibaba
    "insufficient_quota": QuotaExhausted,
    "billing_hard_limit_reached": QuotaExhausted,
    "billing_not_active": QuotaExhausted,
    "model_not_found": ModelNotFound,
    "model_not_available": ModelNotFound,
    "model_decommissioned": ModelNotFound,  # Groq
    "invalid_model": ModelNotFound,  # Mistral
    "invalid_api_key": AuthenticationFailed,
    "account_deactivated": AuthenticationFailed,
    "rate_limit_exceeded": RateLimited,
    "rate_limited": RateLimited,  # Mistral
    "tool_use_failed": MalformedAnswer,  # Groq: the model's tool call is none; another may do better
    "json_validate_failed": MalformedAnswer,  # Groq: nor is its JSON what the schema says
}
"""Codes that say more than the status."""

_BY_TYPE: Mapping[str, type[ProviderError]] = {
    "invalid_request_error": InvalidRequest,
    "BadRequestError": InvalidRequest,  # vLLM
    "authentication_error": AuthenticationFailed,
    "permission_error": AuthenticationFailed,
    "not_found_error": ModelNotFound,
    "rate_limit_error": RateLimited,
    "overloaded_error": Overloaded,
    "service_unavailable": Overloaded,
    "unavailable_error": Overloaded,  # llama-server while it loads
}
"""Types that stand for a status where there is none."""

_OVERFLOW = re.compile(
    r"maximum context length|exceeds? the (?:available |maximum )?context|context (?:length|window|size) exceeded"
    r"|too large for model with \d+ maximum context",
    re.IGNORECASE,
)
"""Some vendors (vLLM, OpenRouter, Mistral) say only in words that a prompt is too long: these."""

_PARAM = re.compile(r"[a-z_]{1,40}(?:\[\d{1,6}\]|\.\d{1,6}|\.[a-z_]{1,40}){0,8}")


@dataclass(frozen=True, slots=True)
class _Said:
    """What an error's body says."""

    codes: tuple[str, ...] = ()
    status: int | None = None  # given in place of a code
    param: str = ""
    overflow: bool = False
    flagged: bool = False  # by moderation


def failure(reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
    """Return the error of a reply whose status is not 200; now: UTC."""
    error = failure_of(reply, *secrets, now=now)
    said = _read(_json(reply.body))
    kind = next((_BY_CODE[code] for code in said.codes if code in _BY_CODE), type(error))
    if reply.status == 413 and kind is RateLimited:
        kind = InvalidRequest  # Groq: larger than what a minute allows, so it never fits
    if reply.status in (400, 413, 422) and said.overflow:
        kind = ContextTooLong
    if reply.status == 403 and said.flagged:
        kind = Blocked  # OpenRouter: the prompt, not the key
    if kind is not type(error) and reply.status < 500:
        error = recast(error, kind)
    if isinstance(error, InvalidRequest) and said.param and scrub(said.param, *secrets) == said.param:
        error.args = (f"{error}: it does not take {said.param} as it is",)
    return error


def error_within(said: Any, asked: Asked, headers: Mapping[str, str]) -> ProviderError:
    """Return the error that stands in a body, or in the event of a stream, although the status was 200."""
    found = _read({"error": said})
    known = [code for code in found.codes if code in _BY_CODE or code in _BY_TYPE]
    kind = next((_BY_CODE[code] for code in known if code in _BY_CODE), None)
    if kind is None and found.overflow:
        kind = ContextTooLong
    if kind is None and found.status is not None:
        kind = Blocked if found.flagged else kind_of_status(found.status)
    if kind is None:
        kind = next((_BY_TYPE[code] for code in known), ServerError)
    facts = ", ".join([*([f"status {found.status}"] if found.status else []), *dict.fromkeys(known)])
    return asked.error(
        kind,
        "the reply turned into an error" + (f" ({facts})" if facts else ""),
        status=found.status or 200,
        provider_request_id=request_id_of(Reply(asked, 200, headers, b"")),
    )


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def _read(body: Any) -> _Said:
    """Read `{"error": {...}}`, and what vLLM and Mistral put at the top."""
    inner = body.get("error") if isinstance(body, dict) else None
    codes: list[str] = []
    status, param, words, flagged = None, "", "", False
    for part in (inner, body):
        if not isinstance(part, dict):
            continue
        for key in ("code", "type"):
            value = part.get(key)
            if isinstance(value, str):
                codes.append(value)
            elif isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599 and status is None:
                status = value
        message, named, more = part.get("message"), part.get("param"), part.get("metadata")
        words = words or (message if isinstance(message, str) else "")
        param = param or (named if isinstance(named, str) and _PARAM.fullmatch(named) else "")
        flagged = flagged or (isinstance(more, dict) and "flagged_input" in more)
    words = words or (inner if isinstance(inner, str) else "")
    param = param or _place(body.get("detail") if isinstance(body, dict) else None)
    return _Said(tuple(codes), status, param, bool(_OVERFLOW.search(words[:2_000])), flagged)


def _place(detail: Any) -> str:
    """Return the first place that a 422 of Mistral (FastAPI's form) finds fault with, e.g. "messages.0.content"."""
    first = detail[0] if isinstance(detail, list) and detail else None
    loc = first.get("loc") if isinstance(first, dict) else None
    if not isinstance(loc, list):
        return ""
    place = ".".join(str(step) for step in (loc[1:] if loc[:1] == ["body"] else loc)[:8])
    return place if _PARAM.fullmatch(place) else ""
