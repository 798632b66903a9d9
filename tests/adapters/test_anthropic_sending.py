"""A request in the words of Anthropic's Messages API: every field, what is left out, and what has no place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from naiad.adapters.anthropic_messages import AnthropicMessages
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
from naiad.adapters.errors import UnsupportedContent
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import Framing, Sending
from tests.adapters.peer import KEY
from tests.adapters.talking import ASKED

NEW, OLD = AnthropicMessages(), AnthropicMessages("2023-06-01")
ASK = Request("claude-opus-5", (user("Hi"),), max_output_tokens=100)
HI = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
TOOL = ToolSpec("weather", "Look outside.", '{"type": "object", "properties": {"town": {"type": "string"}}}')


def sent(request: Request, wire: AnthropicMessages = NEW, *, stream: bool = False) -> Sending:
    """Put a request into words."""
    return wire.sending(request, ASKED, stream=stream)


def said(*messages: Message) -> Any:
    """Return the turns of a conversation."""
    return sent(replace(ASK, messages=messages)).body["messages"]


def assistant(*parts: Part) -> Message:
    return Message(Role.ASSISTANT, parts)


def test_a_plain_question() -> None:
    sending = sent(ASK)
    assert sending.path == "/v1/messages"
    assert sending.body == {"model": "claude-opus-5", "max_tokens": 100, "messages": [HI]}
    assert sending.headers == {"anthropic-version": "2026-10-21"}
    assert sending.params == {}
    assert sending.notices == ()
    assert sent(ASK, stream=True).body == {**sending.body, "stream": True}
    assert NEW.framing is Framing.EVENTS
    assert NEW.key_headers(Secret(KEY)) == {"x-api-key": Secret(KEY)}
    assert "Hi" not in repr(sending)


def test_a_limit_of_the_output_is_stated_where_the_caller_gives_none() -> None:
    sending = sent(replace(ASK, max_output_tokens=None))
    assert sending.body["max_tokens"] == 8_192
    assert sending.notices == ("Anthropic demands a limit of the output: max_output_tokens was set to 8192.",)


def test_sampling_is_left_out_of_the_new_version_and_sent_in_the_old() -> None:
    asked = replace(ASK, temperature=0.0, top_p=1.0)
    new, old = sent(asked), sent(asked, OLD)
    assert new.body == sent(ASK).body
    assert [notice.split()[0] for notice in new.notices] == ["temperature", "top_p"]
    assert (old.body["temperature"], old.body["top_p"]) == (0.0, 1.0)
    assert old.headers == {"anthropic-version": "2023-06-01"}
    assert old.notices == ()


def test_a_temperature_beyond_what_the_old_version_takes_is_cut_and_told() -> None:
    sending = sent(replace(ASK, temperature=1.5), OLD)
    assert sending.body["temperature"] == 1.0
    assert sending.notices == ("A temperature of 1.5 was sent as 1, the most that Anthropic takes.",)


def test_a_seed_and_blank_stops_are_left_out_and_told() -> None:
    sending = sent(replace(ASK, seed=7, stop=("END", "\n\n")))
    assert sending.body["stop_sequences"] == ["END"]
    assert len(sending.notices) == 2
    assert "stop_sequences" not in sent(replace(ASK, stop=(" ",))).body


def test_the_system_prompt_stands_apart() -> None:
    one = sent(replace(ASK, messages=(system("Be brief."), user("Hi"))))
    assert one.body["system"] == "Be brief."
    assert one.body["messages"] == [HI]
    two = sent(replace(ASK, messages=(system("Be brief."), user("Hi"), system("Be kind."))))
    assert two.body["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    assert len(two.notices) == 1
    assert "system" not in sent(replace(ASK, messages=(system(""), user("Hi")))).body


def test_neighbours_of_one_side_are_one_turn_and_empty_texts_are_left_out() -> None:
    turns = said(user("Hi"), user("there"), assistant(TextPart("")), user(""), assistant(TextPart("Yes?")), user("You"))
    assert turns == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes?"}]},
        {"role": "user", "content": [{"type": "text", "text": "You"}]},
    ]


def test_calls_and_their_results_make_turns_with_the_results_first() -> None:
    turns = said(
        user("Weather?"),
        assistant(
            TextPart("Wait."), ToolCallPart("a.1", "weather", '{"town": "Köln"}'), ToolCallPart("b", "clock", "")
        ),
        user("Quick!"),
        Message(Role.TOOL, (ToolResultPart("a.1", "weather", (TextPart("rain"), ImagePart("image/png", b"\1"))),)),
        Message(Role.TOOL, (ToolResultPart("b", "clock", (), is_error=True),)),
    )
    assert turns[1]["content"] == [
        {"type": "text", "text": "Wait."},
        {"type": "tool_use", "id": "a_1", "name": "weather", "input": {"town": "Köln"}},
        {"type": "tool_use", "id": "b", "name": "clock", "input": {}},
    ]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQ=="}}
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a_1", "content": [{"type": "text", "text": "rain"}, image]},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True},
        {"type": "text", "text": "Quick!"},
    ]


def test_images_go_as_bytes_or_as_an_address() -> None:
    turns = said(Message(Role.USER, (ImagePart("image/webp", b"RIFF"), ImagePart(url="https://example.org/a.png"))))
    assert turns[0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "UklGRg=="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]


def test_tools_and_the_wish_about_them() -> None:
    asked = replace(ASK, tools=(TOOL, ToolSpec("clock", "", "{}")))
    assert sent(asked).body["tools"] == [
        {
            "name": "weather",
            "description": "Look outside.",
            "input_schema": {"type": "object", "properties": {"town": {"type": "string"}}},
        },
        {"name": "clock", "input_schema": {"type": "object"}},
    ]
    assert "tool_choice" not in sent(asked).body
    for choice, words in (
        (ToolChoice(ToolMode.NONE), {"type": "none"}),
        (ToolChoice(ToolMode.REQUIRED), {"type": "any"}),
        (ToolChoice(ToolMode.NAMED, "clock"), {"type": "tool", "name": "clock"}),
    ):
        assert sent(replace(asked, tool_choice=choice)).body["tool_choice"] == words
    assert "tool_choice" not in sent(replace(ASK, tool_choice=ToolChoice(ToolMode.NONE))).body


def test_a_schema_of_the_answer() -> None:
    schema = ResponseSchema("town", '{"type": "object", "additionalProperties": false}')
    assert sent(replace(ASK, response_schema=schema)).body["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
    }


CALL = ToolCallPart("a", "weather", "{}")
RESULT = ToolResultPart("a", "weather", (TextPart("rain"),))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"messages": (system("only"),)}, "nothing but system messages"),
        ({"messages": (user(""),)}, "nothing but system messages"),
        (
            {"messages": (Message(Role.SYSTEM, (ImagePart(url="https://a.b/c"),)), user("Hi"))},
            "'system' holds an image",
        ),
        ({"messages": (assistant(ImagePart(url="https://a.b/c")),)}, "'assistant' holds an image"),
        ({"messages": (Message(Role.USER, (CALL,)),)}, "'user' holds a tool call"),
        ({"messages": (assistant(RESULT),)}, "'assistant' holds a tool result"),
        ({"messages": (assistant(replace(CALL, id="")),)}, "has no id"),
        (
            {"messages": (assistant(replace(CALL, arguments='{"canary')),)},
            "the arguments of a tool call is not the text",
        ),
        ({"messages": (Message(Role.USER, (ImagePart("image/tiff", b"II"),)),)}, "none of image/gif"),
        ({"messages": (Message(Role.USER, (ImagePart(url="data:canary"),)),)}, "url is not https"),
        ({"tools": (replace(TOOL, parameters="[canary]"),)}, r"tools\[0\].parameters is not"),
        ({"tools": (replace(TOOL, parameters="[1]"),)}, "JSON object"),
        ({"response_schema": ResponseSchema("n", "canary")}, "response_schema.schema is not"),
        ({"tool_choice": ToolChoice(ToolMode.REQUIRED)}, "'required' and the request has no tools"),
    ],
)
def test_what_has_no_place_is_refused_before_anything_is_sent(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UnsupportedContent, match=says) as caught:
        sent(replace(ASK, **change))
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None, "no traceback shows it"
