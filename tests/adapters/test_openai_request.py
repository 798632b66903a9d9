"""What is sent in OpenAI's chat format: content by content, and what each vendor takes otherwise."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from naiad.adapters.base import (
    ImagePart,
    Message,
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
from naiad.adapters.endpoint import Endpoint, parse_url
from naiad.adapters.errors import InvalidRequest, UnsupportedContent
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.profiles import OPENAI_CHAT
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import Sending
from tests.adapters.talking import ASKED, QUESTION, sending

PNG = b"\x89PNG\r\n\x1a\n"
SCHEMA = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
WEATHER = ToolSpec("weather", "Says the weather.", SCHEMA)
CLOCK = ToolSpec("clock", "", "")


def spoken(kind: str) -> OpenAIChat:
    """Return the format as a kind of endpoint speaks it."""
    wire = OPENAI_CHAT[kind].wire(Endpoint("peer", parse_url("https://api.example.com/v1", private=False)))
    assert isinstance(wire, OpenAIChat)
    return wire


def body(request: Request, wire: OpenAIChat | None = None, *, stream: bool = False) -> dict[str, Any]:
    """Return what is sent, as JSON has it."""
    sent: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(sending(wire or OpenAIChat(), request, stream=stream).body)
    )
    return sent


def turns(*messages: Message, wire: OpenAIChat | None = None) -> Any:
    """Return the messages that are sent."""
    return body(Request("m", messages), wire)["messages"]


def test_a_conversation() -> None:
    assert body(
        Request("team/model:v1", (system("Be brief."), user("Hi"), Message(Role.ASSISTANT, (TextPart("Ho"),))))
    ) == {
        "model": "team/model:v1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Ho"},
        ],
    }
    assert sending(OpenAIChat()).path == "/chat/completions"
    assert sending(OpenAIChat()).notices == ()


def test_pieces_of_text_are_one_text() -> None:
    assert turns(Message(Role.USER, (TextPart("a "), TextPart("b")))) == [{"role": "user", "content": "a b"}]
    assert turns(Message(Role.USER, ())) == [{"role": "user", "content": ""}]


def test_images_by_bytes_and_by_address() -> None:
    parts = (TextPart("Which?"), ImagePart("image/png", PNG), ImagePart(url="https://example.com/a.png"))
    assert turns(Message(Role.USER, parts)) == [{"role": "user", "content": [
        {"type": "text", "text": "Which?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]}]  # fmt: skip


def test_tool_calls_and_their_results() -> None:
    calls = (ToolCallPart("c1", "weather", '{"city": "Bern"}'), ToolCallPart("c2", "clock", "not json"))
    results = (ToolResultPart("c1", "weather", (TextPart("rain"),)), ToolResultPart("c2", "clock", (), is_error=True))
    conversation = (
        user("Weather and time?"),
        Message(Role.ASSISTANT, calls),
        Message(Role.TOOL, results),
        Message(Role.ASSISTANT, (TextPart("So: "), *calls[:1])),
        Message(Role.USER, (TextPart("first"), results[0], TextPart("then"))),
    )
    called = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    assert turns(*conversation)[1:] == [
        {"role": "assistant", "content": None, "tool_calls": [
            called, {"id": "c2", "type": "function", "function": {"name": "clock", "arguments": "not json"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "assistant", "content": "So: ", "tool_calls": [called]},
        {"role": "user", "content": "first"},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "user", "content": "then"},
    ]  # fmt: skip
    (notice,) = sending(OpenAIChat(), Request("m", conversation)).notices
    assert "which tool results are failures" in notice


def test_tools_and_the_choice_among_them() -> None:
    request = replace(QUESTION, tools=(WEATHER, CLOCK))
    sent = body(request)
    assert sent["tools"] == [
        {"type": "function", "function": {"name": "weather", "description": "Says the weather.",
                                          "parameters": msgspec.json.decode(SCHEMA)}},
        {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
    ]  # fmt: skip
    assert "tool_choice" not in sent, "the model chooses unless told otherwise"
    for choice, word in ((ToolChoice(ToolMode.NONE), "none"), (ToolChoice(ToolMode.REQUIRED), "required")):
        assert body(replace(request, tool_choice=choice))["tool_choice"] == word
    named = ToolChoice(ToolMode.NAMED, "clock")
    assert body(replace(request, tool_choice=named))["tool_choice"] == {
        "type": "function",
        "function": {"name": "clock"},
    }
    assert "tool_choice" not in body(replace(QUESTION, tool_choice=ToolChoice(ToolMode.NONE))), "there is no tool"


def test_an_answer_of_a_schema() -> None:
    sent = body(replace(QUESTION, response_schema=ResponseSchema("place", SCHEMA, strict=False)))
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "place", "schema": msgspec.json.decode(SCHEMA), "strict": False},
    }


def test_tuning() -> None:
    tuned = replace(QUESTION, max_output_tokens=50, temperature=0.0, top_p=0.5, stop=("END", "\n"), seed=0)
    sent = body(tuned, stream=True)
    assert {name: sent[name] for name in sent if name not in ("model", "messages")} == {
        "max_tokens": 50, "temperature": 0.0, "top_p": 0.5, "stop": ["END", "\n"], "seed": 0,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


# --- what vendors do otherwise ---


@pytest.mark.parametrize(
    ("kind", "name"),
    [("openai", "max_completion_tokens"), ("groq", "max_completion_tokens"), ("cerebras", "max_completion_tokens"),
     ("mistral", "max_tokens"), ("together", "max_tokens"), ("openai_compatible", "max_tokens")],
)  # fmt: skip
def test_the_most_output_has_the_vendors_name(kind: str, name: str) -> None:
    sent = body(replace(QUESTION, max_output_tokens=7), spoken(kind))
    assert [key for key in sent if "max" in key] == [name]


@pytest.mark.parametrize(
    "model",
    ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-mini", "gpt-5.1-chat-latest", "gpt-5.5", "gpt-5.6-sol",
     "gpt-6-astra", "ft:o4-mini-2025-04-16:team::Ab12"],
)  # fmt: skip
def test_models_that_reason_get_no_sampling_and_the_reader_is_told(model: str) -> None:
    tuned = replace(QUESTION, model=model, temperature=0.2, top_p=0.5, stop=("x",), seed=3, max_output_tokens=9)
    made = sending(spoken("openai"), replace(tuned, messages=(system("Be brief."), *tuned.messages)))
    assert set(made.body) == {"model", "messages", "seed", "max_completion_tokens"}
    assert made.body["messages"][0]["role"] == "developer"
    assert [notice.split(" ")[0] for notice in made.notices] == ["temperature", "top_p", "stop"]
    assert all("left out" in notice for notice in made.notices)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5-chat-latest", "gpt-5.1", "gpt-5.4-mini", "ft:gpt-4.1-mini:team::x"])
def test_other_models_get_what_was_asked_for(model: str) -> None:
    made = sending(spoken("openai"), replace(QUESTION, model=model, temperature=0.2, messages=(system("Be brief."),)))
    assert made.body["temperature"] == 0.2
    assert made.body["messages"][0]["role"] == "system"
    assert made.notices == ()


def test_more_stops_than_are_taken() -> None:
    made = sending(spoken("openai"), replace(QUESTION, model="gpt-4o", stop=tuple("abcde")))
    assert made.body["stop"] == list("abcd")
    assert made.notices == ("peer takes 4 stop sequences; the others were left out.",)


def test_mistral() -> None:
    wire = spoken("mistral")
    sent = body(replace(QUESTION, seed=5, temperature=1.5, stop=tuple("abcde")), wire, stream=True)
    assert (sent["random_seed"], sent["temperature"], len(sent["stop"])) == (5, 1.5, 5)
    assert "stream_options" not in sent
    made = sending(wire, replace(QUESTION, seed=-1, temperature=1.9))
    assert made.body["temperature"] == 1.5
    assert set(made.body) == {"model", "messages", "temperature"}
    assert [notice.split(" ")[0] for notice in made.notices] == ["temperature", "seed"]


def test_mistral_takes_ids_of_nine_characters_and_no_others() -> None:
    call, own = ToolCallPart("call_from_elsewhere", "clock", "{}"), ToolCallPart("AbCd12345", "clock", "{}")
    shown = ToolResultPart(call.id, "clock", (ImagePart("image/png", PNG),))
    assistant, result = turns(
        Message(Role.ASSISTANT, (call, own)), Message(Role.TOOL, (shown,)), wire=spoken("mistral")
    )
    first, second = (called["id"] for called in assistant["tool_calls"])
    assert re.fullmatch("[0-9a-z]{9}", first)
    assert result["tool_call_id"] == first
    assert second == own.id
    assert result["content"][0]["type"] == "image_url", "Mistral takes images there"


def test_openai_takes_ids_of_forty_characters() -> None:
    long, short = ToolCallPart("c" * 41, "clock", "{}"), ToolCallPart("c" * 40, "clock", "{}")
    (turn,) = turns(Message(Role.ASSISTANT, (long, short)), wire=spoken("openai"))
    assert [len(call["id"]) for call in turn["tool_calls"]] == [9, 40]


def test_ollama_leaves_the_choice_of_tools_to_the_model() -> None:
    wire, request = spoken("ollama_openai"), replace(QUESTION, tools=(CLOCK,))
    made = sending(wire, replace(request, tool_choice=ToolChoice(ToolMode.REQUIRED)))
    assert "tool_choice" not in made.body
    assert made.notices == ("tool_choice was left out: peer leaves the choice to the model.",)
    assert "tools" not in sending(wire, replace(request, tool_choice=ToolChoice(ToolMode.NONE))).body


def test_a_server_without_a_seed() -> None:
    made = sending(OpenAIChat(seed=""), replace(QUESTION, seed=1))
    assert "seed" not in made.body
    assert made.notices == ("seed was left out: peer takes none.",)


# --- what cannot be sent ---

IMAGE = ImagePart("image/png", PNG)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message(Role.SYSTEM, (IMAGE,)), "an image in a message of role system"),
        (Message(Role.ASSISTANT, (IMAGE,)), "an image in a message of role assistant"),
        (Message(Role.USER, (ToolCallPart("c", "clock", "{}"),)), "a tool call in a message of role user"),
        (Message(Role.ASSISTANT, (ToolResultPart("c", "clock", ()),)), "a tool result in a message of role assistant"),
        (Message(Role.TOOL, (ToolResultPart("c", "look", (IMAGE,)),)), "an image in a tool result"),
    ],
)
def test_content_without_a_place_is_refused_before_the_call(message: Message, words: str) -> None:
    with pytest.raises(UnsupportedContent, match=words) as caught:
        sending(OpenAIChat(), Request("m", (message,)))
    assert caught.value.provider == ASKED.provider


def test_an_address_that_the_server_does_not_fetch() -> None:
    linked = Request("m", (Message(Role.USER, (ImagePart(url="https://example.com/a.png"),)),))
    with pytest.raises(UnsupportedContent, match="send its bytes"):
        sending(spoken("ollama_openai"), linked)


def test_a_schema_that_cannot_be_kept() -> None:
    with pytest.raises(UnsupportedContent, match="JSON schema"):
        sending(OpenAIChat(json_schema=False), replace(QUESTION, response_schema=ResponseSchema("x", SCHEMA)))


@pytest.mark.parametrize("text", ["secret words", "[1]", "", '"secret words"', "[" * 100_000])
def test_a_schema_that_is_none(text: str) -> None:
    with pytest.raises(InvalidRequest, match="response_schema is not a JSON object") as caught:
        sending(OpenAIChat(), replace(QUESTION, response_schema=ResponseSchema("x", text)))
    assert "secret" not in str(caught.value)
    if text:
        with pytest.raises(InvalidRequest, match="parameters of 'clock'"):
            sending(OpenAIChat(), replace(QUESTION, tools=(ToolSpec("clock", "", text),)))


# --- the kinds ---


def test_the_key_goes_into_one_header_and_nowhere_else() -> None:
    assert OpenAIChat().key_headers(Secret("k-1"))["authorization"].reveal() == "Bearer k-1"


@pytest.mark.parametrize("kind", OPENAI_CHAT)
def test_every_kind_is_whole(kind: str) -> None:
    profile = OPENAI_CHAT[kind]
    if kind != "openai_compatible":
        parse_url(profile.base_url, private=profile.private)
    assert profile.private == profile.base_url.startswith("http://")
    assert bool(profile.key_env) == (profile.base_url.startswith("https://"))
    place = parse_url("https://api.example.com", private=False)
    with pytest.raises(ValueError, match="no versions"):
        profile.wire(Endpoint("peer", place, api_version="v7"))
    assert isinstance(sending(spoken(kind)), Sending)


def test_prices_are_listed_under_the_names_that_genai_prices_knows() -> None:
    from genai_prices.data import providers

    known = {provider.id for provider in providers}
    assert {profile.listed_as for profile in OPENAI_CHAT.values()} - {""} <= known
