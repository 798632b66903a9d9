"""What is read in OpenAI's chat format: answers, streams, usage and the reasons for an end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from naiad.adapters.base import (
    Answer,
    Claim,
    FinishReason,
    Message,
    Role,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    Usage,
)
from naiad.adapters.errors import (
    Blocked,
    ContextTooLong,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
    Truncated,
)
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.streams import parts_of
from naiad.adapters.wire_format import StreamReader
from tests.adapters.talking import ASKED, QUESTION, answer, reply, sending, streamed

WIRE = OpenAIChat()
FIXTURES = Path(__file__).parent / "fixtures" / "openai"
TEXT = "The capital of France is Paris – «la Ville Lumière»."
USAGE = Usage(19, 9, cached_input_tokens=4, cache_write_tokens=2, reasoning_tokens=3)


def fixture(name: str) -> bytes:
    """Return the bytes of a reply."""
    return (FIXTURES / name).read_bytes()


def said(message: dict[str, Any], finish: Any = "stop", **more: Any) -> bytes:
    """Return a completion."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return msgspec.json.encode(
        {"id": "x", "model": "m-1", "choices": [{"message": message, "finish_reason": finish}], "usage": usage, **more}
    )


def chunks(*pieces: dict[str, Any] | str, done: bool = True) -> bytes:
    """Return a stream of chunks, given by what they add or as they are."""
    texts = [
        piece if isinstance(piece, str)
        else msgspec.json.encode(piece if "choices" in piece or "error" in piece else {"choices": [piece]}).decode()
        for piece in pieces
    ]  # fmt: skip
    return "".join(f"data: {text}\n\n" for text in (*texts, *(["[DONE]"] if done else []))).encode()


def text_chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    """Return a chunk of text."""
    return {"delta": {"content": text}, "finish_reason": finish}


def call_chunk(**call: Any) -> dict[str, Any]:
    """Return a chunk of one tool call."""
    return {"delta": {"tool_calls": [call]}}


END = {"delta": {}, "finish_reason": "stop"}

# --- fixtures ---


@pytest.mark.parametrize("name", ["text.json", "text.sse", "gateway.sse"])
def test_text(name: str) -> None:
    found = answer(WIRE, fixture(name)) if name.endswith("json") else streamed(WIRE, fixture(name))[1]
    assert found == Answer(
        parts=(TextPart(TEXT),),
        finish=FinishReason.STOP,
        usage=USAGE,
        model="some-model-2026-10-01",
        provider_request_id="chatcmpl-own-1",
    )


def test_tool_calls_whole_and_in_interleaved_fragments() -> None:
    whole = answer(WIRE, fixture("tools.json"))
    assert whole.parts == (
        TextPart("I look it up. "),
        ToolCallPart("call_w1", "weather", '{"city": "Zürich", "days": 2}'),
        ToolCallPart("call_w2", "clock", "{}"),
    )
    assert whole.finish is FinishReason.TOOL_CALLS
    deltas, found = streamed(WIRE, fixture("tools.sse"))
    assert found == whole
    assert parts_of(deltas) == whole.parts


@pytest.mark.parametrize("name", ["refusal.json", "refusal.sse"])
def test_a_refusal_is_an_outcome(name: str) -> None:
    found = answer(WIRE, fixture(name)) if name.endswith("json") else streamed(WIRE, fixture(name))[1]
    assert found.finish is FinishReason.REFUSAL
    assert found.text == "I can't help with that."
    assert found.usage == USAGE


# --- ends ---


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", FinishReason.STOP), ("length", FinishReason.LENGTH), ("model_length", FinishReason.LENGTH),
     ("eos", FinishReason.STOP), ("tool_calls", FinishReason.TOOL_CALLS),
     ("content_filter", FinishReason.CONTENT_FILTER), ("something_new", FinishReason.OTHER)],
)  # fmt: skip
def test_reasons_for_an_end(reason: str, finish: FinishReason) -> None:
    assert answer(WIRE, said({"content": "x"}, reason)).finish is finish
    assert streamed(WIRE, chunks(text_chunk("x"), {"delta": {}, "finish_reason": reason}))[1].finish is finish


