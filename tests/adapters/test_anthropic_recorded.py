"""Anthropic's API as others recorded it: every reply is read, and its count is that of genai-prices."""

from __future__ import annotations

import msgspec
import pytest
from genai_prices import extract_usage

from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.base import Answer, FinishReason, TextPart, ToolCallPart, Usage
from naiad.adapters.errors import ModelNotFound
from tests.adapters.formats import answered, fed, reader_of
from tests.adapters.shared_data import Recorded, recorded
from tests.adapters.talking import failure

WIRE = AnthropicMessages("2023-06-01")


@pytest.fixture(scope="module")
def exchanges() -> list[Recorded]:
    return list(recorded("api.anthropic.com"))


def counted(body: object) -> Usage:
    """Count a body as genai-prices does."""
    usage = extract_usage(body, provider_id="anthropic").usage
    kinds = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "output_reasoning_tokens")
    total, written, cached, cache_write, reasoning = (int(getattr(usage, kind) or 0) for kind in kinds)
    return Usage(total, written, cached, cache_write, reasoning)


def check(answer: Answer) -> None:
    assert answer.parts, "text or a tool call"
    assert all(isinstance(part, TextPart | ToolCallPart) for part in answer.parts)
    assert answer.finish in (FinishReason.STOP, FinishReason.TOOL_CALLS)
    assert answer.finish is not FinishReason.TOOL_CALLS or any(isinstance(p, ToolCallPart) for p in answer.parts)
    assert answer.usage.output_tokens > 0
    assert not answer.usage.estimated
    assert answer.model.startswith("claude-")


def test_every_whole_reply_is_read_and_its_count_is_that_of_genai_prices(exchanges: list[Recorded]) -> None:
    read = 0
    for exchange in exchanges:
        if exchange.status == 200 and not exchange.body.startswith(b"event:"):
            answer, said = answered(WIRE, exchange.body), msgspec.json.decode(exchange.body)
            check(answer)
            assert answer.usage == counted(said)
            calls = [part.name for part in answer.parts if isinstance(part, ToolCallPart)]
            blocks = said["content"]
            assert calls == [block["name"] for block in blocks if block["type"] == "tool_use"]
            assert answer.text == "".join(block["text"] for block in blocks if block["type"] == "text")
            read += 1
    assert read >= 150


def test_every_stream_is_read(exchanges: list[Recorded]) -> None:
    read = 0
    for exchange in exchanges:
        if exchange.status == 200 and exchange.body.startswith(b"event:"):
            reader = reader_of(WIRE)
            fed(reader, exchange.body, 100)
            answer = reader.answer()
            assert answer is not None
            assert reader.done
            check(answer)
            read += 1
    assert read >= 4


def test_every_error_has_its_class(exchanges: list[Recorded]) -> None:
    errors = [exchange for exchange in exchanges if exchange.status != 200]
    assert [exchange.status for exchange in errors] == [404]
    for exchange in errors:
        error = failure(WIRE, exchange.status, exchange.body, exchange.headers)
        assert type(error) is ModelNotFound
        assert error.provider_request_id.startswith("req_")
        assert "claude" not in str(error)
