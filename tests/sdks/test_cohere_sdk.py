"""What we send to Cohere, against the types of its own SDK made strict and against what that SDK sends itself.

Nothing differs in the bodies. A named tool has no words in the SDK either: what we send for it is what a user of the
SDK would have to write, that tool alone and `REQUIRED`.
"""

from __future__ import annotations

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
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.remote import Remote
from tests.adapters.formats import answered, fixture
from tests.adapters.peer import KEY, peer, transport
from tests.adapters.talking import ASKED, provider
from tests.sdks.child import ask, interpreter, words

WIRE = CohereChat()
SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}}}
TOOL = ToolSpec("weather", "Look outside.", msgspec.json.encode(SCHEMA).decode())
TOOL_WORDS = {
    "type": "function",
    "function": {"name": "weather", "description": "Look outside.", "parameters": SCHEMA},
}
PLAIN = Request("command-a", (user("Hi"),))
PLAIN_WORDS: dict[str, Any] = {"model": "command-a", "messages": [{"role": "user", "content": "Hi"}]}
TALK = (
    system("Be brief."),
    user("Weather?"),
    Message(Role.ASSISTANT, (ToolCallPart("weather_a", "weather", '{"town": "Köln"}'),)),
    Message(Role.TOOL, (ToolResultPart("weather_a", "weather", (TextPart("rain"),)),)),
)
TALK_WORDS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "weather_a",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"town": "Köln"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "weather_a", "content": "rain"},
]
SEEING_WORDS = [
    {"type": "text", "text": "See"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}},
]

INTENTS: dict[str, tuple[Request, dict[str, Any]]] = {
    "plain": (PLAIN, PLAIN_WORDS),
    "tuning": (
        replace(PLAIN, max_output_tokens=9, temperature=0.5, top_p=0.9, stop=("a", "b"), seed=3),
        {**PLAIN_WORDS, "max_tokens": 9, "temperature": 0.5, "p": 0.9, "stop_sequences": ["a", "b"], "seed": 3},
    ),
    "an image": (
        replace(PLAIN, messages=(Message(Role.USER, (TextPart("See"), ImagePart("image/png", b"\1"))),)),
        {**PLAIN_WORDS, "messages": [{"role": "user", "content": SEEING_WORDS}]},
    ),
    "tools in a conversation": (
        replace(PLAIN, messages=TALK, tools=(TOOL,)),
        {**PLAIN_WORDS, "messages": TALK_WORDS, "tools": [TOOL_WORDS]},
    ),
    "a tool must be called": (
        replace(PLAIN, tools=(TOOL,), tool_choice=ToolChoice(ToolMode.REQUIRED)),
        {**PLAIN_WORDS, "tools": [TOOL_WORDS], "tool_choice": "REQUIRED"},
    ),
    "this tool must be called": (
        replace(PLAIN, tools=(TOOL, ToolSpec("clock", "", "{}")), tool_choice=ToolChoice(ToolMode.NAMED, "weather")),
        {**PLAIN_WORDS, "tools": [TOOL_WORDS], "tool_choice": "REQUIRED"},
    ),
    "no tool may be called": (
        replace(PLAIN, tools=(TOOL,), tool_choice=ToolChoice(ToolMode.NONE)),
        {**PLAIN_WORDS, "tools": [TOOL_WORDS], "tool_choice": "NONE"},
    ),
    "a schema": (
        replace(PLAIN, response_schema=ResponseSchema("town", TOOL.parameters)),
        {**PLAIN_WORDS, "response_format": {"type": "json_object", "json_schema": SCHEMA}},
    ),
}
WRONG: tuple[dict[str, Any], ...] = (
    PLAIN_WORDS,  # does not say whether it is to be streamed
    {**PLAIN_WORDS, "stream": False, "top_p": 0.5},
    {**PLAIN_WORDS, "stream": False, "stop": ["END"]},
    {**PLAIN_WORDS, "stream": False, "max_tokens": "9"},
    {**PLAIN_WORDS, "stream": False, "tool_choice": "AUTO"},
    {**PLAIN_WORDS, "stream": False, "messages": [{"role": "chatbot", "content": "Hi"}]},
    {**PLAIN_WORDS, "stream": False, "messages": [{"role": "tool", "content": "Hi"}]},
    {**PLAIN_WORDS, "stream": False, "messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
    {**PLAIN_WORDS, "stream": False, "tools": [{"name": "f", "parameters": {}}]},
    {**PLAIN_WORDS, "stream": False, "response_format": {"type": "json_object", "schema": {}}},
)


async def test_what_we_send_is_of_the_sdk_s_types_and_they_refuse_what_is_wrong() -> None:
    ours = [
        WIRE.sending(request, ASKED, stream=stream).body for request, _ in INTENTS.values() for stream in (False, True)
    ]
    verdicts = await ask("cohere_main.py", {"check": [*ours, *WRONG]})
    assert verdicts[: len(ours)] == [""] * len(ours)
    assert [index for index, wrong in enumerate(verdicts[len(ours) :]) if not wrong] == [], "the oracle can say no"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdk_sends_the_same_for_the_same_intent_and_reads_the_same(stream: bool) -> None:
    interpreter()
    script = provider(
        whole=fixture("cohere/text.json"),
        stream=fixture("cohere/text.sse"),
        busy=("503 Busy", b"{}"),
        kind="text/event-stream",
        asks_stream=lambda request: b'"stream":true' in request.replace(b": ", b":"),
    )
    async with peer(script) as there:
        url = there.url().removesuffix("/v1")
        calls = [{**said, **({"stream": True} if stream else {})} for _, said in INTENTS.values()]
        read = await ask("cohere_main.py", {"url": url, "calls": calls})
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
        assert headers["authorization"] == f"Bearer {KEY}"
        assert their_headers["authorization"].startswith("Bearer ")
    answer = answered(WIRE, fixture("cohere/text.json"))
    billed = [answer.usage.input_tokens, answer.usage.output_tokens]
    assert read == [{"text": answer.text, "calls": [], "finish": "COMPLETE", "usage": billed}] * len(INTENTS)