def test_a_tool_call_that_was_asked_for_by_name_ends_with_stop() -> None:
    message = {"content": None, "tool_calls": [{"id": "c", "function": {"name": "clock", "arguments": "{}"}}]}
    assert answer(WIRE, said(message, "stop")).finish is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(("reason", "kind"), [("error", ServerError), ("insufficient_system_resource", Overloaded)])
def test_ends_that_are_failures(reason: str, kind: type[ProviderError]) -> None:
    with pytest.raises(kind, match=reason):
        answer(WIRE, said({"content": "x"}, reason))
    with pytest.raises(kind, match=reason):
        streamed(WIRE, chunks(text_chunk("x"), {"delta": {}, "finish_reason": reason}))


@pytest.mark.parametrize(
    "body",
    [
        said({"content": "x"}, None),
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b"[]",
        b"",
        b'{"choices": [{"message": {"content": "x", "refusal": 7}, "finish_reason": "stop"}]}',
        said({"content": "x"}, ""),
        said({"content": "x"}, " "),
        said({"content": 42}),
        said({"content": {"text": "x"}}),
        said({"content": [{"type": "text", "text": {"value": "x"}}]}),
        said({"tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}, "tool_calls"),
        said({"tool_calls": [{"id": "c"}]}, "tool_calls"),
    ],
)
def test_a_reply_that_is_no_completion(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        answer(WIRE, body)


def test_an_empty_answer_is_one() -> None:
    found = answer(WIRE, said({"content": None, "reasoning": "long thoughts"}, "length"))
    assert (found.parts, found.finish) == ((), FinishReason.LENGTH)


@pytest.mark.parametrize(
    ("reasons", "finish"),
    [(("length", "stop"), FinishReason.LENGTH), (("stop", "length"), FinishReason.LENGTH),
     (("length", "content_filter"), FinishReason.LENGTH), (("stop", "stop"), FinishReason.STOP),
     (("STOP", "Length"), FinishReason.LENGTH), (("length", ""), FinishReason.LENGTH)],
)  # fmt: skip
def test_of_several_reasons_the_first_that_says_more_than_stop_holds(
    reasons: tuple[str, ...], finish: FinishReason
) -> None:
    ends = [{"delta": {}, "finish_reason": reason} for reason in reasons]
    assert streamed(WIRE, chunks(text_chunk("x"), *ends))[1].finish is finish


def test_an_unknown_reason_has_a_notice_that_does_not_quote_it() -> None:
    for found in (answer(WIRE, said({"content": "x"}, "sk-canary")), streamed(WIRE, chunks(text_chunk("x", "sk-canary"),
                  {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}))[1]):  # fmt: skip
        assert (found.finish, found.notices) == (FinishReason.OTHER, found.unexplained)
        assert found.unexplained == ("peer ended the answer with a reason that is not known here.",)


def test_an_empty_reason_is_none() -> None:
    for reason in ("", " ", None):
        with pytest.raises(Truncated):
            streamed(WIRE, chunks(text_chunk("x"), {"delta": {}, "finish_reason": reason}))


# --- oddities ---


def test_content_in_parts() -> None:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Paris"}, 7]
    assert answer(WIRE, said({"content": content})).text == "Paris"
    assert streamed(WIRE, chunks({"delta": {"content": content}, "finish_reason": "stop"}))[1].text == "Paris"


def test_parts_of_an_unknown_kind_have_a_notice_and_thoughts_have_none() -> None:
    odd = [{"type": "text", "text": "Paris"}, {"type": "audio", "data": "x"}, 7, {"type": "thinking"}]
    for found in (answer(WIRE, said({"content": odd})),
                  streamed(WIRE, chunks({"delta": {"content": odd}}, END))[1]):  # fmt: skip
        assert found.text == "Paris"
        assert found.unshown == ("peer's answer has parts that are not shown: 2 of a kind that is not known here.",)
        assert set(found.unshown) <= set(found.notices)


@pytest.mark.parametrize("content", [42, {"text": "x"}, True])
def test_content_of_another_kind_in_a_stream(content: Any) -> None:
    with pytest.raises(MalformedAnswer, match="neither text nor parts"):
        streamed(WIRE, chunks({"delta": {"content": content}}, END))


@pytest.mark.parametrize(
    "pieces",
    [
        [{"message": {"content": "Paris"}}, END],
        [{"text": "Paris"}, END],
        [{"delta": None, "message": {"content": "Paris"}, "finish_reason": "stop"}],
        [text_chunk("Pa"), {"text": "ris"}, END],
        [{"delta": None}, END],
        [{"delta": {}, "message": {"content": "Paris"}}, END],
    ],
)
def test_an_answer_elsewhere_than_in_deltas_is_malformed_and_not_empty(pieces: list[dict[str, Any]]) -> None:
    with pytest.raises(MalformedAnswer, match="deltas"):
        streamed(WIRE, chunks(*pieces))


def test_a_message_that_repeats_what_was_streamed_is_passed_over() -> None:
    whole = {"message": {"content": "Paris"}, "finish_reason": "stop"}
    for last in (whole, {**whole, "delta": {}}):
        assert streamed(WIRE, chunks(text_chunk("Par"), text_chunk("is"), last))[1].text == "Paris"


@pytest.mark.parametrize("reason", ["function_call", "stop"])
def test_a_function_call_as_it_was_before_tools(reason: str) -> None:
    function = {"name": "clock", "arguments": '{"at": 1}'}
    pieces = [
        {"delta": {"function_call": {"name": "clock", "arguments": ""}}},
        {"delta": {"function_call": {"arguments": '{"at":'}}},
        {"delta": {"function_call": {"arguments": " 1}"}}},
    ]
    whole = answer(WIRE, said({"content": None, "function_call": function}, reason))
    stream = streamed(WIRE, chunks(*pieces, {"delta": {}, "finish_reason": reason}))[1]
    for found in (whole, stream):
        assert found.parts == (ToolCallPart("call_1", "clock", '{"at": 1}'),)
        assert found.finish is FinishReason.TOOL_CALLS
    both = {"function_call": function, "tool_calls": [{"id": "c", "function": function}]}
    assert len(answer(WIRE, said(both, "tool_calls")).parts) == 1


@pytest.mark.parametrize("arguments", [None, "", " ", "null"])
@pytest.mark.parametrize(("reason", "shown"), [("tool_calls", True), ("stop", True), ("length", False)])
def test_no_arguments_are_an_empty_object_unless_the_model_was_stopped(
    arguments: str | None, reason: str, shown: bool
) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "clock", "arguments": arguments}}
    parts = (ToolCallPart("c", "clock", "{}" if shown else arguments or ""),)
    assert answer(WIRE, said({"tool_calls": [call]}, reason)).parts == parts
    pieces = [call_chunk(index=0, function={"arguments": letter}) for letter in arguments or ""]
    begun = call_chunk(index=0, id="c", function={"name": "clock"})
    deltas, found = streamed(WIRE, chunks(begun, *pieces, {"delta": {}, "finish_reason": reason}))
    assert found.parts == parts_of(deltas) == parts


def test_two_calls_of_one_id_get_two() -> None:
    calls = [{"index": n, "id": "call_2", "function": {"name": "clock", "arguments": "{}"}} for n in range(2)]
    expected = (ToolCallPart("call_2", "clock", "{}"), ToolCallPart("call_3", "clock", "{}"))
    assert answer(WIRE, said({"tool_calls": calls}, "tool_calls")).parts == expected
    last = call_chunk(index=1, id="call_2", function={"name": "clock"})  # repeated, and no third call
    assert streamed(WIRE, chunks(call_chunk(**calls[0]), call_chunk(**calls[1]), last, END))[1].parts == expected


def test_a_name_in_pieces_is_joined_and_one_that_is_repeated_is_not() -> None:
    split = chunks(
        call_chunk(index=0, id="c", function={"name": "clo", "arguments": ""}),
        call_chunk(index=0, function={"name": "ck", "arguments": "{"}),
        call_chunk(index=0, function={"name": "clock", "arguments": "}"}),
        text_chunk(" after"), END,
    )  # fmt: skip
    deltas, found = streamed(WIRE, split)
    assert found.parts == parts_of(deltas) == (ToolCallPart("c", "clock", "{}"), TextPart(" after"))
    assert deltas[0] == ToolCallDelta(0, "c", "clock", "{")


def test_a_call_stays_before_the_text_that_follows_it_and_repeats_no_name() -> None:
    begun = call_chunk(index=0, id="c", function={"name": "clock", "arguments": ""})
    late = call_chunk(index=0, id="c", function={"name": "clock", "arguments": "{}"})
    expected = (ToolCallPart("c", "clock", "{}"), TextPart("so"))
    deltas, found = streamed(WIRE, chunks(begun, begun, text_chunk("so"), late, END))
    assert found.parts == parts_of(deltas) == expected
    assert streamed(WIRE, chunks(begun, begun, late, END))[1].parts == expected[:1]


def test_calls_keep_their_order_when_their_arguments_do_not() -> None:
    begun = [call_chunk(index=n, id=f"c{n}", function={"name": f"f{n}"}) for n in range(3)]
    pieces = [call_chunk(index=n, function={"arguments": "{}"}) for n in (2, 0)]
    deltas, found = streamed(WIRE, chunks(*begun, *pieces, END))
    assert found.parts == parts_of(deltas) == tuple(ToolCallPart(f"c{n}", f"f{n}", "{}") for n in range(3))


def test_calls_without_ids_get_some_that_are_unique_in_the_conversation() -> None:
    calls = [
        {"function": {"name": "a", "arguments": {"x": 1}}},
        {"id": "null", "function": {"name": "b", "arguments": None}},
    ]
    earlier = Message(Role.ASSISTANT, (ToolCallPart("call_1", "a", "{}"),))
    request = replace(QUESTION, messages=(*QUESTION.messages, earlier))
    expected = (ToolCallPart("call_2", "a", '{"x":1}'), ToolCallPart("call_3", "b", "{}"))
    assert answer(WIRE, said({"tool_calls": calls}, "tool_calls"), request).parts == expected
    whole = {"delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}
    assert streamed(WIRE, chunks(whole), request)[1].parts == expected


def test_fragments_without_an_index_and_calls_that_share_one() -> None:
    function = {"name": "a", "arguments": "{"}
    loose = chunks(call_chunk(id="c1", function=function), call_chunk(function={"arguments": "}"}),
                   call_chunk(id="c2", function=function), call_chunk(function={"arguments": "}"}), END)  # fmt: skip
    shared = chunks(
        call_chunk(index=0, id="c1", function=function),
        call_chunk(index=0, id="c1", function={"arguments": "}"}),
        call_chunk(index=0, id="c2", function=function),
        call_chunk(index=0, function={"arguments": "}"}),
        END,
    )
    expected = (ToolCallPart("c1", "a", "{}"), ToolCallPart("c2", "a", "{}"))
    for stream in (loose, shared):
        deltas, found = streamed(WIRE, stream)
        assert found.parts == parts_of(deltas) == expected
        assert [delta.index for delta in deltas if isinstance(delta, ToolCallDelta)] == [0, 0, 1, 1]


def test_other_choices_and_empty_chunks_are_no_part_of_the_answer() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]}
    deltas, found = streamed(
        WIRE, b": waiting\n\ndata:\n\n" + chunks(other, {"choices": []}, {"choices": [{"delta": None}]}, END)
    )
    assert deltas == [TextDelta("yes")]
    assert found.text == "yes"


