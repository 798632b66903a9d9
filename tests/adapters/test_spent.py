"""What failed calls counted: every format through the suite, and what is peculiar to each."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.base import Bill, Claim, Finished, FinishReason, Spent, TextPart, Usage
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.errors import ProviderError, ServerError
from naiad.adapters.gemini import Gemini
from naiad.adapters.ollama import OllamaNative
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.profiles import PROFILES
from naiad.adapters.remote import Remote
from naiad.adapters.sse import ServerEvent
from naiad.adapters.wire_format import WireFormat, spent_of
from tests.adapters.peer import PATIENCE_S, endpoint, peer, response, saying, transport
from tests.adapters.talking import ASKED, QUESTION, reply, sending
from tests.conformance.spent_suite import SpentSuite


class TestOpenAI(SpentSuite):
    wire = OpenAIChat()
    whole, stream = "openai/text.json", "openai/text.sse"
    text = ("choices",)
    end, counts = ("choices", 0, "finish_reason"), ("usage",)
    counts_early = False


class TestAnthropic(SpentSuite):
    wire = AnthropicMessages()
    whole, stream = "anthropic/text.json", "anthropic/text.sse"
    text = ("content",)
    end, counts = ("stop_reason",), ("usage",)
    counts_early = True


class TestGemini(SpentSuite):
    wire = Gemini()
    whole, stream = "gemini/answer.json", "gemini/answer.sse"
    text = ("candidates",)
    end, counts = ("candidates", 0, "finishReason"), ("usageMetadata",)
    counts_early = True


class TestCohere(SpentSuite):
    wire = CohereChat()
    whole, stream = "cohere/text.json", "cohere/text.sse"
    text = ("message",)
    end, counts = ("finish_reason",), ("usage",)
    counts_early = False


class TestOllama(SpentSuite):
    wire = OllamaNative()
    whole, stream = "ollama/answer.json", "ollama/answer.ndjson"
    text = ("message",)
    end, counts = ("done",), ("eval_count",)
    counts_early = False


def streamed(wire: WireFormat, *said: Any) -> Spent | None:
    """Return what a stream counted of which these events came; the last may be an error."""
    reader = wire.reader(ASKED, {}, sending(wire, stream=True))
    with suppress(ProviderError):
        for event in said:
            list(reader.feed(ServerEvent(event if isinstance(event, str) else json.dumps(event))))
    return reader.spent()


TEXT = {"choices": [{"index": 0, "delta": {"content": "Paris is"}}]}
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"prompt_tokens": 10, "completion_tokens": 9}
COUNT = {"choices": [], "usage": USAGE}
ERROR = {"error": {"message": "overloaded", "type": "server_error"}}


@pytest.mark.parametrize(
    ("said", "final"),
    [
        ([TEXT, COUNT], True),  # the chunk after all choices
        ([TEXT, COUNT, "[DONE]"], True),
        ([TEXT, TEXT | {"usage": USAGE}], False),  # counts along with the pieces
        ([TEXT, TEXT | {"usage": USAGE}, "[DONE]"], True),  # and that is all there is
        ([TEXT, COUNT, TEXT], False),  # it goes on
        ([TEXT, COUNT, TEXT, "[DONE]"], False),
        ([TEXT, END | {"usage": USAGE}, TEXT], False),  # beyond its end, which is refused
        ([TEXT, COUNT, ERROR], True),
        ([TEXT, ERROR], None),
        ([TEXT], None),
        ([COUNT | {"usage": USAGE | {"completion_tokens": 0}}], True),
        ([TEXT, COUNT | {"usage": USAGE | {"completion_tokens": 0}}], False),  # less than what came
    ],
)
def test_which_usage_of_a_stream_of_chunks_is_of_the_whole(said: list[Any], final: bool | None) -> None:
    spent = streamed(OpenAIChat(), *said)
    assert (spent.final if spent is not None else None) is final


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_an_answer_that_broke_off_at_the_provider_counts_what_it_says(reason: str) -> None:
    choice = {"index": 0, "message": {"content": "Paris"}, "finish_reason": reason}
    raw = reply(json.dumps({"choices": [choice], "usage": USAGE}).encode())
    with pytest.raises(ServerError):
        OpenAIChat().answer(raw, sending(OpenAIChat()))
    assert OpenAIChat().spent(raw, sending(OpenAIChat())) == Spent(Usage(10, 9), True, None, 5)


def test_a_bill_goes_with_the_count() -> None:
    wire = PROFILES["openrouter"].wire(endpoint("http://127.0.0.1:1/v1"))
    assert isinstance(wire, OpenAIChat)
    usage = USAGE | {"cost": 0.00004321}
    bill = Bill(43_210, "4.321e-05 USD")
    raw = reply(json.dumps({"choices": [{"message": {"content": "Paris"}}], "usage": usage}).encode())
    assert wire.spent(raw, sending(wire)) == Spent(Usage(10, 9), True, bill, 5)
    assert streamed(wire, TEXT, COUNT | {"usage": usage}) == Spent(Usage(10, 9), True, bill, 8)
    assert streamed(wire, TEXT, TEXT | {"usage": usage}) == Spent(Usage(10, 9), False, None, 16)


def test_gemini_counts_an_answer_that_it_ended_itself() -> None:
    said = {
        "candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 5},
    }
    expected = Spent(Usage(10, 9, reasoning_tokens=5), True)
    assert streamed(Gemini(), said) == expected
    assert Gemini().spent(reply(json.dumps(said).encode()), sending(Gemini())) == expected


def test_what_gemini_counts_along_is_not_of_the_whole() -> None:
    text = {"candidates": [{"content": {"parts": [{"text": "Paris"}]}}]}
    counts = {"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 2}}
    end = {"candidates": [{"finishReason": "STOP"}]}
    for said, final in (([text | counts], False), ([text | counts, end], True), ([text, end | counts], True)):
        assert streamed(Gemini(), *said) == Spent(Usage(10, 2), final, None, 5)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_content_rules_stopped_has_the_count_that_came_with_that(stream: bool) -> None:
    """Though it is called an error; no estimate stands in its place, and no notice says so."""
    stopped = {"error": {"code": "content_filter", "message": "x", "status": 400}, "usage": USAGE}
    if stream:
        said = [TEXT, stopped | {"choices": []}]
        body = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in said)
        raw = response(body, headers=["content-type: text/event-stream"])
    else:
        raw = response(json.dumps(stopped).encode())
    async with peer(saying(raw)) as there, transport(there.url()) as out:
        if stream:
            events = [event async for event in Remote(OpenAIChat(), out).stream(QUESTION, timeout_s=PATIENCE_S)]
            assert isinstance(events[-1], Finished)
            answer = events[-1].answer
        else:
            answer = await Remote(OpenAIChat(), out).complete(QUESTION, timeout_s=PATIENCE_S)
    assert (answer.finish, answer.usage, answer.notices) == (FinishReason.CONTENT_FILTER, Usage(10, 9), ())


def test_cohere_counts_an_answer_that_failed() -> None:
    end = {"finish_reason": "ERROR", "usage": {"billed_units": {"input_tokens": 10, "output_tokens": 9}}}
    assert streamed(CohereChat(), {"type": "message-start"}, {"type": "message-end", "delta": end}) == Spent(
        Usage(10, 9), True
    )


def test_a_count_that_contradicts_itself_is_kept_as_a_claim_if_it_is_of_the_whole() -> None:
    claim, parts = Claim(10, 9, 71), (TextPart("Paris"),)
    whole = spent_of(claim, QUESTION, parts, final=True)
    assert whole is not None
    assert (whole.usage.claim, whole.usage.estimated, whole.final) == (claim, True, True)
    assert spent_of(claim, QUESTION, parts, final=False) is None
