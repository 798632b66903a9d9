"""The vendors' own clients for the same intent: they send the same body, and read the same answer.

They live in an environment of their own, which `make sdks` makes; the tests are skipped where it is absent.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from naiad.adapters.base import ToolCallPart
from tests.adapters.intents import intents
from tests.adapters.peer import peer_elsewhere
from tests.adapters.talking import answer, provider, sending, streamed
from tests.adapters.test_openai_request import spoken

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-sdks" / "bin" / "python"
FIXTURES = Path(__file__).parent / "fixtures" / "openai"
PATIENCE_S = 120.0
MODELS = {"openai": "gpt-4o", "mistral": "mistral-small-latest"}

PLACE = {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False,
}  # fmt: skip
ASK = [{"role": "user", "content": "What is the capital of France?"}]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Says the weather.", "parameters": PLACE}},
    {"type": "function", "function": {"name": "clock", "description": "Says the time.",
                                      "parameters": {"type": "object", "properties": {}}}},
]  # fmt: skip
CALL = {"id": "AbCd12345", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE, "strict": True}}

AS_A_USER_WRITES: dict[str, dict[str, Any]] = {
    "text": {"messages": ASK},
    "conversation": {"messages": [
        {"role": "system", "content": "Be brief."}, *ASK, {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "And Italy?"},
    ]},
    "images": {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "Which?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]}]},
    "tools": {"messages": ASK, "tools": TOOLS},
    "no tool": {"messages": ASK, "tools": TOOLS, "tool_choice": "none"},
    "some tool": {"messages": ASK, "tools": TOOLS, "tool_choice": "required"},
    "this tool": {"messages": ASK, "tools": TOOLS,
                  "tool_choice": {"type": "function", "function": {"name": "weather"}}},
    "tool result": {"tools": TOOLS, "messages": [
        *ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "AbCd12345", "content": "rain"},
    ]},
    "schema": {"messages": ASK, "response_format": FORMAT},
    "tuned": {"messages": ASK, "temperature": 0.25, "top_p": 0.5, "stop": ["END", "STOP"]},
}  # fmt: skip
ITS_OWN_NAMES = {
    "openai": {"max_completion_tokens": 50, "seed": 7},
    "mistral": {"max_tokens": 50, "random_seed": 7},
}


def both(kind: str, intent: str, *, stream: bool) -> dict[str, Any]:
    """Return the arguments of an intent for an SDK."""
    own = ITS_OWN_NAMES[kind] if intent == "tuned" else {}
    return {"model": MODELS[kind], **AS_A_USER_WRITES[intent], **own, **({"stream": True} if stream else {})}


ALL = [(intent, stream) for intent in AS_A_USER_WRITES for stream in (False, True)]


class Captured:
    """What an SDK sent and read, by intent and whether as a stream."""

    def __init__(self, kind: str) -> None:
        if not PYTHON.exists():
            pytest.skip("the vendors' own clients are absent: make sdks")
        script = provider(
            whole=(FIXTURES / "tools.json").read_bytes(),
            stream=(FIXTURES / "text.sse").read_bytes(),
            busy=("529 Busy", b"{}"),
            kind="text/event-stream",
            asks_stream=lambda request: json.loads(request.partition(b"\r\n\r\n")[2]).get("stream") is True,
        )
        with peer_elsewhere(script) as there:
            url = there.url() if kind == "openai" else there.url().removesuffix("/v1")
            done = subprocess.run(
                [PYTHON, ROOT / "tests" / "sdks" / f"{kind}_main.py"],
                input=json.dumps({"url": url, "calls": [both(kind, intent, stream=stream) for intent, stream in ALL]}),
                capture_output=True, text=True, timeout=PATIENCE_S, check=False, env={"NO_PROXY": "*"},
            )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2_000:]
        bodies = [request.partition(b"\r\n\r\n") for request in there.requests]
        assert len(bodies) == len(ALL)
        self.lines = [head.split(b"\r\n")[0] for head, _, _ in bodies]
        self.sent = dict(zip(ALL, (json.loads(body) for _, _, body in bodies), strict=True))
        self.read = dict(zip(ALL, json.loads(done.stdout), strict=True))


@pytest.fixture(scope="module", params=sorted(MODELS))
def sdk(request: pytest.FixtureRequest) -> tuple[str, Captured]:
    """Return a vendor and what its SDK did."""
    return request.param, Captured(request.param)


WRITTEN_OUT: dict[str, dict[str, Any]] = {
    "openai": {},
    "mistral": {  # defaults of the API's description, which Mistral's SDK sends and which mean nothing else
        "stream": False,
        "prefix": False,  # of an assistant's message
        "index": 0,  # of a tool call
    },
}
"""The only differences: fields that an SDK sends with their default."""


def without(value: Any, defaults: dict[str, Any], seen: set[str]) -> Any:
    """Return a body without fields at their default; seen: gets their names."""
    if isinstance(value, list):
        return [without(item, defaults, seen) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, inner in value.items():
        if name in defaults and inner is not None and inner == defaults[name]:
            seen.add(name)
        else:
            found[name] = without(inner, defaults, seen)
    return found


@pytest.mark.parametrize(("intent", "stream"), ALL)
def test_the_body_is_the_sdks(sdk: tuple[str, Captured], intent: str, stream: bool) -> None:
    kind, captured = sdk
    request = intents(MODELS[kind])[intent]
    ours = msgspec.json.decode(msgspec.json.encode(sending(spoken(kind), request, stream=stream).body))
    assert ours == without(captured.sent[intent, stream], WRITTEN_OUT[kind], set())


def test_every_difference_that_is_listed_is_one(sdk: tuple[str, Captured]) -> None:
    kind, captured = sdk
    seen: set[str] = set()
    for body in captured.sent.values():
        without(body, WRITTEN_OUT[kind], seen)
    assert seen == set(WRITTEN_OUT[kind])


def test_it_goes_to_the_same_place(sdk: tuple[str, Captured]) -> None:
    _, captured = sdk
    assert set(captured.lines) == {b"POST /v1/chat/completions HTTP/1.1"}


def test_the_answer_is_read_alike(sdk: tuple[str, Captured]) -> None:
    kind, captured = sdk
    whole = answer(spoken(kind), (FIXTURES / "tools.json").read_bytes())
    _, stream = streamed(spoken(kind), (FIXTURES / "text.sse").read_bytes())
    for found, theirs in ((whole, captured.read["text", False]), (stream, captured.read["text", True])):
        calls = [[part.id, part.name, part.arguments] for part in found.parts if isinstance(part, ToolCallPart)]
        usage = [found.usage.input_tokens, found.usage.output_tokens, found.usage.cached_input_tokens]
        assert theirs == {
            "text": found.text, "calls": calls, "finish": found.finish.value, "usage": usage[: len(theirs["usage"])],
        }  # fmt: skip