def test_the_headers_request_id_comes_first() -> None:
    found = WIRE.answer(reply(said({"content": "x"}), headers={"x-request-id": "r-1"}), sending(WIRE))
    assert found.provider_request_id == "r-1"
    assert answer(WIRE, said({"content": "x"}, id="two words")).provider_request_id == ""


# --- streams ---


def fed(stream: bytes) -> StreamReader:
    """Return a reader that got all of a stream."""
    from tests.adapters.talking import events

    reader = WIRE.reader(ASKED, {}, sending(WIRE, stream=True))
    for event in events(WIRE.framing, stream):
        list(reader.feed(event))
    return reader


def test_without_done_a_stream_with_a_reason_is_whole_and_one_without_is_not() -> None:
    reader = fed(chunks(text_chunk("Par"), text_chunk("is", "stop"), done=False))
    assert not reader.done
    found = reader.answer()
    assert found is not None
    assert found.text == "Paris"
    assert found.usage.estimated
    for cut in (chunks(text_chunk("Par"), done=False), chunks(text_chunk("Par")), b"", b"data: [DONE]\n\n"):
        assert fed(cut).answer() is None
        with pytest.raises(Truncated):
            streamed(WIRE, cut)


def test_nothing_that_follows_done_is_read() -> None:
    _, found = streamed(WIRE, chunks(text_chunk("x", "stop")) + b"data: garbage\n\n")
    assert found.text == "x"
    reader = fed(chunks(text_chunk("x", "stop")) + b"data: garbage\n\n")
    assert reader.done


