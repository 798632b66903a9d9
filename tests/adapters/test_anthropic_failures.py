"""Anthropic's errors: by type and code, and the two sentences that have neither."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.errors import (
    AuthenticationFailed,
    Blocked,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
)
from naiad.adapters.secret import Secret
from tests.adapters.peer import KEY
from tests.adapters.talking import NOW, reply


def failed(status: int, error: Any, **headers: str) -> ProviderError:
    """Read an error's reply."""
    body = msgspec.json.encode({"type": "error", "error": error, "request_id": "req_body"})
    return AnthropicMessages().failure(reply(body, status, headers), Secret(KEY), now=NOW)


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "invalid_request_error", InvalidRequest),
        (401, "authentication_error", AuthenticationFailed),
        (402, "billing_error", QuotaExhausted),
        (403, "permission_error", AuthenticationFailed),
        (404, "not_found_error", ModelNotFound),
        (409, "conflict_error", ServerError),
        (413, "request_too_large", InvalidRequest),
        (429, "rate_limit_error", RateLimited),
        (500, "api_error", ServerError),
        (500, "overloaded_error", Overloaded),
        (503, "a_new_error", Overloaded),
        (504, "timeout_error", ServerError),
        (529, "overloaded_error", Overloaded),
        (400, "authentication_error", AuthenticationFailed),
        (400, "exceed_context_size_error", ContextTooLong),
    ],
)
def test_the_type_tells_the_class_and_the_status_where_it_is_not_known(
    status: int, name: str, kind: type[ProviderError]
) -> None:
    error = failed(status, {"type": name, "message": "m"})
    assert type(error) is kind
    assert error.status == status
    assert name in str(error)


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 208310 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
    ],
)
def test_a_prompt_that_does_not_fit_is_told_by_its_sentence_which_is_not_shown(message: str) -> None:
    error = failed(400, {"type": "invalid_request_error", "message": message})
    assert type(error) is ContextTooLong
    assert "00000" not in str(error)
    quoted = failed(400, {"type": "invalid_request_error", "message": f"messages.0: {message}"})
    assert type(quoted) is InvalidRequest, "a prompt that is quoted decides nothing"


def test_an_answer_that_the_content_filter_stopped_is_told_by_its_sentence() -> None:
    message = "Output blocked by content filtering policy"
    assert type(failed(400, {"type": "invalid_request_error", "message": message})) is Blocked
    quoted = failed(400, {"type": "invalid_request_error", "message": f"messages.0: {message}"})
    assert type(quoted) is InvalidRequest, "a prompt that is quoted decides nothing"


@pytest.mark.parametrize("whose", ["", "workspace "])
def test_a_spend_limit_of_ones_own_is_a_quota(whose: str) -> None:
    message = f"You have reached your specified {whose}API usage limits. You will regain access on 2026-12-01."
    error = failed(400, {"type": "invalid_request_error", "message": message})
    assert type(error) is QuotaExhausted
    assert not error.retryable


@pytest.mark.parametrize(
    ("code", "kind"), [("enforced_spend_limit_reached", QuotaExhausted), ("ramp_limit_exceeded", RateLimited)]
)
def test_a_code_tells_money_from_rate(code: str, kind: type[ProviderError]) -> None:
    error = failed(429, {"type": "rate_limit_error", "message": "", "details": {"error_code": code}})
    assert type(error) is kind


def test_facts_come_along() -> None:
    said = {"type": "rate_limit_error", "message": f"the prompt was hello, the key {KEY}"}
    error = failed(429, said, **{"retry-after": "25", "request-id": "req_head"})
    assert (error.retry_after_s, error.provider_request_id) == (25.0, "req_head")
    assert "hello" not in repr(error)
    assert KEY not in repr(error)
    assert failed(429, said).provider_request_id == "req_body"
    assert failed(500, {"type": "overloaded_error"}, **{"retry-after": "2"}).retry_after_s == 2.0
