"""Ollama's own wire format: what is sent, what an answer means; and the Adapter suite over a socket."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from naiad.adapters.base import (
    Adapter,
    Claim,
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
    Usage,
    system,
    user,
)
from naiad.adapters.errors import (
    InvalidRequest,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    ServerError,
    Truncated,
    UnsupportedContent,
)
from naiad.adapters.listing import ListedModel
from naiad.adapters.ollama import OllamaNative
from naiad.adapters.profiles import PROFILES
from naiad.adapters.remote import Remote
from naiad.adapters.transport import Transport
from tests.adapters.peer import KEY, Peer, endpoint, peer, peer_elsewhere, transport
from tests.adapters.talking import QUESTION, answer, failure, provider, sending, streamed
from tests.conformance.adapter_suite import PATIENCE_S, AdapterSuite

FIXTURES = Path(__file__).parent / "fixtures" / "ollama"
WIRE = OllamaNative()
MAP = ToolSpec("map", "Shows a place.", '{"type": "object"}')
CLOCK = ToolSpec("clock", "Tells the time.", "{}")
PNG = ImagePart("image/png", b"\x89PNG")


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def body(request: Request, *, stream: bool = False) -> Any:
    return json.loads(json.dumps(sending(WIRE, request, stream=stream).body))


class TestRemoteOllama(AdapterSuite):
    secrets = (KEY,)

    @pytest.fixture(autouse=True)
    async def there(self) -> AsyncIterator[Peer]:
        self.made: list[Remote] = []
        script = provider(
            whole=fixture("answer.json"), stream=fixture("answer.ndjson"),
            busy=("503 Busy", b'{"error": "server busy, please try again"}'), kind="application/x-ndjson",
            asks_stream=lambda request: b'"stream":true' in request,
        )  # fmt: skip
        with peer_elsewhere(script) as self.peer:
            yield self.peer
            for adapter in self.made:
                assert adapter.out.open_exchanges == 0
                await adapter.aclose()

    def make(self) -> Adapter:
        self.made.append(Remote(WIRE, Transport(endpoint(self.peer.url()))))
        return self.made[-1]

    def request(self) -> Request:
        return Request("tiny:1b", (user("What is the capital of France?"),))

    def slow(self) -> tuple[Adapter, Request]:
        return self.make(), Request("tiny:1b", (user("hang"),))

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        return self.make(), Request("tiny:1b", (user("overload"),)), Overloaded

    def open_calls(self, adapter: Adapter) -> int:
        assert isinstance(adapter, Remote)
        return adapter.out.open_exchanges


# --- what is sent ---


def test_turns_and_tuning() -> None:
    request = Request(
        "tiny:1b", (system("Be short."), user("Hi"), Message(Role.ASSISTANT, (TextPart("Hello."),)), user("Bye")),
        response_schema=ResponseSchema("n", '{"type": "object"}'), max_output_tokens=7, temperature=0.5, top_p=0.9,
        stop=("END", "\n"), seed=3,
    )  # fmt: skip
    assert body(request, stream=True) == {
        "model": "tiny:1b",
        "messages": [
            {"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Bye"},
        ],
        "stream": True,
        "format": {"type": "object"},
        "options": {"num_predict": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["END", "\n"], "seed": 3},
    }  # fmt: skip
    assert sending(WIRE, request).path == "/api/chat"
    assert set(body(QUESTION)) == {"model", "messages", "stream"}


def test_images_are_base64() -> None:
    found = body(Request("m", (Message(Role.USER, (TextPart("Look: "), PNG, TextPart("well?"))),)))
    assert found["messages"] == [
        {"role": "user", "content": "Look: well?", "images": [base64.b64encode(PNG.data).decode()]}
    ]


def test_tools_their_calls_and_results() -> None:
    calls = Message(Role.ASSISTANT, (TextPart("So:"), ToolCallPart("c1", "map", '{"of": "Paris"}')))
    result = Message(Role.TOOL, (ToolResultPart("c1", "", (TextPart("a map"),)),))
    found = body(Request("m", (user("Go"), calls, result), tools=(MAP,)))
    assert found["tools"] == [
        {"type": "function", "function": {
            "name": "map", "description": "Shows a place.", "parameters": {"type": "object"},
        }}
    ]  # fmt: skip
    assert found["messages"][1:] == [
        {"role": "assistant", "content": "So:",
         "tool_calls": [{"id": "c1", "function": {"name": "map", "arguments": {"of": "Paris"}}}]},
        {"role": "tool", "content": "a map", "tool_name": "map", "tool_call_id": "c1"},
    ]  # fmt: skip


def test_schemas_that_were_not_given() -> None:
    found = body(Request("m", (user("x"),), tools=(ToolSpec("map", "", ""),), response_schema=ResponseSchema("n", "")))
    assert found["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert found["format"] == "json"


@pytest.mark.parametrize(
    ("choice", "shown", "said"),
    [
        (ToolChoice(ToolMode.AUTO), ["map", "clock"], False),
        (ToolChoice(ToolMode.NONE), [], False),
        (ToolChoice(ToolMode.REQUIRED), ["map", "clock"], True),
        (ToolChoice(ToolMode.NAMED, "clock"), ["clock"], True),
    ],
)
def test_a_choice_of_tools_that_cannot_be_said(choice: ToolChoice, shown: list[str], said: bool) -> None:
    request = Request("m", (user("x"),), tools=(MAP, CLOCK), tool_choice=choice)
    assert [tool["function"]["name"] for tool in body(request).get("tools", [])] == shown
    assert bool(sending(WIRE, request).notices) is said


@pytest.mark.parametrize(
    "request_",
    [
        Request("m", (Message(Role.USER, (ImagePart(url="https://example.com/a.png"),)),)),
        Request("m", (user("x"),), tools=(ToolSpec("map", "", "no schema"),)),
        Request("m", (user("x"),), response_schema=ResponseSchema("n", '"text"')),
        Request("m", (user("x"), Message(Role.ASSISTANT, (ToolCallPart("c", "map", '{"cut'),)))),
    ],
)
def test_content_that_it_has_no_place_for(request_: Request) -> None:
    with pytest.raises(UnsupportedContent):
        sending(WIRE, request_)


# --- what an answer means ---


@pytest.mark.parametrize("how", ["whole", "stream"])
def test_an_answer(how: str) -> None:
    found = answer(WIRE, fixture("answer.json")) if how == "whole" else streamed(WIRE, fixture("answer.ndjson"))[1]
    assert found.parts == (TextPart("Paris is the capital of France."),)
    assert (found.finish, found.usage, found.model) == (FinishReason.STOP, Usage(26, 8), "tiny:1b")
    assert found.notices == ()


def test_calls_of_tools_and_ids_where_there_are_none() -> None:
    _, found = streamed(WIRE, fixture("tools.ndjson"))
    assert found.parts == (
        TextPart("Let me look."),
        ToolCallPart("call_x9", "map", '{"of":"Paris","zoom":2}'),
        ToolCallPart("call_2", "clock", "{}"),
    )
    assert found.finish is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("reason", "finish"),
    [('"stop"', FinishReason.STOP), ("null", FinishReason.STOP), ('""', FinishReason.STOP),
     ('"length"', FinishReason.LENGTH), ('"of next year"', FinishReason.OTHER)],
)  # fmt: skip
def test_reasons_for_the_end(reason: str, finish: FinishReason) -> None:
    assert answer(WIRE, f'{{"done": true, "done_reason": {reason}}}'.encode()).finish is finish


@pytest.mark.parametrize(
    ("count", "usage"),
    [
        ("", Usage(12, 1, estimated=True)),
        (', "eval_count": 3', Usage(12, 3, estimated=True)),
        (', "prompt_eval_count": 9', Usage(9, 1, estimated=True)),
        (', "prompt_eval_count": -9, "eval_count": 3', Usage(12, 3, estimated=True, claim=Claim(-9, 3))),
        (', "prompt_eval_count": 0, "eval_count": 3', Usage(0, 3)),
        (', "prompt_eval_count": 0, "eval_count": 0', Usage(12, 1, estimated=True)),
        (', "prompt_eval_count": 9, "eval_count": 0', Usage(9, 1, estimated=True)),
    ],
)
def test_what_was_not_counted_is_estimated(count: str, usage: Usage) -> None:
    found = answer(WIRE, f'{{"message": {{"content": "Yes"}}, "done": true{count}}}'.encode())
    assert found.usage == usage
    assert bool(found.notices) is usage.estimated


def test_two_calls_of_one_id_get_two() -> None:
    call = {"id": "c", "function": {"name": "clock"}}
    found = answer(WIRE, json.dumps({"message": {"tool_calls": [call, call]}, "done": True}).encode())
    assert found.parts == (ToolCallPart("c", "clock", "{}"), ToolCallPart("call_2", "clock", "{}"))


@pytest.mark.parametrize("said", [b"", b"no", b"[]", b"{}", b'{"done": false}', b'{"done": true, "message": "x"}'])
def test_what_is_no_answer(said: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        answer(WIRE, said)


def test_a_stream_that_is_not_done_is_cut_off() -> None:
    with pytest.raises(Truncated):
        streamed(WIRE, fixture("answer.ndjson").rstrip(b"\n")[:-1])


def test_the_last_line_needs_no_line_feed() -> None:
    assert streamed(WIRE, fixture("answer.ndjson").rstrip(b"\n")) == streamed(WIRE, fixture("answer.ndjson"))


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_model_that_was_only_loaded_has_not_answered(reason: str) -> None:
    line = f'{{"done": true, "done_reason": "{reason}"}}\n'.encode()
    with pytest.raises(MalformedAnswer, match="answered nothing"):
        answer(WIRE, line)
    with pytest.raises(MalformedAnswer, match="answered nothing"):
        streamed(WIRE, line)


def test_an_error_in_a_stream() -> None:
    lines = fixture("answer.ndjson").splitlines(keepends=True)
    with pytest.raises(ServerError) as caught:
        streamed(WIRE, lines[0] + lines[1] + b'{"error": "an error was encountered while running sk-canary"}\n')
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, "registry.example/tiny does not support tools", InvalidRequest),
        (404, "model 'tiny' not found", ModelNotFound),
        (500, "llama runner process has terminated", ServerError),
        (503, "server busy, please try again", Overloaded),
    ],
)
def test_errors_by_status(status: int, said: str, kind: type[ProviderError]) -> None:
    found = failure(WIRE, status, json.dumps({"error": said}).encode())
    assert type(found) is kind
    assert str(found) == f"status {status}"


# --- where it is, and what it has ---


def test_the_profile_is_a_private_endpoint_without_versions() -> None:
    profile = PROFILES["ollama"]
    assert (profile.base_url, profile.private, profile.key_env) == ("http://127.0.0.1:11434", True, "")
    assert profile.wire(endpoint(profile.base_url)) == WIRE
    with pytest.raises(ValueError, match="no versions"):
        profile.wire(endpoint(profile.base_url, api_version="v1"))


async def test_models_are_listed() -> None:
    script = provider(whole=b"", stream=b"", busy=("", b""), kind="", asks_stream=lambda _: False,
                      listing=[fixture("models.json")])  # fmt: skip
    async with peer(script) as there, transport(there.url(), key=None) as out:
        found = await Remote(WIRE, out).list_models(PATIENCE_S)
    assert found == (ListedModel("tiny:1b"), ListedModel("mine:latest"))
    assert there.requests[0].startswith(b"GET /v1/api/tags ")
    assert b"authorization" not in there.requests[0].lower()
