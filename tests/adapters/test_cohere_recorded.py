"""Cohere's API as others recorded it: every reply is read, and its count is that of genai-prices."""

from __future__ import annotations

import msgspec
from genai_prices import extract_usage

from naiad.adapters.base import FinishReason, TextPart, ToolCallPart
from naiad.adapters.cohere_chat import CohereChat
from tests.adapters.formats import answered
from tests.adapters.shared_data import recorded


def test_every_reply_is_read_and_its_count_is_what_genai_prices_bills() -> None:
    read = 0
    for exchange in recorded("api.cohere.com"):
        assert exchange.status == 200
        answer, said = answered(CohereChat(), exchange.body), msgspec.json.decode(exchange.body)
        # genai-prices takes the model from the body, and Cohere's has none
        usage = extract_usage({**said, "model": exchange.request["model"]}, provider_id="cohere").usage
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (usage.input_tokens, usage.output_tokens)
        assert not answer.usage.estimated
        calls = [call["function"]["name"] for call in said["message"].get("tool_calls", ())]
        assert [part.name for part in answer.parts if isinstance(part, ToolCallPart)] == calls
        assert answer.finish is (FinishReason.TOOL_CALLS if calls else FinishReason.STOP)
        assert calls or [type(part) for part in answer.parts] == [TextPart]
        read += 1
    assert read >= 6
