"""Statuses and codes of the vendors that speak OpenAI's chat format, and their lists of models."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

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
from naiad.adapters.listing import JSON_SCHEMA, TOOLS, VISION, ListedModel
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.profiles import OPENAI_CHAT
from naiad.adapters.secret import Secret
from tests.adapters.peer import KEY
from tests.adapters.talking import NOW, failure, reply
from tests.adapters.test_openai_request import spoken

WIRE = OpenAIChat()
FIXTURES = Path(__file__).parent / "fixtures" / "openai"


def coded(code: Any, kind: Any = "invalid_request_error", **more: Any) -> bytes:
    """Return an error's body."""
    error = {"message": "SECRET words of the prompt", "type": kind, "param": None, "code": code, **more}
    return msgspec.json.encode({"error": error})


CASES = [
    (400, coded("context_length_exceeded"), ContextTooLong),
    (400, coded(400, "exceed_context_size_error", n_ctx=4096), ContextTooLong),
    (400, coded(400, "BadRequestError", message="The model's maximum context length is 9. SECRET"), ContextTooLong),
    (400, b'{"object":"error","message":"Prompt contains 9 tokens, too large for model with 8 maximum context length",'
          b'"type":"invalid_request_error","code":"3051"}', ContextTooLong),
    (500, coded(None, message="maximum context length"), ServerError),
    (400, coded("unsupported_value"), InvalidRequest),
    (400, coded("model_decommissioned"), ModelNotFound),
    (400, coded("tool_use_failed", failed_generation="SECRET"), MalformedAnswer),
    (400, b'{"object":"error","message":"Invalid model: SECRET","type":"invalid_model","code":"1500"}', ModelNotFound),
    (400, coded("invalid_api_key"), AuthenticationFailed),
    (401, coded("invalid_api_key"), AuthenticationFailed),
    (401, b'{"detail":"Unauthorized"}', AuthenticationFailed),
    (402, coded(402), QuotaExhausted),
    (403, coded(403), AuthenticationFailed),
    (403, coded(403, metadata={"reasons": ["x"], "flagged_input": "SECRET"}), Blocked),
    (404, coded("model_not_found"), ModelNotFound),
    (404, b"<html>SECRET</html>", ModelNotFound),
    (413, coded("rate_limit_exceeded", "tokens"), InvalidRequest),
    (422, b'{"detail":[{"type":"missing","loc":["body","messages",0,"content"],"msg":"SECRET","input":"SECRET"}]}',
     InvalidRequest),
    (429, coded("rate_limit_exceeded", "requests"), RateLimited),
    (429, coded("insufficient_quota", "insufficient_quota"), QuotaExhausted),
    (429, b'{"object":"error","message":"Rate limit exceeded","type":"rate_limited","code":"1300"}', RateLimited),
    (500, coded(None, "server_error"), ServerError),
    (502, coded("model_not_found"), ServerError),
    (503, coded(503, "unavailable_error"), Overloaded),
    (529, b"", Overloaded),
    (400, coded("content_filter", status=400, innererror={"code": "ResponsibleAIPolicyViolation"}), Blocked),
    (400, coded("content_policy_violation"), Blocked),
    (400, coded("invalid_prompt"), Blocked),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), CASES)
def test_errors_have_their_type_and_facts_and_not_the_text(status: int, body: bytes, kind: type[ProviderError]) -> None:
    found = failure(WIRE, status, body, {"retry-after": "7", "x-request-id": "r-1"})
    assert type(found) is kind
    assert (found.status, found.retry_after_s, found.provider_request_id) == (status, 7.0, "r-1")
    assert "SECRET" not in repr(found)
    assert str(found).startswith(f"status {status}")


def test_what_the_vendor_finds_fault_with_is_named() -> None:
    found = failure(WIRE, 400, coded("unsupported_value", param="messages[0].role"))
    assert str(found) == (
        "status 400 (invalid_request_error, unsupported_value): it does not take messages[0].role as it is"
    )
    assert "messages.0.content" in str(failure(WIRE, *CASES[18][:2]))
    for odd in ("SECRET words", "A" * 50, 7, "x" * 900):
        assert "take" not in str(failure(WIRE, 400, coded("unsupported_value", param=odd)))


def test_a_key_in_a_code_or_a_name_is_not_shown() -> None:
    key = Secret("sk_canary_key_of_many_letters")
    body = coded(key.reveal(), param=key.reveal())
    assert "canary" in str(WIRE.failure(reply(body, 400), now=NOW)), "else this test shows nothing"
    assert "canary" not in repr(WIRE.failure(reply(body, 400), key, now=NOW))
    assert KEY not in repr(WIRE.failure(reply(coded(KEY), 401), Secret(KEY), now=NOW))


# --- models ---


def listed(name: str, wire: OpenAIChat = WIRE) -> dict[str, ListedModel]:
    """Return the models of a fixture by name."""
    models, page = wire.listed(reply((FIXTURES / name).read_bytes()), "")
    assert page == ""
    return {model.name: model for model in models}


def test_a_list_of_names() -> None:
    found = listed("models.json", spoken("openai"))
    assert list(found) == ["some-model", "ft:some-model:team::Ab1"], "no embeddings, and none of another API"
    assert found["some-model"] == ListedModel("some-model", deprecated_at=datetime(2027, 3, 1, tzinfo=UTC))
    assert "some-embedding-3" in listed("models.json"), "nothing says so but OpenAI's names"


def test_what_vendors_say_of_a_model() -> None:
    assert listed("models_rich.json") == {model.name: model for model in (
        ListedModel("lab/large", 131_072, 8_192, datetime(2027, 1, 31, tzinfo=UTC),
                    frozenset({VISION, TOOLS, JSON_SCHEMA})),
        ListedModel("small-latest", 32_768, None, datetime(2027, 2, 1, 12, tzinfo=UTC), frozenset({TOOLS})),
        ListedModel("fast-70b", 131_072, 32_768),
        ListedModel("local.gguf", 4_096),
        ListedModel("served", 16_384),
        ListedModel("routed", 32_000, None, None, frozenset({TOOLS})),
    )}  # fmt: skip


def test_a_bare_list_is_one() -> None:
    body = b'[{"id": "lab/a", "type": "chat", "context_length": 10}, {"id": "lab/b", "type": "image"}]'
    assert WIRE.listed(reply(body), "")[0] == [ListedModel("lab/a", 10)]


@pytest.mark.parametrize("body", [b"", b"{}", b"7", b'{"data": {"a": 1}}', b"<html>"])
def test_a_list_that_is_none(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        WIRE.listed(reply(body), "")


def test_lies_about_a_model_count_as_unsaid() -> None:
    body = msgspec.json.encode({"data": [{"id": "a", "context_length": -5, "max_completion_tokens": "9", "meta": 7,
                                          "capabilities": [], "architecture": [], "supported_parameters": "tools",
                                          "deprecation": "soon", "providers": 3}]})  # fmt: skip
    assert WIRE.listed(reply(body), "")[0] == [ListedModel("a")]


@pytest.mark.parametrize("kind", OPENAI_CHAT)
def test_models_are_asked_for_below_the_base(kind: str) -> None:
    assert spoken(kind).listing("").path == "/models"
