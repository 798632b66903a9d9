"""Whatever comes in, only ProviderError goes out, and a stream that is cut anywhere is no short success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.adapters.base import Answer
from naiad.adapters.errors import ProviderError, Truncated
from naiad.adapters.gemini import Gemini
from naiad.adapters.ollama import OllamaNative
from naiad.adapters.wire_format import Framing, WireFormat
from tests.adapters.talking import answer, failure, reply, streamed

FIXTURES = Path(__file__).parent / "fixtures"
FORMATS: dict[str, WireFormat] = {"gemini": Gemini(), "ollama": OllamaNative()}
KEYS = (
    "candidates", "content", "parts", "text", "thought", "functionCall", "name", "args", "id", "finishReason",
    "usageMetadata", "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount",
    "promptFeedback", "blockReason", "modelVersion", "responseId", "error", "code", "status", "details", "violations",
    "quotaId", "retryDelay", "reason", "models", "nextPageToken", "inputTokenLimit", "supportedGenerationMethods",
    "message", "tool_calls", "function", "arguments", "done", "done_reason", "prompt_eval_count", "eval_count", "model",
)  # fmt: skip
CANARY = "the canary said so"
WORDS = [
    CANARY,
    "STOP",
    "stop",
    "SAFETY",
    "RESOURCE_EXHAUSTED",
    "INVALID_ARGUMENT",
    "22s",
    "x-PerDay",
    "generateContent",
]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
COUNTS = st.dictionaries(st.sampled_from([key for key in KEYS if "oken" in key or "count" in key]), LEAVES)
PARTS = st.lists(
    st.fixed_dictionaries(
        {}, optional={"text": LEAVES, "thought": LEAVES, "functionCall": VALUES, "inlineData": VALUES, "id": LEAVES}
    ),
    max_size=2,
)
CANDIDATES = st.lists(
    st.fixed_dictionaries({}, optional={"content": st.fixed_dictionaries({"parts": PARTS}), "finishReason": LEAVES}),
    max_size=2,
)
RESPONSES = st.fixed_dictionaries(
    {}, optional={"candidates": CANDIDATES, "usageMetadata": COUNTS, "modelVersion": LEAVES, "promptFeedback": VALUES,
                  "error": VALUES, "responseId": LEAVES},
)  # fmt: skip
CHATS = st.fixed_dictionaries(
    {"done": st.booleans()},
    optional={"message": st.fixed_dictionaries({}, optional={"content": LEAVES, "tool_calls": VALUES}),
              "done_reason": LEAVES, "prompt_eval_count": LEAVES, "eval_count": LEAVES, "model": LEAVES},
)  # fmt: skip
ERRORS = st.fixed_dictionaries({"error": VALUES | st.dictionaries(
    st.sampled_from(["code", "status", "message", "details"]),
    VALUES | st.lists(st.dictionaries(st.sampled_from(["retryDelay", "violations", "reason"]), VALUES), max_size=2),
)})  # fmt: skip
BODIES = st.binary(max_size=60) | (VALUES | RESPONSES | CHATS | ERRORS).map(msgspec.json.encode)
wires = pytest.mark.parametrize("wire", FORMATS.values(), ids=FORMATS)


def outcome(call: Any, *args: Any) -> Any:
    """Return what a call returns, or the ProviderError that it raises, checked to quote nothing."""
    try:
        found = call(*args)
    except ProviderError as error:
        found = error
    if isinstance(found, ProviderError):
        assert CANARY not in str(found)
        assert found.__cause__ is None
        assert found.__context__ is None
    return found


@wires
@given(body=BODIES)
def test_a_whole_reply_of_any_bytes(wire: WireFormat, body: bytes) -> None:
    found = outcome(answer, wire, body)
    assert isinstance(found, Answer | ProviderError)
    if isinstance(found, Answer):
        assert not any(CANARY in notice for notice in found.notices)


@wires
@given(bodies=st.lists(BODIES, max_size=5))
def test_a_stream_of_any_bytes(wire: WireFormat, bodies: list[bytes]) -> None:
    if wire.framing is Framing.EVENTS:
        stream = b"".join(b"data: " + body.replace(b"\n", b" ") + b"\n\n" for body in bodies)
    else:
        stream = b"".join(body.replace(b"\n", b" ") + b"\n" for body in bodies)
    outcome(streamed, wire, stream)


@wires
@given(status=st.sampled_from([300, 400, 401, 404, 418, 429, 500, 503, 599]), body=BODIES)
def test_a_failure_of_any_bytes(wire: WireFormat, status: int, body: bytes) -> None:
    found = failure(wire, status, body)
    assert found.status == status
    assert (found.provider, found.model) == ("peer", "some-model")
    wait = found.retry_after_s
    assert wait is None or 0 <= wait <= 86_400


@wires
@given(body=BODIES)
def test_a_list_of_models_of_any_bytes(wire: WireFormat, body: bytes) -> None:
    outcome(wire.listed, reply(body), "")


@pytest.mark.parametrize(
    "name", ["gemini/answer.sse", "gemini/tools.sse", "ollama/answer.ndjson", "ollama/tools.ndjson"]
)
def test_a_stream_that_is_cut_anywhere_is_whole_or_truncated(name: str) -> None:
    wire = FORMATS[name.partition("/")[0]]
    stream = (FIXTURES / name).read_bytes()
    deltas, whole = streamed(wire, stream)
    for end in range(len(stream)):
        try:
            assert streamed(wire, stream[:end]) == (deltas, whole)
        except Truncated:
            continue
        assert not stream[end:].strip(), "nothing that matters was cut"


@pytest.mark.parametrize("name", ["gemini/answer.sse", "ollama/answer.ndjson"])
@settings(max_examples=200)
@given(data=st.data())
def test_a_stream_with_a_damaged_byte(name: str, data: st.DataObject) -> None:
    stream = bytearray((FIXTURES / name).read_bytes())
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    outcome(streamed, FORMATS[name.partition("/")[0]], bytes(stream))
