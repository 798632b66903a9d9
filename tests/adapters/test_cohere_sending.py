"""A request in the words of Cohere's chat API: every field, what is left out, and what has no place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from naiad.adapters.base import (
    ImagePart,
    Message,
    Part,
    Request,
    ResponseSchema,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    ToolSpec,
    system,
    user,
)
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.errors import UnsupportedContent
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import Framing, Sending
from tests.adapters.peer import KEY
from tests.adapters.talking import ASKED

ASK = Request("command-a", (user("Hi"),))
WEATHER = ToolSpec("weather", "Look outside.", '{"type": "object"}')
CLOCK = ToolSpec("clock", "", "{}")
CALL = ToolCallPart("a", "weather", '{"town": "Köln"}')
RESULT = ToolResultPart("a", "weather", (TextPart("rain"),))


def sent(request: Request, *, stream: bool = False) -> Sending:
    """Put a request into words."""
    return CohereChat().sending(request, ASKED, stream=stream)


def said(*messages: Message) -> Any:
    """Return the messages of a conversation."""
    return sent(replace(ASK, messages=messages)).body["messages"]


def assistant(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def test_a_plain_question() -> None:
    sending = sent(ASK)
    assert sending.path == "/v2/chat"
    assert sending.body == {"model": "command-a", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    assert sending.notices == ()
    assert sent(ASK, stream=True).body["stream"] is True
    assert CohereChat().framing is Framing.EVENTS
    assert CohereChat().key_headers(Secret(KEY)) == {"authorization": Secret(f"Bearer {KEY}")}


def test_tuning_has_cohere_s_names() -> None:
    body = sent(replace(ASK, max_output_tokens=9, temperature=0.5, top_p=0.9, stop=("a", "b"), seed=3)).body
    expected = {"max_tokens": 9, "temperature": 0.5, "p": 0.9, "stop_sequences": ["a", "b"], "seed": 3}
    assert {name: body[name] for name in expected} == expected


def test_tuning_beyond_what_cohere_takes_is_cut_or_left_out_and_told() -> None:
    sending = sent(replace(ASK, top_p=1.0, stop=("1", "2", "3", "4", "5", "6"), seed=-1))
    assert sending.body["p"] == 0.99
    assert sending.body["stop_sequences"] == ["1", "2", "3", "4", "5"]
    assert "seed" not in sending.body
    assert len(sending.notices) == 3


def test_a_conversation_keeps_its_order_and_each_result_is_a_message() -> None:
    assert said(
        system("Be brief."),
        user("Weather?"),
        assistant(CALL, ToolCallPart("b", "clock", "")),
        Message(Role.TOOL, (RESULT, ToolResultPart("b", "clock", (TextPart("12"), TextPart(":00"))))),
        assistant(TextPart("Rain, "), TextPart("noon.")),
        Message(Role.USER, (replace(RESULT, call_id="c"), TextPart("And"), ImagePart("image/png", b"\1"))),
        assistant(),
    ) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"town": "Köln"}'}},
                {"id": "b", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [{"type": "text", "text": "12"}, {"type": "text", "text": ":00"}],
        },
        {"role": "assistant", "content": "Rain, noon."},
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}},
            ],
        },
        {"role": "assistant", "content": ""},
    ]


def test_that_a_tool_failed_is_told_not_to_be_marked() -> None:
    failed = Message(Role.TOOL, (replace(RESULT, is_error=True),))
    assert len(sent(replace(ASK, messages=(user("Hi"), assistant(CALL), failed))).notices) == 1


def test_tools_and_the_wish_about_them() -> None:
    asked = replace(ASK, tools=(WEATHER, CLOCK))
    weather = {"name": "weather", "description": "Look outside.", "parameters": {"type": "object"}}
    clock = {"type": "function", "function": {"name": "clock", "parameters": {}}}
    assert sent(asked).body["tools"] == [{"type": "function", "function": weather}, clock]
    assert "tool_choice" not in sent(asked).body
    assert sent(replace(asked, tool_choice=ToolChoice(ToolMode.NONE))).body["tool_choice"] == "NONE"
    assert sent(replace(asked, tool_choice=ToolChoice(ToolMode.REQUIRED))).body["tool_choice"] == "REQUIRED"
    named = sent(replace(asked, tool_choice=ToolChoice(ToolMode.NAMED, "clock")))
    assert (named.body["tools"], named.body["tool_choice"]) == ([clock], "REQUIRED")
    assert len(named.notices) == 1
    assert "tool_choice" not in sent(replace(ASK, tool_choice=ToolChoice(ToolMode.NONE))).body


def test_a_schema_of_the_answer() -> None:
    body = sent(replace(ASK, response_schema=ResponseSchema("town", '{"type": "object"}'))).body
    assert body["response_format"] == {"type": "json_object", "json_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"messages": (Message(Role.SYSTEM, (ImagePart(url="https://a.b/c"),)),)}, "'system' holds an image"),
        ({"messages": (Message(Role.SYSTEM, (RESULT,)),)}, "'system' holds a tool result"),
        ({"messages": (assistant(ImagePart(url="https://a.b/c")),)}, "'assistant' holds an image"),
        ({"messages": (assistant(RESULT),)}, "'assistant' holds a tool result"),
        ({"messages": (Message(Role.USER, (CALL,)),)}, "'user' holds a tool call"),
        ({"messages": (Message(Role.TOOL, (TextPart("canary"),)),)}, "'tool' holds text"),
        ({"messages": (Message(Role.TOOL, (replace(RESULT, content=(ImagePart("image/png", b"1"),)),)),)}, "an image"),
        ({"messages": (assistant(replace(CALL, id="")),)}, "has no id"),
        ({"messages": (Message(Role.TOOL, (replace(RESULT, call_id=""),)),)}, "has no id"),
        ({"tools": (replace(WEATHER, parameters="canary"),)}, r"tools\[0\].parameters is not"),
        ({"response_schema": ResponseSchema("n", "[]")}, "response_schema.schema is not"),
        ({"response_schema": ResponseSchema("n", "{}"), "tools": (CLOCK,)}, "together with tools"),
        ({"tool_choice": ToolChoice(ToolMode.NAMED, "clock")}, "'named' and the request has no tools"),
        ({"tool_choice": ToolChoice(ToolMode.NAMED, "canary"), "tools": (CLOCK,)}, "names a tool that is not"),
    ],
)
def test_what_has_no_place_is_refused_before_anything_is_sent(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UnsupportedContent, match=says) as caught:
        sent(replace(ASK, **change))
    assert "canary" not in str(caught.value)
