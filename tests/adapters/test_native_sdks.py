"""Google's and Ollama's own clients for the same intent: they send the same body, and read the same answer.

They live in an environment of their own, which `make sdks` makes; the tests are skipped where it is absent.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from naiad.adapters.base import (
    Answer,
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
from naiad.adapters.gemini import Gemini
from naiad.adapters.gemini_request import UNSIGNED
from naiad.adapters.ollama import OllamaNative
from naiad.adapters.wire_format import WireFormat
from tests.adapters.peer import peer_elsewhere
from tests.adapters.talking import answer, provider, sending, streamed

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-sdks" / "bin" / "python"
FIXTURES = Path(__file__).parent / "fixtures"
PATIENCE_S = 120.0
MODEL = "tiny"
PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PNG = b"\x89PNG\r\n\x1a\n"
PNG_64 = "iVBORw0KGgo="
ASK = user("What is the capital of France?")
WEATHER = ToolSpec("weather", "Says the weather.", json.dumps(PLACE))
CALL = Message(Role.ASSISTANT, (ToolCallPart("c1", "weather", '{"city": "Paris"}'),))
RESULT = Message(Role.TOOL, (ToolResultPart("c1", "weather", (TextPart("rain"),)),))

INTENTS = {
    "text": Request(MODEL, (ASK,)),
    "turns": Request(MODEL, (system("Be brief."), ASK, Message(Role.ASSISTANT, (TextPart("Paris."),)), user("And?"))),
    "image": Request(MODEL, (Message(Role.USER, (TextPart("Which?"), ImagePart("image/png", PNG))),)),
    "tools": Request(MODEL, (ASK,), tools=(WEATHER,)),
    "result": Request(MODEL, (ASK, CALL, RESULT), tools=(WEATHER,)),
    "schema": Request(MODEL, (ASK,), response_schema=ResponseSchema("place", json.dumps(PLACE))),
    "tuned": Request(MODEL, (ASK,), max_output_tokens=50, temperature=0.25, top_p=0.5, stop=("END",), seed=7),
    "this tool": Request(MODEL, (ASK,), tools=(WEATHER,), tool_choice=ToolChoice(ToolMode.NAMED, "weather")),
}

SAID = {"role": "user", "parts": [{"text": ASK.text}]}
DECLARED = {"tools": [{"function_declarations": [
    {"name": "weather", "description": "Says the weather.", "parameters_json_schema": PLACE}
]}]}  # fmt: skip
OF_GEMINI: dict[str, dict[str, Any]] = {
    "text": {"contents": [SAID]},
    "turns": {
        "contents": [
            SAID, {"role": "model", "parts": [{"text": "Paris."}]}, {"role": "user", "parts": [{"text": "And?"}]},
        ],
        "config": {"system_instruction": {"parts": [{"text": "Be brief."}]}},
    },
    "image": {"contents": [{"role": "user", "parts": [
        {"text": "Which?"}, {"inline_data": {"mime_type": "image/png", "data": PNG_64}},
    ]}]},
    "tools": {"contents": [SAID], "config": DECLARED},
    "result": {"config": DECLARED, "contents": [
        SAID,
        {"role": "model", "parts": [
            {"function_call": {"id": "c1", "name": "weather", "args": {"city": "Paris"}},
             "thought_signature": UNSIGNED},
        ]},
        {"role": "user", "parts": [
            {"function_response": {"id": "c1", "name": "weather", "response": {"output": "rain"}}},
        ]},
    ]},
    "schema": {"contents": [SAID], "config": {"response_mime_type": "application/json", "response_json_schema": PLACE}},
    "tuned": {"contents": [SAID], "config": {
        "max_output_tokens": 50, "temperature": 0.25, "top_p": 0.5, "stop_sequences": ["END"], "seed": 7,
    }},
    "this tool": {"contents": [SAID], "config": {**DECLARED, "tool_config": {"function_calling_config": {
        "mode": "ANY", "allowed_function_names": ["weather"],
    }}}},
}  # fmt: skip

ASKED = {"role": "user", "content": ASK.text}
OFFERED = {"tools": [{"type": "function", "function": {
    "name": "weather", "description": "Says the weather.", "parameters": PLACE,
}}]}  # fmt: skip
OF_OLLAMA: dict[str, dict[str, Any]] = {
    "text": {"messages": [ASKED]},
    "turns": {"messages": [
        {"role": "system", "content": "Be brief."}, ASKED, {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "And?"},
    ]},
    "image": {"messages": [{"role": "user", "content": "Which?", "images": [PNG_64]}]},
    "tools": {"messages": [ASKED], **OFFERED},
    "result": {**OFFERED, "messages": [
        ASKED,
        {"role": "assistant", "content": "",
         "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}]},
        {"role": "tool", "content": "rain", "tool_name": "weather"},
    ]},
    "schema": {"messages": [ASKED], "format": PLACE},
    "tuned": {"messages": [ASKED], "options": {
        "num_predict": 50, "temperature": 0.25, "top_p": 0.5, "stop": ["END"], "seed": 7,
    }},
    "this tool": {"messages": [ASKED], **OFFERED},
}  # fmt: skip

KINDS: dict[str, tuple[WireFormat, dict[str, dict[str, Any]], str, str]] = {
    "gemini": (Gemini(), OF_GEMINI, "answer.json", "tools.sse"),
    "ollama": (OllamaNative(), OF_OLLAMA, "answer.json", "tools.ndjson"),
}
ALL = [(intent, stream) for intent in INTENTS for stream in (False, True)]


class Captured:
    """What an SDK sent and read, by intent and whether as a stream."""

    def __init__(self, kind: str) -> None:
        self.wire, written, whole, stream = KINDS[kind]
        self.kind = kind
        self.whole, self.stream = ((FIXTURES / kind / name).read_bytes() for name in (whole, stream))
        if not PYTHON.exists():
            pytest.skip("the vendors' own clients are absent: make sdks")
        script = provider(
            whole=self.whole, stream=self.stream, busy=("529 Busy", b"{}"), kind="text/event-stream",
            asks_stream=lambda request: b":streamGenerateContent" in request or b'"stream":true' in request,
        )  # fmt: skip
        calls = [{"model": MODEL, **written[intent], **({"stream": True} if stream else {})} for intent, stream in ALL]
        with peer_elsewhere(script) as there:
            done = subprocess.run(
                [PYTHON, ROOT / "tests" / "sdks" / f"{kind}_main.py"],
                input=json.dumps({"url": there.url().removesuffix("/v1"), "calls": calls}),
                capture_output=True, text=True, timeout=PATIENCE_S, check=False, env={"NO_PROXY": "*"},
            )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2_000:]
        requests = [request.partition(b"\r\n\r\n") for request in there.requests]
        assert len(requests) == len(ALL)
        self.lines = dict(zip(ALL, (head.split(b"\r\n")[0].decode() for head, _, _ in requests), strict=True))
        self.heads = [head.lower() for head, _, _ in requests]
        self.sent = dict(zip(ALL, (json.loads(body) for _, _, body in requests), strict=True))
        self.read = dict(zip(ALL, json.loads(done.stdout), strict=True))


@pytest.fixture(scope="module", params=sorted(KINDS))
def sdk(request: pytest.FixtureRequest) -> Captured:
    """Return what a vendor's SDK did."""
    return Captured(request.param)