@pytest.mark.parametrize("after", [text_chunk("more"), call_chunk(index=0, id="c", function={"name": "a"})])
def test_an_answer_that_goes_on_after_its_end_is_malformed(after: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer, match="goes on"):
        streamed(WIRE, chunks(text_chunk("x", "stop"), after))


@pytest.mark.parametrize("data", ["{", "7", "[]", '{"choices": 7}', "secret words", '{"choices": [{"delta": []}]}'])
def test_an_event_that_is_no_chunk(data: str) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        streamed(WIRE, chunks(text_chunk("x"), data))
    assert "secret" not in str(caught.value)


# --- usage ---


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, Usage(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "num_cached_tokens": 4}, Usage(5, 2, 4)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 4}, Usage(5, 2, 4)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}, Usage(5, 2, 4)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(5, 2)),
        ({"prompt_tokens": 5.0, "completion_tokens": 2}, Usage(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 16,  # reasoning apart
          "completion_tokens_details": {"reasoning_tokens": 9}}, Usage(5, 11, reasoning_tokens=9)),
    ],
)  # fmt: skip
def test_usage_in_common_terms(usage: Any, expected: Usage) -> None:
    found = answer(WIRE, said({"content": "x"}, usage=usage))
    assert found.usage == expected
    assert found.notices == ()
    stream = chunks(text_chunk("x", "stop"), {"choices": [], "usage": usage})
    assert streamed(WIRE, stream)[1].usage == expected


