"""What we send to Anthropic, against the types of its own SDK made strict and against what that SDK sends itself.

Differences in what is sent for the same intent, and why:

* Our key goes as `x-api-key`, which the API's reference shows; the SDK sends it as `authorization`. Both are taken.
* We state `max_tokens` where the caller gave none; with the SDK a caller cannot leave it out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from naiad.adapters.anthropic_messages import AnthropicMessages
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
from naiad.adapters.remote import Remote
from tests.adapters.formats import answered, fixture
from tests.adapters.peer import KEY, peer, transport
from tests.adapters.talking import ASKED, provider
from tests.sdks.child import ask, interpreter, words

WIRE = AnthropicMessages()
SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}}, "additionalProperties": False}
TOOL = ToolSpec("weather", "Look outside.", msgspec.json.encode(SCHEMA).decode())
TOOL_WORDS = {"name": "weather", "description": "Look outside.", "input_schema": SCHEMA}
PLAIN = Request("claude-opus-5", (user("Hi"),), max_output_tokens=50)
PLAIN_WORDS: dict[str, Any] = {
    "model": "claude-opus-5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
}
TALK = (
    user("Weather?"),
    Message(Role.ASSISTANT, (TextPart("Wait."), ToolCallPart("toolu_a", "weather", '{"town": "Köln"}'))),
    Message(Role.TOOL, (ToolResultPart("toolu_a", "weather", (TextPart("rain"),), is_error=True),)),
)
TALK_WORDS = [
    {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Wait."},
            {"type": "tool_use", "id": "toolu_a", "name": "weather", "input": {"town": "Köln"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "toolu_a",
                "content": [{"type": "text", "text": "rain"}],
                "is_error": True,
            }
        ],
    },
]
SEEING = Message(
    Role.USER, (TextPart("See"), ImagePart("image/png", b"\1"), ImagePart(url="https://example.org/a.png"))
)
SEEING_WORDS = [
    {"type": "text", "text": "See"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQ=="}},
    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
]

INTENTS: dict[str, tuple[Request, dict[str, Any]]] = {
    "plain": (PLAIN, PLAIN_WORDS),
    "system and stops": (
        replace(PLAIN, messages=(system("Be brief."), user("Hi")), stop=("END",)),
        {**PLAIN_WORDS, "system": "Be brief.", "stop_sequences": ["END"]},
    ),
    "two system messages": (
        replace(PLAIN, messages=(system("Be brief."), system("Be kind."), user("Hi"))),
        {**PLAIN_WORDS, "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
    ),
    "images": (
        replace(PLAIN, messages=(SEEING,)),
        {**PLAIN_WORDS, "messages": [{"role": "user", "content": SEEING_WORDS}]},
    ),
    "tools in a conversation": (
        replace(PLAIN, messages=TALK, tools=(TOOL,)),
        {**PLAIN_WORDS, "messages": TALK_WORDS, "tools": [TOOL_WORDS]},
    ),
    "a tool must be called": (
        replace(PLAIN, tools=(TOOL,), tool_choice=ToolChoice(ToolMode.REQUIRED)),
        {**PLAIN_WORDS, "tools": [TOOL_WORDS], "tool_choice": {"type": "any"}},
    ),
    "no tool may be called": (
        replace(PLAIN, tools=(TOOL,), tool_choice=ToolChoice(ToolMode.NONE)),
        {**PLAIN_WORDS, "tools": [TOOL_WORDS], "tool_choice": {"type": "none"}},
    ),
    "this tool must be called": (
        replace(PLAIN, tools=(TOOL,), tool_choice=ToolChoice(ToolMode.NAMED, "weather")),
        {**PLAIN_WORDS, "tools": [TOOL_WORDS], "tool_choice": {"type": "tool", "name": "weather"}},
    ),
    "a schema": (
        replace(PLAIN, response_schema=ResponseSchema("town", TOOL.parameters)),
        {**PLAIN_WORDS, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
}
OTHERS = (
    replace(PLAIN, max_output_tokens=None),
    replace(PLAIN, temperature=0.5, top_p=0.9, seed=3),
    replace(PLAIN, messages=(user("Hi"), system("Be kind."), user("Ho")), tools=(ToolSpec("clock", "", ""),)),
    replace(PLAIN, messages=(*TALK[:2], Message(Role.TOOL, (ToolResultPart("toolu_a", "weather", ()),)))),
)
WRONG = (
    {**PLAIN_WORDS, "temperature": 0.5},
    {**PLAIN_WORDS, "stop": ["END"]},
    {**PLAIN_WORDS, "max_output_tokens": 5},
    {**PLAIN_WORDS, "max_tokens": "50"},
    {"model": "m", "messages": PLAIN_WORDS["messages"]},
    {**PLAIN_WORDS, "messages": [{"role": "tool", "content": "x"}]},
    {**PLAIN_WORDS, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]},
    {**PLAIN_WORDS, "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "colour": 1}]}]},
    {**PLAIN_WORDS, "tools": [{"name": "f", "parameters": {}}]},
    {**PLAIN_WORDS, "tool_choice": {"type": "required"}},
)


async def test_what_we_send_is_of_the_sdk_s_types_and_they_refuse_what_is_wrong() -> None:
    requests = [request for request, _ in INTENTS.values()]
    ours = [WIRE.sending(r, ASKED, stream=stream).body for r in (*requests, *OTHERS) for stream in (False, True)]
    verdicts = await ask("anthropic_main.py", {"check": [*ours, *WRONG]})
    assert verdicts[: len(ours)] == [""] * len(ours)
    assert all(verdicts[len(ours) :]), "the oracle can say no"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdk_sends_the_same_for_the_same_intent_and_reads_the_same(stream: bool) -> None:
    interpreter()
    script = provider(
        whole=fixture("anthropic/tools.json"),
        stream=fixture("anthropic/tools.sse"),
        busy=("529 Busy", b"{}"),
        kind="text/event-stream",
        asks_stream=lambda request: b'"stream":true' in request,
    )
    async with peer(script) as there:
        url = there.url().removesuffix("/v1")
        calls = [{**said, **({"stream": True} if stream else {})} for _, said in INTENTS.values()]
        read = await ask("anthropic_main.py", {"url": url, "calls": calls})
        theirs = [words(raw) for raw in there.requests]
        there.requests.clear()
        async with transport(url) as out:
            remote = Remote(WIRE, out)
            for request, _ in INTENTS.values():
                if stream:
                    assert [event async for event in remote.stream(request, timeout_s=30.0)]
                else:
                    await remote.complete(request, timeout_s=30.0)
        ours = [words(raw) for raw in there.requests]
    for name, (line, headers, body), (their_line, their_headers, their_body) in zip(INTENTS, ours, theirs, strict=True):
        assert body == their_body, name
        assert line == their_line
        assert headers["anthropic-version"] == their_headers["anthropic-version"]
        assert headers["x-api-key"] == KEY
        assert their_headers["authorization"].startswith("Bearer ")
    answer = answered(WIRE, fixture("anthropic/tools.json"))
    called = [part for part in answer.parts if isinstance(part, ToolCallPart)]
    expected = {
        "text": answer.text,
        "calls": [[call.id, call.name, msgspec.json.decode(call.arguments)] for call in called],
        "finish": "tool_use",
        "usage": [answer.usage.input_tokens, answer.usage.output_tokens, 0, 0],
    }
    assert read == [expected] * len(INTENTS)
