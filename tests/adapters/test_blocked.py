"""What a provider's content rules stop is an answer, although the provider calls it an error: over real sockets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.base import Answer, Finished, FinishReason, Request, TextDelta, TextPart, user
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.errors import InvalidRequest
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.remote import Remote
from tests.adapters.peer import CHUNKED, Script, Talk, chunk, peer, response, serving, transport

REQUEST = Request("m", (user("a question of forty-four bytes, this one here"),))
AZURE = {"error": {"code": "content_filter", "message": "SECRET", "param": "prompt", "status": 400,
                   "innererror": {"code": "ResponsibleAIPolicyViolation"}}}  # fmt: skip
FILTERED = {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}
CASES: list[tuple[Any, str, Any]] = [
    (OpenAIChat(), "400 Bad Request", AZURE),
    (OpenAIChat(), "403 Forbidden", {"error": {"code": 403, "message": "SECRET", "metadata": {"flagged_input": "x"}}}),
    (AnthropicMessages(), "400 Bad Request", {"type": "error", "error": FILTERED}),
    (CohereChat(), "498 Blocked", {"id": "i-1", "message": "SECRET"}),
]


def refusing(status: str, body: Any) -> bytes:
    return response(msgspec.json.encode(body), status=status, headers=["x-request-id: r-1"])


def check(answer: Answer, *, text: str = "") -> None:
    """Check what every answer is that a filter stopped."""
    assert answer.finish is FinishReason.CONTENT_FILTER
    assert (answer.text, answer.model) == (text, "m")
    assert answer.usage.estimated, "Azure bills for it, and does not say how much"
    assert answer.usage.input_tokens > 0
    assert (answer.usage.output_tokens > 0) == bool(text)
    assert "content rules" in answer.notices[-1]
    assert "SECRET" not in repr(answer)


@pytest.mark.parametrize(("wire", "status", "body"), CASES)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_an_error_of_the_content_rules_is_an_answer(wire: Any, status: str, body: Any, streams: bool) -> None:
    async with peer(serving(refusing(status, body))) as there, transport(there.url()) as out:
        adapter = Remote(wire, out)
        if streams:
            (event,) = [event async for event in adapter.stream(REQUEST, timeout_s=10.0)]
            assert isinstance(event, Finished)
            answer = event.answer
        else:
            answer = await adapter.complete(REQUEST, timeout_s=10.0)
        check(answer)
        if status[:3] != "498":
            assert answer.provider_request_id == "r-1"
        assert out.open_exchanges == 0


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        (OpenAIChat(), [{"choices": [{"index": 0, "delta": {"content": "half an "}}]}, AZURE]),
        (AnthropicMessages(), [
            {"type": "message_start", "message": {"id": "x", "usage": {"input_tokens": 9, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "half an "}},
            {"type": "error", "error": FILTERED},
        ]),
    ],
    ids=["openai", "anthropic"],
)  # fmt: skip
async def test_a_stream_that_the_content_rules_stop_keeps_what_it_said(wire: Any, events: list[Any]) -> None:
    async with peer(_streaming(events)) as there, transport(there.url()) as out:
        *deltas, last = [event async for event in Remote(wire, out).stream(REQUEST, timeout_s=10.0)]
    assert deltas == [TextDelta("half an ")]
    assert isinstance(last, Finished)
    assert last.answer.parts == (TextPart("half an "),), "the answer is what was passed on"
    check(last.answer, text="half an ")


async def test_other_errors_of_the_request_stay_errors() -> None:
    wrong = {"error": {"code": "unsupported_value", "message": "content_filter", "type": "invalid_request_error"}}
    async with peer(serving(refusing("400 Bad Request", wrong))) as there, transport(there.url()) as out:
        with pytest.raises(InvalidRequest):
            await Remote(OpenAIChat(), out).complete(REQUEST, timeout_s=10.0)


def _streaming(events: list[Any]) -> Script:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(response(headers=["content-type: text/event-stream", CHUNKED], length=False, body=b""))
        for event in events:
            name = f"event: {event['type']}\n".encode() if "type" in event else b""
            await talk.send(chunk(name + b"data: " + msgspec.json.encode(event) + b"\n\n"))
        await talk.send(b"0\r\n\r\n")

    return script
