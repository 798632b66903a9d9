"""Anthropic's Messages API against the suites of its protocols, and what its answers mean."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.base import FinishReason, TextDelta, TextPart, ToolCallDelta, ToolCallPart, Usage
from naiad.adapters.errors import MalformedAnswer, Overloaded, ProviderError, ServerError
from naiad.adapters.listing import ListedModel
from naiad.adapters.wire_format import WireFormat
from tests.adapters.formats import answered, fed, fixture, reader_of
from tests.adapters.peer import Script
from tests.adapters.talking import QUESTION, provider, reply
from tests.conformance.format_suite import FormatSuite
from tests.conformance.remote_suite import RemoteSuite

WIRE = AnthropicMessages()
OVERLOADED = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}'


class TestRemoteAnthropic(RemoteSuite):
    def wire(self) -> WireFormat:
        return AnthropicMessages()

    def script(self) -> Script:
        return provider(
            whole=fixture("anthropic/text.json"),
            stream=fixture("anthropic/text.sse"),
            busy=("529 Overloaded", OVERLOADED),
            kind="text/event-stream",
            asks_stream=lambda request: b'"stream":true' in request,
        )


class TestAnthropicFormat(FormatSuite):
    wire = WIRE
    wholes = ("anthropic/text.json", "anthropic/tools.json", "anthropic/refusal.json")
    streams = ("anthropic/text.sse", "anthropic/tools.sse")
    same = (("anthropic/text.json", "anthropic/text.sse"), ("anthropic/tools.json", "anthropic/tools.sse"))


# --- whole answers ---


def test_the_text_runs_on_through_blocks_and_usage_holds_what_was_cached() -> None:
    answer = answered(WIRE, fixture("anthropic/text.json"), {"request-id": "req_7"})
    assert answer.parts == (TextPart("Paris is the capital of France, wörtlich."),)
    assert answer.usage == Usage(244, 12, cached_input_tokens=200, cache_write_tokens=30)
    assert (answer.model, answer.provider_request_id) == ("claude-sonnet-5-20260801", "req_7")
    assert answer.finish is FinishReason.STOP
    assert answer.notices == ()


def test_calls_are_shown_and_thinking_and_server_tools_are_counted_alone() -> None:
    answer = answered(WIRE, fixture("anthropic/tools.json"))
    assert answer.parts == (
        TextPart("Let me look."),
        ToolCallPart("toolu_a", "weather", '{"town": "Köln"}'),
        ToolCallPart("toolu_b", "clock", "{}"),
    )
    assert answer.usage == Usage(410, 77, reasoning_tokens=31)
    assert answer.finish is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("pause_turn", FinishReason.PAUSED),
        ("refusal", FinishReason.REFUSAL),
        ("a_reason_of_next_year", FinishReason.OTHER),
    ],
)
def test_every_reason_for_the_end_has_its_meaning(reason: str, finish: FinishReason) -> None:
    body = msgspec.json.decode(fixture("anthropic/refusal.json"))
    answer = answered(WIRE, msgspec.json.encode({**body, "stop_reason": reason}))
    assert answer.finish is finish
    assert answer.parts == ()


@pytest.mark.parametrize(
    "usage", [None, {}, {"input_tokens": 5}, {"input_tokens": -1, "output_tokens": 3}, {"input_tokens": 1 << 50,
    "output_tokens": 1}, {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 9}}],
)  # fmt: skip
def test_a_count_that_lies_or_lacks_is_estimated_and_said_so(usage: object) -> None:
    body = msgspec.json.decode(fixture("anthropic/tools.json"))
    answer = answered(WIRE, msgspec.json.encode({**body, "usage": usage}))
    assert answer.usage.estimated
    assert answer.usage.output_tokens > answer.usage.reasoning_tokens > 0, "thinking is in the estimate"
    assert len(answer.notices) == 1
    assert "estimated" in answer.notices[0]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"content": [], "usage": {}}', b'{"content": [{"text": 1}], "stop_reason": "end_turn"}',
     b'{"content": [{"type": "text", "text": 1}], "stop_reason": "end_turn"}',
     b'{"content": [{"type": "tool_use", "name": "f", "input": 3}], "stop_reason": "tool_use"}'],
)  # fmt: skip
def test_a_reply_of_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        answered(WIRE, body)


def test_an_error_of_status_200_is_an_error() -> None:
    with pytest.raises(Overloaded) as caught:
        answered(WIRE, OVERLOADED)
    assert "(overloaded_error)" in str(caught.value)


def test_a_call_without_an_id_gets_one() -> None:
    body = b'{"content": [{"type": "tool_use", "name": "f", "input": {"a":1}}], "stop_reason": "tool_use"}'
    assert answered(WIRE, body).parts == (ToolCallPart("call_1", "f", '{"a":1}'),)


# --- streams ---


def test_a_call_is_streamed_piece_by_piece_and_one_without_arguments_gets_an_empty_object() -> None:
    reader = reader_of(WIRE, {"request-id": "req_8"})
    assert fed(reader, fixture("anthropic/tools.sse")) == [
        TextDelta("Let "),
        TextDelta("me look."),
        ToolCallDelta(0, "toolu_a", "weather"),
        ToolCallDelta(0, arguments='{"town": '),
        ToolCallDelta(0, arguments='"Köln"}'),
        ToolCallDelta(1, "toolu_b", "clock"),
        ToolCallDelta(1, arguments="{}"),
    ]
    answer = reader.answer()
    assert answer is not None
    assert answer.provider_request_id == "req_8"
    assert reader.done


def test_thinking_is_in_the_estimate_of_a_stream_without_a_count() -> None:
    stream, whole = (
        fixture(f"anthropic/tools.{ending}").replace(b'"usage"', b'"not_said"') for ending in ("sse", "json")
    )
    reader = reader_of(WIRE)
    fed(reader, stream)
    assert reader.answer() == answered(WIRE, whole)


@pytest.mark.parametrize(
    ("name", "kind"), [("overloaded_error", Overloaded), ("api_error", ServerError), ("new_error", ServerError)]
)
def test_an_error_in_the_midst_of_a_stream_is_raised(name: str, kind: type[ProviderError]) -> None:
    begun = fixture("anthropic/text.sse").split(b"event: message_delta")[0]
    error = f'event: error\ndata: {{"type": "error", "error": {{"type": "{name}", "message": "a secret"}}}}\n\n'
    reader = reader_of(WIRE)
    with pytest.raises(kind) as caught:
        fed(reader, begun + error.encode())
    assert "secret" not in str(caught.value)
    assert reader.answer() is None


@pytest.mark.parametrize(
    "event",
    [
        '{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}',
        '{"type": "content_block_stop", "index": 0}',
        '{"type": "content_block_start", "index": "0", "content_block": {"type": "text"}}',
        '{"type": "content_block_start", "content_block": {"type": "text"}}',
        '{"type": "content_block_start", "index": 0}',
        '{"type": "message_start"}',
        '{"type": "message_delta"}',
        '{"type": 1}',
        "{}",
        "[DONE]",
    ],
)
def test_an_event_out_of_its_place_or_shape_is_malformed(event: str) -> None:
    with pytest.raises(MalformedAnswer):
        fed(reader_of(WIRE), f"data: {event}\n\n".encode())


def test_an_event_that_comes_twice_is_malformed_where_that_can_be_seen() -> None:
    events = fixture("anthropic/tools.sse").split(b"\n\n")
    for event in events:
        if b'"content_block_start"' in event or b'"content_block_stop"' in event:
            twice = b"\n\n".join(e if e is not event else e + b"\n\n" + e for e in events)
            with pytest.raises(MalformedAnswer):
                fed(reader_of(WIRE), twice)


def test_a_piece_for_a_block_of_another_kind_is_malformed() -> None:
    with pytest.raises(MalformedAnswer, match="another kind"):
        fed(
            reader_of(WIRE),
            b'data: {"type": "message_start", "message": {}}\n\n'
            b'data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}\n\n'
            b'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta"}}\n\n',
        )


def test_without_a_name_in_the_stream_the_answer_has_the_model_that_was_asked() -> None:
    reader = reader_of(WIRE)
    fed(reader, b"event: message_start" + fixture("anthropic/text.sse").split(b"event: message_start")[1].replace(
        b'"model": "claude-sonnet-5-20260801", ', b""))  # fmt: skip
    answer = reader.answer()
    assert answer is not None
    assert answer.model == QUESTION.model


def lines(*events: Any) -> bytes:
    """Return a stream."""
    return b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)


START: dict[str, Any] = {"type": "message_start", "message": {"usage": {"input_tokens": 70, "output_tokens": 1}}}
TEXT: list[dict[str, Any]] = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "four words of text"}},
    {"type": "content_block_stop", "index": 0},
]
STOP: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}


@pytest.mark.parametrize("events", [[*TEXT, STOP], [STOP], [{"type": "message_stop"}]])
def test_a_stream_without_its_beginning_is_malformed(events: list[dict[str, Any]]) -> None:
    with pytest.raises(MalformedAnswer, match="before it begins"):
        fed(reader_of(WIRE), lines(*events))


def test_an_answer_without_a_block_is_an_honest_one() -> None:
    reader = reader_of(WIRE)
    fed(reader, lines(START, {**STOP, "usage": {"output_tokens": 3}}))
    answer = reader.answer()
    assert answer is not None
    assert (answer.parts, answer.finish, answer.usage) == ((), FinishReason.STOP, Usage(70, 3))


def test_the_stand_in_for_a_count_at_the_beginning_is_no_count() -> None:
    reader = reader_of(WIRE)
    fed(reader, lines(START, *TEXT, STOP))
    answer = reader.answer()
    assert answer is not None
    assert answer.usage == Usage(70, 5, estimated=True)
    assert "estimated" in answer.notices[0]


def test_blocks_of_an_unknown_kind_have_a_notice_and_those_of_the_providers_tools_have_none() -> None:
    kinds = ["hologram", "server_tool_use", "web_search_tool_result", "redacted_thinking", "text"]
    body = msgspec.json.encode({"content": [{"type": kind} for kind in kinds], "stop_reason": "end_turn"})
    notice = ("Anthropic's answer has parts that are not shown: 1 of a kind that is not known here.",)
    assert answered(WIRE, body).unshown == notice
    reader = reader_of(WIRE)
    blocks = [{"type": "content_block_start", "index": n, "content_block": {"type": k}} for n, k in enumerate(kinds)]
    fed(reader, lines(START, *blocks, STOP))
    answer = reader.answer()
    assert answer is not None
    assert answer.unshown == notice
    assert set(notice) <= set(answer.notices)


@pytest.mark.parametrize("given", [None, "", {}])
def test_a_call_without_arguments_has_an_empty_object_and_an_id_of_its_own(given: object) -> None:
    call = {"type": "tool_use", "id": "t", "name": "clock", "input": given}
    expected = (ToolCallPart("t", "clock", "{}"), ToolCallPart("call_2", "clock", "{}"))
    assert answered(WIRE, msgspec.json.encode({"content": [call, call], "stop_reason": "tool_use"})).parts == expected
    begun = [{"type": "content_block_start", "index": n, "content_block": call} for n in range(2)]
    null = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "null"}}
    ends = [{"type": "content_block_stop", "index": n} for n in range(2)]
    reader = reader_of(WIRE)
    fed(reader, lines(START, *begun, null, *ends, STOP))
    answer = reader.answer()
    assert answer is not None
    assert answer.parts == expected


# --- models ---


def test_the_list_of_models_has_windows_limits_and_retirement() -> None:
    models, following = WIRE.listed(reply(fixture("anthropic/models.json")), "")
    everything = frozenset({"vision", "json_schema", "reasoning", "streaming", "system_prompt", "tools"})
    assert models == [
        ListedModel("claude-opus-5", 1_000_000, 128_000, None, everything),
        ListedModel("claude-old", 200_000, None, datetime(2026, 11, 30, tzinfo=UTC)),
    ]
    assert following == "claude-gone"


def test_pages_are_asked_one_after_the_other_until_none_follows() -> None:
    assert WIRE.listing("").params == {"limit": "1000"}
    assert WIRE.listing("m").params == {"limit": "1000", "after_id": "m"}
    assert WIRE.listing("").headers == {"anthropic-version": "2026-10-21"}
    last = reply(fixture("anthropic/models.json").replace(b'"has_more": true', b'"has_more": false'))
    assert WIRE.listed(last, "m")[1] == ""
    with pytest.raises(MalformedAnswer, match="same page"):
        WIRE.listed(reply(fixture("anthropic/models.json")), "claude-gone")


def test_versions_are_known_ones() -> None:
    assert replace(WIRE, version="2023-06-01").version == "2023-06-01"
    with pytest.raises(ValueError, match="'2024-01-01' is no version of Anthropic's API; give one of 2023-06-01"):
        AnthropicMessages("2024-01-01")
