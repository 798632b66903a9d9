"""Cohere's chat API against the suites of its protocols, and what its answers and errors mean."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from naiad.adapters.base import FinishReason, TextDelta, TextPart, ToolCallDelta, ToolCallPart, Usage
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.errors import (
    AuthenticationFailed,
    Blocked,
    ContextTooLong,
    InvalidRequest,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
)
from naiad.adapters.listing import ListedModel
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import WireFormat
from tests.adapters.formats import answered, fed, fixture, reader_of
from tests.adapters.peer import KEY, Script
from tests.adapters.talking import NOW, QUESTION, provider, reply
from tests.conformance.format_suite import FormatSuite
from tests.conformance.remote_suite import RemoteSuite

WIRE = CohereChat()


class TestRemoteCohere(RemoteSuite):
    def wire(self) -> WireFormat:
        return CohereChat()

    def script(self) -> Script:
        return provider(
            whole=fixture("cohere/text.json"),
            stream=fixture("cohere/text.sse"),
            busy=("503 Service Unavailable", b'{"id": "i", "message": "busy"}'),
            kind="text/event-stream",
            asks_stream=lambda request: b'"stream":true' in request,
        )


class TestCohereFormat(FormatSuite):
    wire = WIRE
    wholes = ("cohere/text.json", "cohere/tools.json")
    streams = ("cohere/text.sse", "cohere/tools.sse")
    same = (("cohere/text.json", "cohere/text.sse"), ("cohere/tools.json", "cohere/tools.sse"))


def altered(name: str, **changes: Any) -> bytes:
    """Return a fixture with other values at its top."""
    return msgspec.json.encode({**msgspec.json.decode(fixture(name)), **changes})


# --- whole answers ---


def test_what_is_billed_is_the_count_and_thinking_is_not_shown() -> None:
    answer = answered(WIRE, fixture("cohere/text.json"))
    assert answer.parts == (TextPart("Paris is the capital of France, wörtlich."),)
    assert answer.usage == Usage(7, 12)
    assert (answer.model, answer.provider_request_id) == (QUESTION.model, "naiad-co-1")
    assert answer.finish is FinishReason.STOP
    assert answer.notices == ()


def test_calls_are_shown_and_the_plan_is_not() -> None:
    answer = answered(WIRE, fixture("cohere/tools.json"))
    assert answer.parts == (
        ToolCallPart("weather_1", "weather", '{"town": "Köln"}'),
        ToolCallPart("clock_2", "clock", "{}"),
    )
    assert answer.finish is FinishReason.TOOL_CALLS


def test_where_nothing_is_said_of_the_bill_what_was_used_counts_with_its_cache() -> None:
    used = {"tokens": {"input_tokens": 502, "output_tokens": 14}, "cached_tokens": 448}
    assert answered(WIRE, altered("cohere/text.json", usage=used)).usage == Usage(502, 14, cached_input_tokens=448)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"billed_units": {"input_tokens": 1}},
        {"billed_units": {"input_tokens": -1, "output_tokens": 3}},
        {"billed_units": {"input_tokens": 1e60, "output_tokens": 3}},
        {"billed_units": {"input_tokens": 1, "output_tokens": 0}},
        {"tokens": {"input_tokens": 5, "output_tokens": 3}, "cached_tokens": 9},
        {"tokens": {"input_tokens": 5.5, "output_tokens": 3}},
    ],
)
def test_a_count_that_lies_or_lacks_is_estimated_and_said_so(usage: Any) -> None:
    answer = answered(WIRE, altered("cohere/text.json", usage=usage))
    assert answer.usage.estimated
    assert answer.usage.output_tokens > answer.usage.reasoning_tokens > 0, "thinking is in the estimate"
    assert len(answer.notices) == 1


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("COMPLETE", FinishReason.STOP),
        ("STOP_SEQUENCE", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("TOOL_CALL", FinishReason.TOOL_CALLS),
        ("OF_NEXT_YEAR", FinishReason.OTHER),
    ],
)
def test_every_reason_for_the_end_has_its_meaning(reason: str, finish: FinishReason) -> None:
    assert answered(WIRE, altered("cohere/text.json", finish_reason=reason)).finish is finish


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
def test_what_failed_is_no_answer(reason: str) -> None:
    with pytest.raises(ServerError, match=reason):
        answered(WIRE, altered("cohere/text.json", finish_reason=reason))
    reader = reader_of(WIRE)
    with pytest.raises(ServerError, match=reason):
        fed(reader, fixture("cohere/text.sse").replace(b'"COMPLETE"', f'"{reason}"'.encode()))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"message": {}}', b'{"message": {"content": 3}, "finish_reason": "COMPLETE"}'],
)
def test_a_reply_of_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        answered(WIRE, body)


def test_a_call_without_an_id_gets_one() -> None:
    body = b'{"message": {"tool_calls": [{"function": {"name": "f"}}]}, "finish_reason": "TOOL_CALL"}'
    assert answered(WIRE, body).parts == (ToolCallPart("call_1", "f", "{}"),)


# --- streams ---


def test_a_call_is_streamed_piece_by_piece_and_one_without_arguments_gets_an_empty_object() -> None:
    reader = reader_of(WIRE)
    assert fed(reader, fixture("cohere/tools.sse")) == [
        ToolCallDelta(0, "weather_1", "weather"),
        ToolCallDelta(0, arguments='{"town": '),
        ToolCallDelta(0, arguments='"Köln"}'),
        ToolCallDelta(1, "clock_2", "clock"),
        ToolCallDelta(1, arguments="{}"),
    ]
    assert reader.done


def test_text_is_streamed_as_it_comes() -> None:
    texts = ["Paris is ", "the capital ", "of France, wörtlich."]
    assert fed(reader_of(WIRE), fixture("cohere/text.sse")) == [TextDelta(text) for text in texts]


@pytest.mark.parametrize(
    "event",
    [
        '{"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {}}}}}',
        '{"type": "tool-call-end", "index": 0}',
        '{"type": "tool-call-start", "index": 0}',
        '{"type": "tool-call-start", "delta": {"message": {"tool_calls": {"function": {"name": "f"}}}}}',
        '{"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {"function": {}}}}}',
        '{"type": "message-end", "delta": {}}',
        '{"type": "content-delta", "delta": {"message": {"content": {"text": 4}}}}',
        '{"id": "i", "message": "no"}',
        "[DONE]",
    ],
)
def test_an_event_out_of_its_place_or_shape_is_malformed(event: str) -> None:
    with pytest.raises(MalformedAnswer):
        fed(reader_of(WIRE), f"data: {event}\n\n".encode())


def test_a_call_that_begins_or_ends_twice_is_malformed() -> None:
    events = fixture("cohere/tools.sse").split(b"\n\n")
    for event in events:
        if b'"tool-call-start"' in event or b'"tool-call-end"' in event:
            twice = b"\n\n".join(e if e is not event else e + b"\n\n" + e for e in events)
            with pytest.raises(MalformedAnswer):
                fed(reader_of(WIRE), twice)


@pytest.mark.parametrize("first", ["content-start", "content-delta", "tool-call-start", "message-end"])
def test_a_stream_without_its_beginning_is_malformed(first: str) -> None:
    with pytest.raises(MalformedAnswer, match="before it begins"):
        fed(reader_of(WIRE), f'data: {{"type": "{first}", "delta": {{}}}}\n\n'.encode())


def test_parts_of_an_unknown_kind_have_a_notice() -> None:
    notice = ("Cohere's answer has parts that are not shown: 1 of a kind that is not known here.",)
    message = {"content": [{"type": "hologram"}, {"type": "text", "text": "x"}, {"type": "thinking", "thinking": "y"}]}
    found = answered(WIRE, altered("cohere/text.json", message=message))
    assert (found.unshown, found.text) == (notice, "x")
    assert set(notice) <= set(found.notices)


@pytest.mark.parametrize("arguments", [None, "", "null"])
def test_no_arguments_are_an_empty_object_and_ids_are_unique(arguments: str | None) -> None:
    call = {"id": "c", "function": {"name": "clock", "arguments": arguments}}
    expected = (ToolCallPart("c", "clock", "{}"), ToolCallPart("call_2", "clock", "{}"))
    body = {"message": {"tool_calls": [call, call]}, "finish_reason": "TOOL_CALL"}
    assert answered(WIRE, msgspec.json.encode(body)).parts == expected
    events: list[dict[str, Any]] = [{"type": "message-start"}]
    for n in range(2):
        events.append({"type": "tool-call-start", "index": n, "delta": {"message": {"tool_calls": call}}})
        events.append({"type": "tool-call-end", "index": n})
    end = {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}
    reader = reader_of(WIRE)
    fed(reader, b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in (*events, end)))
    answer = reader.answer()
    assert answer is not None
    assert answer.parts == expected


# --- errors ---


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "invalid request: list of messages must not be empty", InvalidRequest),
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.",
            ContextTooLong,
        ),
        (
            400,
            "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs",
            ContextTooLong,
        ),
        (400, "too many tokens: max tokens must be less than or equal to 4096, the maximum output", InvalidRequest),
        (400, "message 'too many tokens: size limit exceeded by' is odd", InvalidRequest),
        (401, "invalid api token", AuthenticationFailed),
        (402, "Please add or update your payment method to continue", QuotaExhausted),
        (403, "no", AuthenticationFailed),
        (404, "model 'command-r-plus' was removed on September 15, 2025.", ModelNotFound),
        (422, "no", InvalidRequest),
        (429, "You are using a Trial key, which is limited to 1000 API calls / month.", QuotaExhausted),
        (429, "You are using a Trial key, which is limited to 40 API calls / minute.", RateLimited),
        (429, "trial token rate limit exceeded, limit is 100000 tokens per minute", RateLimited),
        (498, "blocked", Blocked),
        (499, "request cancelled by user", ServerError),
        (500, "internal", ServerError),
        (501, "not implemented", InvalidRequest),
        (503, "busy", Overloaded),
        (504, "late", ServerError),
    ],
)
def test_the_status_tells_the_class_and_two_sentences_do(status: int, message: str, kind: type[ProviderError]) -> None:
    body = msgspec.json.encode({"id": "i-1", "message": message})
    error = WIRE.failure(reply(body, status, {"retry-after": "7"}), Secret(KEY), now=NOW)
    assert type(error) is kind
    assert (error.status, error.retry_after_s, error.provider_request_id) == (status, 7.0, "i-1")
    assert str(error) == f"status {status}"


def test_an_id_that_holds_the_key_is_not_shown() -> None:
    body = msgspec.json.encode({"id": KEY, "message": "no"})
    assert WIRE.failure(reply(body, 400), Secret(KEY), now=NOW).provider_request_id == ""


# --- models ---


def test_the_list_of_models_has_those_that_chat_with_window_and_features() -> None:
    models, following = WIRE.listed(reply(fixture("cohere/models.json")), "")
    everything = frozenset({"vision", "json_schema", "reasoning", "streaming", "system_prompt", "tools"})
    assert models == [
        ListedModel("command-a", 288_000, capabilities=everything),
        ListedModel("command-old", 128_000),
    ]
    assert following == "more"
    assert WIRE.listing("").path == "/v1/models"
    assert WIRE.listing("more").params == {"page_size": "1000", "endpoint": "chat", "page_token": "more"}
    with pytest.raises(MalformedAnswer, match="same page"):
        WIRE.listed(reply(fixture("cohere/models.json")), "more")
