"""A model that writes half a tool call and says that it is done has given no answer, in whichever format it comes."""

from __future__ import annotations

import json

import pytest

from naiad.adapters.base import Answer, FinishReason, Request, TextPart, ToolCallPart, Usage, user
from naiad.adapters.errors import MalformedAnswer
from naiad.adapters.json_text import check_calls
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.remote import Remote
from tests.adapters.peer import PATIENCE_S, peer, response, serving, transport
from tests.adapters.talking import ASKED

QUESTION = Request("m", (user("Weather?"),))
BROKEN = ('{"city": "Kö', "{", '"city"', "[1]", "null", "", " ", "9" * 5_000, "[" * 5_000, '{"a": 1} and more')
FINE = ("{}", '{"city": "Köln"}', ' {"a": [1]}\n')


def answer(finish: FinishReason, *arguments: str) -> Answer:
    """Return an answer with calls."""
    calls = (ToolCallPart(f"c{n}", "weather", text) for n, text in enumerate(arguments))
    return Answer(parts=(TextPart("Let me see."), *calls), finish=finish, usage=Usage(1, 1), model="m")


@pytest.mark.parametrize("finish", [FinishReason.TOOL_CALLS, FinishReason.STOP])
@pytest.mark.parametrize("arguments", BROKEN)
def test_arguments_that_are_no_object(arguments: str, finish: FinishReason) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        check_calls(answer(finish, "{}", arguments), ASKED)
    assert not arguments.strip() or arguments not in str(caught.value)
    assert caught.value.fallback_worthy
    assert not caught.value.retryable


@pytest.mark.parametrize("arguments", FINE)
def test_arguments_that_are_one(arguments: str) -> None:
    check_calls(answer(FinishReason.TOOL_CALLS, arguments), ASKED)


def test_who_ends_because_of_calls_has_some() -> None:
    with pytest.raises(MalformedAnswer, match="has none"):
        check_calls(answer(FinishReason.TOOL_CALLS), ASKED)
    check_calls(answer(FinishReason.STOP), ASKED)


@pytest.mark.parametrize("finish", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER, FinishReason.OTHER])
def test_a_model_that_was_stopped_has_not_finished_its_call(finish: FinishReason) -> None:
    check_calls(answer(finish, BROKEN[0]), ASKED)


CALL = {"id": "c1", "index": 0, "type": "function", "function": {"name": "weather", "arguments": BROKEN[0]}}


@pytest.mark.parametrize("stream", [False, True])
async def test_over_a_socket(stream: bool) -> None:
    name = "delta" if stream else "message"
    choice = {"index": 0, name: {"role": "assistant", "tool_calls": [CALL]}, "finish_reason": "tool_calls"}
    body = json.dumps({"id": "x", "model": "m", "choices": [choice]})
    if stream:
        reply = response(f"data: {body}\n\ndata: [DONE]\n\n".encode(), headers=["content-type: text/event-stream"])
    else:
        reply = response(body.encode())
    async with peer(serving(reply)) as there, transport(there.url()) as out:
        remote = Remote(OpenAIChat(), out)
        with pytest.raises(MalformedAnswer, match="tool call"):
            if stream:
                _ = [event async for event in remote.stream(QUESTION, timeout_s=PATIENCE_S)]
            else:
                await remote.complete(QUESTION, timeout_s=PATIENCE_S)