def alike(kind: str, body: Any) -> Any:
    """Return a body without what may differ, which is all that may: see the words beside each."""
    if kind == "ollama":
        for message in body["messages"]:
            message.setdefault("content", "")  # the SDK leaves an empty one out, against the description
            message.pop("tool_call_id", None)  # the server takes it; the SDK knows none yet
            for call in message.get("tool_calls", []):
                call.pop("id", None)  # so too
        body.setdefault("options", {})  # the SDK writes empty tables
        body.setdefault("tools", [])
        body.pop("stream", None)  # the SDK's default is left out
    if kind == "gemini":
        text = json.dumps(body)  # the SDK writes some fields by their other name; both are taken
        for other, name in (("parameters_json_schema", "parametersJsonSchema"), ("mime_type", "mimeType")):
            text = text.replace(f'"{other}":', f'"{name}":')
        body = json.loads(text)
        body.setdefault("generationConfig", {})  # the SDK writes an empty table
    if "systemInstruction" in body:
        body["systemInstruction"].setdefault("role", "user")  # the SDK sets it; it has no meaning there
    return body


@pytest.mark.parametrize(("intent", "stream"), ALL)
def test_the_request_is_the_sdks(sdk: Captured, intent: str, stream: bool) -> None:
    ours = sending(sdk.wire, INTENTS[intent], stream=stream)
    query = "&".join(f"{name}={value}" for name, value in ours.params.items())
    assert sdk.lines[intent, stream] == f"POST {ours.path}{'?' + query if query else ''} HTTP/1.1"
    assert alike(sdk.kind, json.loads(json.dumps(ours.body))) == alike(sdk.kind, sdk.sent[intent, stream])


def test_the_key_goes_where_the_sdk_puts_it(sdk: Captured) -> None:
    for head in sdk.heads:
        assert (b"\r\nx-goog-api-key: sk-of-the-sdk" in head) is (sdk.kind == "gemini")


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_is_the_sdks(sdk: Captured, stream: bool) -> None:
    found: Answer = streamed(sdk.wire, sdk.stream)[1] if stream else answer(sdk.wire, sdk.whole)
    read = sdk.read["text", stream]
    calls = [part for part in found.parts if isinstance(part, ToolCallPart)]
    assert found.text == read["text"]
    assert [[call.name, json.loads(call.arguments)] for call in calls] == [[n, a or {}] for n, a in read["calls"]]
    assert read["finish"].lower() == "stop"
    usage, counts = found.usage, [count or 0 for count in read["usage"]]
    if sdk.kind == "gemini":
        assert [usage.output_tokens, usage.reasoning_tokens, usage.cached_input_tokens] == [
            counts[1] + counts[2], counts[2], counts[3],
        ]  # fmt: skip
    else:
        assert [usage.input_tokens, usage.output_tokens] == counts
