"""What is sent to Ollama against its own description of the API."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from naiad.adapters.base import (
    ImagePart,
    Message,
    Request,
    ResponseSchema,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    system,
    user,
)
from naiad.adapters.ollama import OllamaNative
from tests.adapters.shared_data import description
from tests.adapters.talking import answer, sending

WIRE = OllamaNative()
MAP = ToolSpec("map", "Shows a place.", '{"type": "object", "properties": {"of": {"type": "string"}}}')
CALLS = Message(Role.ASSISTANT, (TextPart("So:"), ToolCallPart("c1", "map", '{"of": "Paris"}')))
REQUESTS = {
    "text": Request("tiny:1b", (system("Be short."), user("Hi"))),
    "images": Request("tiny:1b", (Message(Role.USER, (ImagePart("image/png", b"\x89PNG"), TextPart("?"))),)),
    "tools": Request("tiny:1b", (user("Go"), CALLS, Message(Role.TOOL, (ToolResultPart("c1", "", ()),))), tools=(MAP,)),
    "schema": Request("tiny:1b", (user("Go"),), response_schema=ResponseSchema("n", '{"type": "object"}')),
    "tuning": Request("tiny:1b", (user("Go"),), max_output_tokens=5, temperature=0.1, top_p=0.5, stop=("E",), seed=4),
}


@pytest.fixture(scope="module")
def described() -> Any:
    return description("ollama.yaml")


def validator(described: Any, name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
    return jsonschema_rs.validator_for(schema)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_sent_is_valid_by_the_description(name: str, stream: bool, described: Any) -> None:
    body = json.loads(json.dumps(sending(WIRE, REQUESTS[name], stream=stream).body))
    assert [error.message for error in validator(described, "ChatRequest").iter_errors(body)] == []
    assert sending(WIRE, REQUESTS[name]).path in described["paths"]
    known = described["components"]["schemas"]
    assert set(body) <= set(known["ChatRequest"]["properties"])
    assert set(body.get("options", {})) <= set(known["ModelOptions"]["properties"])
    beyond = {key for message in body["messages"] for key in message} - set(known["ChatMessage"]["properties"])
    assert beyond <= {"tool_name", "tool_call_id"}, "of the server's source; the description knows no results of tools"


def test_the_description_would_see_a_mistake(described: Any) -> None:
    valid = validator(described, "ChatRequest")
    assert not valid.is_valid({"model": "m", "messages": [{"role": "nobody", "content": "x"}]})
    assert not valid.is_valid({"model": "m", "messages": [{"role": "user", "content": ["x"]}]})


def test_its_own_example_is_an_answer(described: Any) -> None:
    replies = described["paths"]["/api/chat"]["post"]["responses"]["200"]["content"]
    example = replies["application/json"]["example"]
    found = answer(WIRE, json.dumps(example).encode())
    assert found.text == example["message"]["content"]
    assert found.usage.output_tokens == example["eval_count"]
