"""Gemini's wire format against what nobody here wrote: recorded exchanges, genai-prices, and the API's description."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import jsonschema_rs
import pytest
from genai_prices import extract_usage

from naiad.adapters.base import (
    Answer,
    FinishReason,
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
from naiad.adapters.errors import InvalidRequest, ModelNotFound
from naiad.adapters.gemini import Gemini
from naiad.adapters.wire_format import Framing
from tests.adapters.shared_data import Recorded, description, recorded
from tests.adapters.talking import answer, events, failure, sending, streamed

WIRE = Gemini("v1beta")
HOSTS = ("generativelanguage.googleapis.com", "aiplatform.googleapis.com")
_OF_OPENAI = "/openai/"  # another format, at the same host


def exchanges(host: str) -> list[Recorded]:
    return [one for one in recorded(host) if _OF_OPENAI not in one.path]


def read(one: Recorded) -> Answer:
    return streamed(WIRE, one.body)[1] if "stream" in one.path else answer(WIRE, one.body)


@pytest.mark.parametrize("host", HOSTS)
def test_every_recorded_success_is_an_answer_with_its_facts(host: str) -> None:
    seen = Counter[str]()
    for one in exchanges(host):
        if one.status != 200:
            continue
        found = read(one)
        hidden = any("not shown" in notice for notice in found.notices)
        ended = found.finish in (FinishReason.CONTENT_FILTER, FinishReason.LENGTH, FinishReason.OTHER)
        assert found.parts or hidden or ended, one.id
        assert not found.usage.estimated, one.id
        assert found.usage.input_tokens > 0, one.id
        assert found.model.startswith("gemini"), one.id
        seen[found.finish] += 1
    assert min(seen[FinishReason.STOP], seen[FinishReason.TOOL_CALLS]) > 0, seen
    print(f"{host}: {dict(seen)}")


@pytest.mark.parametrize("host", HOSTS)
def test_every_piece_of_a_recorded_text_is_there(host: str) -> None:
    """Compare with the texts and calls as the bodies have them, found without our reader."""
    for one in exchanges(host):
        if one.status != 200:
            continue
        bodies = [e.data for e in events(Framing.EVENTS, one.body)] if "stream" in one.path else [one.body]
        candidates = [json.loads(body)["candidates"][0] for body in bodies]
        parts = [p for c in candidates for p in c.get("content", {}).get("parts", []) if not p.get("thought")]
        found = read(one)
        assert found.text == "".join(part.get("text", "") for part in parts), one.id
        calls = [part for part in found.parts if isinstance(part, ToolCallPart)]
        wanted = [part["functionCall"] for part in parts if "functionCall" in part]
        assert [(c.name, json.loads(c.arguments)) for c in calls] == [(w["name"], w.get("args", {})) for w in wanted]


@pytest.mark.parametrize("host", HOSTS)
def test_usage_agrees_with_genai_prices(host: str) -> None:
    compared = 0
    for one in exchanges(host):
        if one.status != 200:
            continue
        body = events(Framing.EVENTS, one.body)[-1].data if "stream" in one.path else one.body
        try:
            theirs = extract_usage(json.loads(body), provider_id="google", api_flavor="default").usage
        except (LookupError, ValueError):
            continue
        ours = read(one).usage
        got = (ours.input_tokens, ours.output_tokens, ours.cached_input_tokens, ours.reasoning_tokens)
        wanted = (theirs.input_tokens, theirs.output_tokens, theirs.cache_read_tokens, theirs.output_reasoning_tokens)
        assert got == tuple(count or 0 for count in wanted), one.id
        compared += 1
    assert compared >= 25
    print(f"{host}: {compared} compared")


def test_recorded_failures_have_their_types() -> None:
    kinds = {}
    for host in HOSTS:
        for one in exchanges(host):
            if one.status != 200:
                error = failure(WIRE, one.status, one.body, one.headers)
                said = json.loads(one.body)["error"]["message"]
                assert said[:20] not in str(error)
                kinds[one.status] = type(error)
    assert kinds == {404: ModelNotFound, 400: InvalidRequest}


# --- what is sent ---

MAP = ToolSpec(
    "map", "Shows a place.", '{"type": "object", "properties": {"of": {"type": "string"}}, "required": ["of"]}'
)
PNG = ImagePart("image/png", b"\x89PNG")
CALLS = Message(Role.ASSISTANT, (TextPart("So:"), ToolCallPart("c1", "map", '{"of": "Paris"}')))
RESULT = Message(Role.TOOL, (ToolResultPart("c1", "", (TextPart("a map"), PNG)),))
REQUESTS = {
    "text": Request("gemini-9", (user("Hi"),)),
    "turns": Request("gemini-9", (system("S"), user("Hi"), Message(Role.ASSISTANT, (TextPart("A"),)), user("x"))),
    "images": Request("gemini-9", (Message(Role.USER, (PNG, ImagePart("image/png", url="https://example.com/a"))),)),
    "tools": Request("gemini-9", (user("Go"), CALLS, RESULT), (MAP,), ToolChoice(ToolMode.NAMED, "map")),
    "schema": Request("gemini-9", (user("Go"),), response_schema=ResponseSchema("n", '{"type": "object"}')),
    "tuning": Request("gemini-9", (user("Go"),), max_output_tokens=5, temperature=0.1, top_p=0.5, stop=("E",), seed=4),
}  # fmt: skip


@pytest.fixture(scope="module")
def valid() -> Any:
    spec = description("gemini.json")
    schema = {"$ref": "#/components/schemas/GenerateContentRequest", "components": spec["components"]}
    return jsonschema_rs.validator_for(schema)


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_sent_is_valid_by_the_description(name: str, valid: Any) -> None:
    body = json.loads(json.dumps(sending(WIRE, REQUESTS[name]).body))
    assert [error.message for error in valid.iter_errors(body)] == []


@pytest.mark.parametrize("wrong", [{"content": []}, {"contents": [{"role": "user", "parts": [{"txt": "x"}]}]},
                                   {"contents": [], "generationConfig": {"maxTokens": 3}}])  # fmt: skip
def test_the_description_would_see_a_mistake(wrong: dict[str, Any], valid: Any) -> None:
    assert not valid.is_valid(wrong)


def test_a_path_of_the_description_is_asked() -> None:
    paths = description("gemini.json")["paths"]
    for stream in (False, True):
        path = sending(WIRE, REQUESTS["text"], stream=stream).path
        assert path.replace("gemini-9", "{model}") in paths
    assert WIRE.listing("").path in paths
