"""Gemini's wire format: what is sent, what answers and errors mean; and the Adapter suite over a socket."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from naiad.adapters.base import (
    Adapter,
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
    AuthenticationFailed,
    ContextTooLong,
    InvalidRequest,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
    Truncated,
    UnsupportedContent,
)
from naiad.adapters.gemini import Gemini
from naiad.adapters.gemini_reply import Response
from naiad.adapters.gemini_request import MOST_STOPS, UNSIGNED
from naiad.adapters.listing import ListedModel
from naiad.adapters.profiles import PROFILES
from naiad.adapters.remote import Remote
from naiad.adapters.transport import Transport
from tests.adapters.peer import KEY, Peer, endpoint, peer, peer_elsewhere, serving, transport
from tests.adapters.peer import response as http
from tests.adapters.talking import ASKED, answer, failure, has, provider, sending, streamed
from tests.conformance.adapter_suite import PATIENCE_S, AdapterSuite

FIXTURES = Path(__file__).parent / "fixtures" / "gemini"
WIRE = Gemini()
MAP = ToolSpec("map", "Shows a place.", '{"type": "object", "properties": {"of": {"type": "string"}}}')
PNG = ImagePart("image/png", b"\x89PNG")
BUSY = b'{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}'


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def body(request: Request) -> Any:
    return json.loads(json.dumps(sending(WIRE, request).body))


class TestRemoteGemini(AdapterSuite):
    secrets = (KEY,)

    @pytest.fixture(autouse=True)
    async def there(self) -> AsyncIterator[Peer]:
        self.made: list[Remote] = []
        script = provider(
            whole=fixture("answer.json"), stream=fixture("answer.sse"), busy=("503 Busy", BUSY),
            kind="text/event-stream", asks_stream=lambda request: b":streamGenerateContent?alt=sse" in request,
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
        return Request("gemini-9-flash", (user("What is the capital of France?"),))

    def slow(self) -> tuple[Adapter, Request]:
        return self.make(), Request("gemini-9-flash", (user("hang"),))

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        return self.make(), Request("gemini-9-flash", (user("overload"),)), Overloaded

    def open_calls(self, adapter: Adapter) -> int:
        assert isinstance(adapter, Remote)
        return adapter.out.open_exchanges


# --- what is sent ---


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize(
    ("model", "name"), [("g", "models/g"), ("models/g", "models/g"), ("tunedModels/m", "tunedModels/m")]
)
def test_version_and_model_are_in_the_path(version: str, model: str, name: str) -> None:
    wire = Gemini(version)
    request = Request(model, (user("x"),))
    assert sending(wire, request).path == f"/{version}/{name}:generateContent"
    assert sending(wire, request).params == {}
    assert sending(wire, request, stream=True).path == f"/{version}/{name}:streamGenerateContent"
    assert sending(wire, request, stream=True).params == {"alt": "sse"}


def test_a_version_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="v1 and v1beta"):
        Gemini("v2")


@pytest.mark.parametrize("model", ["..", "a/b", "models/", "models/..", "../x", "models/a/b"])
def test_a_name_that_can_be_no_model(model: str) -> None:
    with pytest.raises(ModelNotFound):
        sending(WIRE, Request(model, (user("x"),)))


def test_the_profile_has_both_versions() -> None:
    profile = PROFILES["gemini"]
    assert profile.wire(endpoint("https://example.com", private=False)) == Gemini("v1")
    assert profile.wire(endpoint("https://example.com", private=False, api_version="v1beta")) == Gemini("v1beta")
    with pytest.raises(ValueError, match="v1beta"):
        profile.wire(endpoint("https://example.com", private=False, api_version="v3"))


def test_turns_alternate_and_system_stands_apart() -> None:
    found = body(Request("g", (
        system("Be short."), user("Hi"), user("there"), Message(Role.ASSISTANT, (TextPart("Hello."),)), user("Bye"),
        system("Be kind."),
    )))  # fmt: skip
    assert found["systemInstruction"] == {"parts": [{"text": "Be short."}, {"text": "Be kind."}]}
    assert found["contents"] == [
        {"role": "user", "parts": [{"text": "Hi"}, {"text": "there"}]},
        {"role": "model", "parts": [{"text": "Hello."}]},
        {"role": "user", "parts": [{"text": "Bye"}]},
    ]
    assert set(found) == {"systemInstruction", "contents"}, "nothing is said that was not asked for"


def test_images_by_bytes_and_by_address() -> None:
    shown = Message(Role.USER, (TextPart("Look:"), PNG, ImagePart("image/jpeg", url="https://example.com/a.jpg"),
                                ImagePart(url="https://example.com/b")))  # fmt: skip
    parts = has(body(Request("g", (shown,))), "contents", 0, "parts")
    assert parts == [
        {"text": "Look:"},
        {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG.data).decode()}},
        {"fileData": {"fileUri": "https://example.com/a.jpg", "mimeType": "image/jpeg"}},
        {"fileData": {"fileUri": "https://example.com/b"}},
    ]


def test_tools_their_calls_and_results() -> None:
    calls = Message(Role.ASSISTANT, (ToolCallPart("c1", "map", '{"of": "Paris"}'), ToolCallPart("", "clock", "")))
    results = (
        Message(Role.TOOL, (ToolResultPart("c1", "", (TextPart("a map"), PNG)),)),
        Message(Role.TOOL, (ToolResultPart("", "clock", (TextPart("broken"),), is_error=True),)),
    )
    found = body(Request("g", (user("Go"), calls, *results), tools=(MAP,)))
    assert found["tools"] == [{"functionDeclarations": [
        {"name": "map", "description": "Shows a place.", "parametersJsonSchema": json.loads(MAP.parameters)}
    ]}]  # fmt: skip
    assert "toolConfig" not in found
    assert found["contents"][1:] == [
        {"role": "model", "parts": [
            {"functionCall": {"name": "map", "args": {"of": "Paris"}, "id": "c1"}, "thoughtSignature": UNSIGNED},
            {"functionCall": {"name": "clock", "args": {}}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {
                "name": "map", "id": "c1", "response": {"output": "a map"},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG.data).decode()}}],
            }},
            {"functionResponse": {"name": "clock", "response": {"error": "broken"}}},
        ]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(ToolMode.NONE), {"mode": "NONE"}),
        (ToolChoice(ToolMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(ToolMode.NAMED, "map"), {"mode": "ANY", "allowedFunctionNames": ["map"]}),
    ],
)
def test_choice_of_tools(choice: ToolChoice, config: dict[str, Any]) -> None:
    found = body(Request("g", (user("x"),), tools=(MAP,), tool_choice=choice))
    assert found["toolConfig"] == {"functionCallingConfig": config}


def test_tuning_and_schema() -> None:
    request = Request(
        "g", (user("x"),), response_schema=ResponseSchema("place", '{"type": "object"}'), max_output_tokens=7,
        temperature=0.5, top_p=0.9, stop=("END",), seed=3,
    )  # fmt: skip
    assert body(request)["generationConfig"] == {
        "maxOutputTokens": 7, "temperature": 0.5, "topP": 0.9, "seed": 3, "stopSequences": ["END"],
        "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
    }  # fmt: skip
    assert sending(WIRE, request).notices == ()


def test_schemas_that_were_not_given() -> None:
    found = body(Request("g", (user("x"),), tools=(ToolSpec("map", "", ""),), response_schema=ResponseSchema("n", "")))
    assert found["tools"] == [{"functionDeclarations": [{"name": "map", "description": ""}]}]
    assert found["generationConfig"] == {"responseMimeType": "application/json"}


def test_tuning_that_it_does_not_take_is_left_out_and_said_so() -> None:
    found = sending(WIRE, Request("g", (user("x"),), stop=tuple("abcdefg"), seed=1 << 40))
    assert found.body["generationConfig"] == {"stopSequences": list("abcde")}
    assert len(found.notices) == 2
    assert f"{MOST_STOPS} stop sequences" in found.notices[0]
    assert "seed" in found.notices[1]


@pytest.mark.parametrize(
    "request_",
    [
        Request("g", (system("alone"),)),
        Request("g", (Message(Role.SYSTEM, (PNG,)), user("x"))),
        Request("g", (user("x"),), tools=(ToolSpec("map", "", "no schema"),)),
        Request("g", (user("x"),), tools=(ToolSpec("map", "", "[1]"),)),
        Request("g", (user("x"),), response_schema=ResponseSchema("n", "{'single'}")),
        Request("g", (user("x"), Message(Role.ASSISTANT, (ToolCallPart("c", "map", '{"cut'),)))),
        Request("g", (user("x"), Message(Role.TOOL, (ToolResultPart("nobody", "", ()),)))),
    ],
)
def test_content_that_it_has_no_place_for(request_: Request) -> None:
    with pytest.raises(UnsupportedContent) as caught:
        sending(WIRE, request_)
    assert caught.value.__context__ is None
    assert "single" not in str(caught.value)


# --- what an answer means ---


@pytest.mark.parametrize("how", ["whole", "stream"])
def test_an_answer(how: str) -> None:
    found = answer(WIRE, fixture("answer.json")) if how == "whole" else streamed(WIRE, fixture("answer.sse"))[1]
    assert found.parts == (TextPart("Paris is the capital of France."),)
    assert found.finish is FinishReason.STOP
    assert found.usage == Usage(45, 29, cached_input_tokens=16, reasoning_tokens=21)
    assert (found.model, found.provider_request_id, found.notices) == ("gemini-9-flash-001", "Ab3-xY_9", ())


def test_calls_of_tools_in_a_stream_and_ids_where_there_are_none() -> None:
    earlier = Message(Role.ASSISTANT, (ToolCallPart("call_1", "map", "{}"),))
    request = Request("g", (user("x"), earlier, Message(Role.TOOL, (ToolResultPart("call_1", "map", ()),))))
    _, found = streamed(WIRE, fixture("tools.sse"), request)
    assert found.parts == (
        TextPart("Let me look."),
        ToolCallPart("a1b2", "map", '{"of":"Paris","zoom":2}'),
        ToolCallPart("call_3", "clock", "{}"),
    )
    assert found.finish is FinishReason.TOOL_CALLS
    assert "Thinking" not in found.text


def test_parts_that_are_not_shown_are_counted() -> None:
    found = answer(WIRE, fixture("code.json"))
    assert found.text == "It is 42."
    assert [notice for notice in found.notices if "not shown" in notice] == [
        "Gemini's answer has parts that are not shown: 2 of code.",
        "Gemini's answer has parts that are not shown: 1 of data.",
        "Gemini's answer has parts that are not shown: 1 of unknown kind.",
    ]


def test_a_prompt_that_was_blocked_is_an_outcome() -> None:
    found = answer(WIRE, fixture("blocked_prompt.json"))
    assert (found.parts, found.finish, found.usage) == ((), FinishReason.CONTENT_FILTER, Usage(12, 0))
    line = json.dumps(json.loads(fixture("blocked_prompt.json")))
    assert streamed(WIRE, f"data: {line}\n\n".encode()) == ([], found)


REASONS = {
    "STOP": FinishReason.STOP, "MAX_TOKENS": FinishReason.LENGTH, "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER, "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER, "SPII": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER, "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER, "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    "ESCALATION": FinishReason.CONTENT_FILTER, "CONTINUATION": FinishReason.LENGTH,
    "LANGUAGE": FinishReason.OTHER, "OTHER": FinishReason.OTHER, "UNEXPECTED_TOOL_CALL": FinishReason.OTHER,
    "TOO_MANY_TOOL_CALLS": FinishReason.OTHER, "MISSING_THOUGHT_SIGNATURE": FinishReason.OTHER,
    "NO_IMAGE": FinishReason.OTHER, "IMAGE_OTHER": FinishReason.OTHER,
}  # fmt: skip


@pytest.mark.parametrize(("word", "reason"), REASONS.items())
def test_reasons_for_the_end(word: str, reason: FinishReason) -> None:
    found = answer(WIRE, json.dumps({
        "candidates": [{"finishReason": word}], "usageMetadata": {"promptTokenCount": 3},
    }).encode())  # fmt: skip
    assert found.finish is reason
    assert any(word in notice for notice in found.notices) is (reason is FinishReason.OTHER)


@pytest.mark.parametrize(
    ("word", "kind"),
    [("MALFORMED_FUNCTION_CALL", MalformedAnswer), ("MALFORMED_RESPONSE", MalformedAnswer),
     ("PUP_LIMITED_DISABLED", AuthenticationFailed)],
)  # fmt: skip
def test_a_reason_that_is_a_failure(word: str, kind: type[ProviderError]) -> None:
    said = json.dumps({"candidates": [{"content": {"parts": [{"text": "I will call"}]}, "finishReason": word}]})
    with pytest.raises(kind, match=word):
        answer(WIRE, said.encode())
    with pytest.raises(kind):
        streamed(WIRE, fixture("answer.sse").partition(b"\n\n")[0] + f"\n\ndata: {said}\n\n".encode())


def test_a_reason_that_is_not_known_is_not_quoted() -> None:
    found = answer(WIRE, b'{"candidates": [{"finishReason": "sk-canary"}], "usageMetadata": {"promptTokenCount": 3}}')
    assert found.finish is FinishReason.OTHER
    assert "not known here" in found.notices[0]
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    "count",
    ["{}", '{"promptTokenCount": -1}', '{"promptTokenCount": 3, "cachedContentTokenCount": 9}',
     '{"promptTokenCount": 5000000000000000}'],
)  # fmt: skip
def test_a_count_that_lies_is_estimated(count: str) -> None:
    said = '{"candidates": [{"content": {"parts": [{"text": "Yes."}]}, "finishReason": "STOP"}], "usageMetadata": %s}'
    found = answer(WIRE, (said % count).encode())
    assert found.usage.estimated
    assert found.usage.output_tokens == 1
    assert "estimated" in found.notices[0]


@pytest.mark.parametrize(
    "said",
    [b"", b"no", b"[]", b"{}", b'{"candidates": []}', b'{"candidates": [{"content": {"parts": [{"text": "Yes."}]}}]}',
     b'{"candidates": [{"content": {"parts": [{"text": 3}]}, "finishReason": "STOP"}]}',
     b'{"candidates": ' + b"[" * 9999],
)  # fmt: skip
def test_what_is_no_answer(said: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        answer(WIRE, said)


def test_a_stream_without_a_reason_for_its_end_is_cut_off() -> None:
    cut = fixture("answer.sse").rpartition(b"data: ")[0]
    with pytest.raises(Truncated):
        streamed(WIRE, cut)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [("UNAVAILABLE", 503, Overloaded), ("RESOURCE_EXHAUSTED", 429, RateLimited), ("sk-canary-9", 9, ServerError)],
)
def test_an_error_in_a_stream(status: str, code: int, kind: type[ProviderError]) -> None:
    event = json.dumps({"error": {"code": code, "status": status, "message": "sk-canary"}})
    with pytest.raises(kind) as caught:
        streamed(WIRE, fixture("answer.sse").partition(b"\n\n")[0] + f"\n\ndata: {event}\n\n".encode())
    assert "canary" not in str(caught.value)
    assert (caught.value.status == code) is (code > 100)


def piece(text: str = "", reason: str = "", count: tuple[int, int] | None = None, **more: Any) -> dict[str, Any]:
    """Return a response with one candidate; count: read, written."""
    content = {"content": {"parts": [{"text": text}]}} if text else {}
    usage = {"usageMetadata": {"promptTokenCount": count[0], "candidatesTokenCount": count[1]}} if count else {}
    return {"candidates": [{**content, **({"finishReason": reason} if reason else {}), **more}], **usage}


def told(*responses: dict[str, Any]) -> bytes:
    """Return a stream."""
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in responses)


def test_older_versions_say_stop_with_every_piece() -> None:
    pieces = [piece(word, "STOP", (7, n)) for n, word in enumerate(("Paris ", "is ", "it."), 1)]
    _, found = streamed(WIRE, told(*pieces))
    assert (found.text, found.finish, found.usage) == ("Paris is it.", FinishReason.STOP, Usage(7, 3))


@pytest.mark.parametrize(
    ("pieces", "settled"),
    [
        ([piece("a")], False),
        ([piece("a"), piece("b", "STOP")], True),
        ([piece("a", "STOP")], False),  # the end's, or each piece's: only the end of the stream tells
        ([piece("a", "STOP"), piece("b", "STOP")], False),
        ([piece("a"), piece("b", "STOP"), piece("c", "STOP")], False),
        ([piece("a", "MAX_TOKENS")], True),
        ([{"promptFeedback": {"blockReason": "SAFETY"}}], True),
    ],
)
def test_when_a_stream_that_breaks_is_whole(pieces: list[dict[str, Any]], settled: bool) -> None:
    reader = WIRE.reader(ASKED, {}, sending(WIRE, stream=True))
    for one in pieces:
        reader.take(convert(one, Response))
    assert reader.settled is settled
    assert not reader.done


@pytest.mark.parametrize(
    ("reasons", "finish"),
    [(("STOP", "MAX_TOKENS"), FinishReason.LENGTH), (("MAX_TOKENS", "STOP"), FinishReason.LENGTH),
     (("MAX_TOKENS", "SAFETY", "STOP"), FinishReason.CONTENT_FILTER)],
)  # fmt: skip
def test_the_last_reason_that_says_more_than_stop_holds(reasons: tuple[str, ...], finish: FinishReason) -> None:
    assert streamed(WIRE, told(*(piece("a", reason) for reason in reasons)))[1].finish is finish


def test_candidates_are_told_apart_by_their_index() -> None:
    other = piece("no", "STOP", index=1)["candidates"]
    stream = [
        {"candidates": [*other, *piece("Par", index=0)["candidates"]]},
        {"candidates": other},
        piece("is", "STOP"),
    ]
    assert streamed(WIRE, told(*stream))[1].text == "Paris"
    assert (
        answer(WIRE, json.dumps({"candidates": [*other, *piece("Paris", "STOP")["candidates"]]}).encode()).text
        == "Paris"
    )
    with pytest.raises(MalformedAnswer):
        answer(WIRE, json.dumps({"candidates": other}).encode())


@pytest.mark.parametrize(
    ("count", "usage"),
    [
        ({"promptTokenCount": 0, "candidatesTokenCount": 0}, Usage(12, 1, estimated=True)),
        ({"promptTokenCount": 7}, Usage(7, 1, estimated=True)),
        ({"promptTokenCount": 7, "cachedContentTokenCount": 4, "thoughtsTokenCount": 9},
         Usage(7, 10, 4, 0, 9, estimated=True)),
        ({"promptTokenCount": 7, "candidatesTokenCount": 0}, Usage(7, 1, estimated=True)),
    ],
)  # fmt: skip
def test_a_count_that_leaves_out_what_was_written(count: dict[str, int], usage: Usage) -> None:
    said = {**piece("Yes.", "STOP"), "usageMetadata": count}
    for found in (answer(WIRE, json.dumps(said).encode()), streamed(WIRE, told(said))[1]):
        assert found.usage == usage
        assert "estimated" in found.notices[0]


def test_a_count_before_the_last_piece_is_none_of_it() -> None:
    early = streamed(WIRE, told(piece("Yes", count=(7, 1)), piece(" and no.", "STOP")))[1].usage
    assert early == Usage(7, 3, estimated=True)


def test_two_calls_of_one_id_get_two() -> None:
    parts = [{"functionCall": {"name": "clock", "id": "c"}}] * 2
    said = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    assert answer(WIRE, json.dumps(said).encode()).parts == (
        ToolCallPart("c", "clock", "{}"), ToolCallPart("call_2", "clock", "{}"),
    )  # fmt: skip


# --- what an error means ---

TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, {"status": "INVALID_ARGUMENT", "message": "Unknown name"}, InvalidRequest),
        (400, {"status": "FAILED_PRECONDITION", "message": "User location is not supported"}, AuthenticationFailed),
        (400, {"status": "INVALID_ARGUMENT", "message": TOO_LONG}, ContextTooLong),
        (401, {"status": "UNAUTHENTICATED"}, AuthenticationFailed),
        (403, {"status": "PERMISSION_DENIED"}, AuthenticationFailed),
        (404, {"status": "NOT_FOUND"}, ModelNotFound),
        (429, {"status": "RESOURCE_EXHAUSTED"}, RateLimited),
        (413, {"status": "RESOURCE_EXHAUSTED"}, InvalidRequest),
        (499, {"status": "CANCELLED"}, ServerError),
        (500, {"status": "INTERNAL"}, ServerError),
        (503, {"status": "UNAVAILABLE"}, Overloaded),
        (504, {"status": "DEADLINE_EXCEEDED"}, ServerError),
        (502, {}, ServerError),
    ],
)  # fmt: skip
def test_errors_by_status(status: int, said: dict[str, str], kind: type[ProviderError]) -> None:
    error = json.dumps({"error": {"code": status, "message": "secret words", **said}}).encode()
    for body in (error, b"[" + error + b"]"):
        found = failure(WIRE, status, body)
        assert type(found) is kind
        assert found.status == status
        assert "words" not in str(found)
        assert "exceeds" not in str(found)


def test_a_wrong_key_is_told_by_its_reason() -> None:
    assert type(failure(WIRE, 400, fixture("wrong_key.json"))) is AuthenticationFailed


def test_a_quota_of_a_minute_says_when_to_come_back() -> None:
    found = failure(WIRE, 429, fixture("quota_minute.json"))
    assert type(found) is RateLimited
    assert found.retry_after_s == pytest.approx(22.120446)
    assert found.retryable


def test_a_quota_of_a_day_does_not_come_back_in_seconds() -> None:
    found = failure(WIRE, 429, fixture("quota_day.json"))
    assert isinstance(found, QuotaExhausted)
    assert not found.retryable
    assert found.retry_after_s is None
    assert found.cooldown_s == 12 * 3600, "from 20:00 UTC to 08:00 UTC"


@pytest.mark.parametrize(
    "details",
    ['"x"', "[3]", '[{"violations": 3}]', '[{"violations": [{"quotaId": 4}]}, {"retryDelay": "-3s"}]', "null",
     '[{"reason": ["x"]}]'],
)  # fmt: skip
def test_details_of_any_shape(details: str) -> None:
    found = failure(WIRE, 429, b'{"error": {"status": "RESOURCE_EXHAUSTED", "details": %s}}' % details.encode())
    assert type(found) is RateLimited
    assert found.retry_after_s is None


async def test_the_key_goes_in_its_header_and_comes_back_in_no_message() -> None:
    said = json.dumps({"error": {"code": 400, "status": KEY, "message": KEY}}).encode()
    async with peer(serving(http(said, status="400 No"))) as there, transport(there.url()) as out:
        with pytest.raises(InvalidRequest) as caught:
            await Remote(WIRE, out).complete(Request("g", (user("x"),)), timeout_s=PATIENCE_S)
    assert KEY not in str(caught.value)
    assert f"x-goog-api-key: {KEY}".encode() in there.requests[0].lower().replace(KEY.lower().encode(), KEY.encode())


# --- models ---


async def test_models_are_listed_page_by_page() -> None:
    last = b'{"models": [{"name": "models/last", "supportedGenerationMethods": ["generateContent"]}]}'
    script = provider(whole=b"", stream=b"", busy=("", b""), kind="", asks_stream=lambda _: False,
                      listing=[fixture("models.json"), last])  # fmt: skip
    async with peer(script) as there, transport(there.url()) as out:
        found = await Remote(Gemini("v1beta"), out).list_models(PATIENCE_S)
    assert found == (
        ListedModel("gemini-9-flash", 1_048_576, 65_536), ListedModel("gemini-9-odd"), ListedModel("last"),
    )  # fmt: skip
    assert b"GET /v1/v1beta/models?pageSize=1000 " in there.requests[0]
    assert b"GET /v1/v1beta/models?pageSize=1000&pageToken=p+2%26x " in there.requests[1]


def test_errors_name_who_was_asked() -> None:
    found = failure(WIRE, 500, b"")
    assert (found.provider, found.model) == (ASKED.provider, ASKED.model)