def test_groq_counts_elsewhere_in_streams() -> None:
    last = {"choices": [], "x_groq": {"id": "r", "usage": {"prompt_tokens": 5, "completion_tokens": 2}}}
    assert streamed(WIRE, chunks(text_chunk("x", "stop"), last))[1].usage == Usage(5, 2)


@pytest.mark.parametrize(
    "usage",
    [None, {}, 7, "many", {"prompt_tokens": 5}, {"prompt_tokens": -1, "completion_tokens": 2},
     {"prompt_tokens": "5", "completion_tokens": 2}, {"prompt_tokens": True, "completion_tokens": 2},
     {"prompt_tokens": 5.5, "completion_tokens": 2}, {"prompt_tokens": 1 << 41, "completion_tokens": 2},
     {"prompt_tokens": 5, "completion_tokens": 0},
     {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 6}},
     {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": [1]}},
     {"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 3}}],
)  # fmt: skip
def test_usage_that_lies_is_estimated_and_said_so(usage: Any) -> None:
    found = answer(WIRE, said({"content": "four words of text"}, usage=usage))
    assert found.usage.estimated
    assert found.usage.output_tokens == 5, "18 bytes"
    assert len(found.notices) == 1
    assert "estimated" in found.notices[0]


@pytest.mark.parametrize(
    ("read", "wrote", "details", "claim", "booked"),
    [
        (-1, 2, {}, Claim(-1, 2), Usage(12, 5, estimated=True)),
        ("5", 900, {}, Claim(-1, 900), Usage(12, 900, estimated=True)),
        (70, 2, {"cached": 71}, Claim(70, 2, 71), Usage(70, 5, estimated=True)),
        (70, 2, {"cache_write": 71}, Claim(70, 2, 0, 71), Usage(70, 5, 0, 70, estimated=True)),
        (70, 20, {"reasoning": 30}, Claim(70, 20, reasoning_tokens=30), Usage(70, 50, 0, 0, 30, estimated=True)),
        (70, 1 << 41, {}, Claim(70, 1 << 41), Usage(70, 1 << 41, estimated=True)),
    ],
)
def test_what_contradicts_itself_is_never_cheaper_than_it_says(
    read: Any, wrote: Any, details: dict[str, int], claim: Claim, booked: Usage
) -> None:
    usage = {
        "prompt_tokens": read, "completion_tokens": wrote,
        "prompt_tokens_details": {
            "cached_tokens": details.get("cached", 0), "cache_write_tokens": details.get("cache_write", 0),
        },
        "completion_tokens_details": {"reasoning_tokens": details.get("reasoning", 0)},
    }  # fmt: skip
    found = answer(WIRE, said({"content": "four words of text"}, usage=usage)).usage
    assert found.claim == claim
    assert replace(found, claim=None) == booked


def test_a_count_that_came_before_the_last_of_the_answer_is_no_count_of_it() -> None:
    """As a first chunk's placeholder; what was read is taken over, and the bill is not."""
    early = {"choices": [{"delta": {"content": "four "}}], "usage": {"prompt_tokens": 70, "completion_tokens": 1}}
    found = streamed(WIRE, chunks(early, text_chunk("words of text", "stop")))[1]
    assert found.usage == Usage(70, 5, estimated=True)
    assert "estimated" in found.notices[0]
    call = call_chunk(index=0, id="c", function={"name": "a", "arguments": "{}"})
    assert streamed(WIRE, chunks(early, call, END))[1].usage.estimated
    late = {"choices": [], "usage": {"prompt_tokens": 70, "completion_tokens": 5}}
    for stream in (chunks(text_chunk("x"), late, END), chunks(early, text_chunk("x"), END, late)):
        assert streamed(WIRE, stream)[1].usage == Usage(70, 5), "after the last of it"
    running = [{"choices": [text_chunk(word)], "usage": {"prompt_tokens": 70, "completion_tokens": n}}
               for n, word in enumerate(("a ", "b ", "c"), 1)]  # fmt: skip
    assert streamed(WIRE, chunks(*running, END))[1].usage == Usage(70, 3), "counted with each piece"


# --- errors in the midst ---

IN_BODY = [
    ({"code": 429, "message": "SECRET words"}, RateLimited, 429),
    ({"code": 502, "message": "SECRET words", "metadata": {"provider_name": "x"}}, ServerError, 502),
    ({"code": 402, "message": "SECRET words"}, QuotaExhausted, 402),
    ({"code": 403, "message": "SECRET words", "metadata": {"flagged_input": "SECRET"}}, Blocked, 403),
    ({"code": "content_filter", "message": "SECRET words"}, Blocked, 200),
    ({"code": 400, "message": "This endpoint's maximum context length is 8192 tokens. SECRET"}, ContextTooLong, 400),
    ({"code": "context_length_exceeded", "message": "SECRET words"}, ContextTooLong, 200),
    ({"code": None, "type": "overloaded_error", "message": "SECRET words"}, Overloaded, 200),
    ({"code": "model_not_found", "type": "invalid_request_error"}, ModelNotFound, 200),
    ({"message": "SECRET words", "type": "SECRET", "code": "SECRET"}, ServerError, 200),
    ("SECRET words", ServerError, 200),
]


@pytest.mark.parametrize(("error", "kind", "status"), IN_BODY)
def test_an_error_in_a_reply_of_status_200(error: Any, kind: type[ProviderError], status: int) -> None:
    bodies = (
        msgspec.json.encode({"error": error, "user_id": "SECRET"}),
        said({"content": "x"}, error=error),
        msgspec.json.encode({"choices": [{"error": error, "message": {"content": ""}, "finish_reason": "error"}]}),
    )
    for body in bodies:
        with pytest.raises(kind) as caught:
            answer(WIRE, body)
        assert type(caught.value) is kind
        assert caught.value.status == status
        assert "SECRET" not in repr(caught.value)


@pytest.mark.parametrize(("error", "kind", "status"), IN_BODY)
def test_an_error_in_the_midst_of_a_stream(error: Any, kind: type[ProviderError], status: int) -> None:
    event = msgspec.json.encode({"error": error}).decode()
    broken = {"choices": [{"delta": {"content": ""}, "finish_reason": "error"}], "error": error}
    for stream in (chunks(text_chunk("x"), {"error": error}), chunks(text_chunk("x"), broken),
                   chunks(text_chunk("x"), done=False) + f"event: error\ndata: {event}\n\n".encode(),
                   chunks(text_chunk("x"), {"choices": [], "x_groq": {"error": error}})):  # fmt: skip
        with pytest.raises(kind) as caught:
            streamed(WIRE, stream)
        assert type(caught.value) is kind
        assert caught.value.status == status
        assert "SECRET" not in repr(caught.value)


def test_an_event_of_the_type_error_is_one_whatever_its_form() -> None:
    stream = (
        chunks(text_chunk("x"), done=False) + b'event: error\ndata: {"type": "rate_limit_error", "message": "x"}\n\n'
    )
    with pytest.raises(RateLimited):
        streamed(WIRE, stream)
