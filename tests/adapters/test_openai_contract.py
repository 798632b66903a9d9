"""What is sent in OpenAI's chat format against the vendors' own descriptions; skipped where those are absent."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
)
from tests.adapters.intents import PLACE, PNG, TOOLS, intents
from tests.adapters.shared_data import description
from tests.adapters.talking import sending
from tests.adapters.test_openai_request import spoken

SPECS = {
    "openai": ("openai.yaml", "CreateChatCompletionRequest"),
    "mistral": ("mistral.yaml", "ChatCompletionRequest"),
}


@cache
def _validator(kind: str) -> Any:
    name, schema = SPECS[kind]
    components = description(name)["components"]
    return jsonschema_rs.Draft202012Validator({"components": components, "$ref": f"#/components/schemas/{schema}"})


@pytest.fixture(params=sorted(SPECS))
def kind(request: pytest.FixtureRequest) -> str:
    """Return a vendor with a description."""
    chosen: str = request.param
    _validator(chosen)
    return chosen


def wrong(kind: str, body: Any) -> list[str]:
    """Return what a description finds fault with."""
    return [error.message[:300] for error in _validator(kind).iter_errors(body)]


def body(kind: str, request: Request, *, stream: bool) -> Any:
    """Return what is sent, as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(sending(spoken(kind), request, stream=stream).body))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("intent", intents("m"))
def test_what_is_sent_is_what_the_vendor_describes(kind: str, intent: str, stream: bool) -> None:
    assert wrong(kind, body(kind, intents("some-model")[intent], stream=stream)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 3},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"messages": None},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_schema"}},
        {"stop": [1]},
    ],
)
def test_a_description_sees_mistakes(kind: str, change: dict[str, Any]) -> None:
    found = body(kind, intents("some-model")["text"], stream=False) | change
    if kind == "mistral" and "response_format" in change:
        pytest.skip("Mistral's description lets a format without its schema through")
    assert wrong(kind, found) != []


def test_mistral_knows_no_other_fields() -> None:
    _validator("mistral")
    for field in ("max_completion_tokens", "seed", "stream_options"):
        assert wrong("mistral", body("mistral", intents("m")["text"], stream=False) | {field: 7}) != []


words = st.text(max_size=5)
texts = st.builds(TextPart, words)
images = st.just(ImagePart("image/png", PNG)) | st.just(ImagePart(url="https://example.com/a.png"))
calls = st.builds(ToolCallPart, st.text(min_size=1, max_size=50), st.just("weather"), words)
results = st.builds(
    ToolResultPart, st.text(min_size=1, max_size=50), st.just("weather"), st.lists(texts, max_size=2).map(tuple),
    st.booleans(),
)  # fmt: skip
turns = st.one_of(
    st.builds(Message, st.just(Role.SYSTEM), st.lists(texts, max_size=2).map(tuple)),
    st.builds(Message, st.just(Role.USER), st.lists(texts | images | results, max_size=4).map(tuple)),
    st.builds(Message, st.just(Role.ASSISTANT), st.lists(texts | calls, max_size=3).map(tuple)),
    st.builds(Message, st.just(Role.TOOL), st.lists(results, max_size=3).map(tuple)),
)
choices = st.sampled_from([ToolChoice(mode) for mode in ToolMode if mode is not ToolMode.NAMED])
requests = st.builds(
    Request,
    st.sampled_from(["gpt-4o", "o4-mini", "ft:gpt-4o:team::Ab1", "lab/model:v1"]),
    st.lists(turns, min_size=1, max_size=5).map(tuple),
    tools=st.just(()) | st.just(TOOLS),
    tool_choice=choices,
    response_schema=st.none() | st.just(ResponseSchema("place", PLACE)),
    max_output_tokens=st.none() | st.integers(1, 1 << 40),
    temperature=st.none() | st.floats(0, 5),
    top_p=st.none() | st.floats(0.001, 1),
    stop=st.lists(st.text(min_size=1, max_size=3), max_size=6).map(tuple),
    seed=st.none() | st.integers(-(1 << 62), 1 << 62),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(requests, st.booleans())
def test_whatever_is_asked_is_put_as_the_vendor_describes(kind: str, request: Request, stream: bool) -> None:
    assert wrong(kind, body(kind, request, stream=stream)) == []
