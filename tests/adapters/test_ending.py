"""One rule for the reasons for an end, in every format."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.base import Answer, FinishReason
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.ending import Reasons
from naiad.adapters.errors import MalformedAnswer, Truncated
from naiad.adapters.gemini import Gemini
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.wire_format import WireFormat
from tests.adapters.talking import answer, streamed
from tests.adapters.test_native_hostile import CANARY

REASONS = Reasons({"stop": FinishReason.STOP, "eos": FinishReason.STOP, "length": FinishReason.LENGTH}, folded=True)


@given(st.lists(st.sampled_from(["stop", "EOS", "length", "other", "", None, " "])), st.booleans())
def test_one_reason_holds_whatever_came_before_it(said: list[str | None], last: bool) -> None:
    word = ""
    for one in said:
        word = REASONS.settled(word, one, last=last)
    words = [REASONS.word(one) for one in said if REASONS.word(one)]
    telling = [one for one in words if one not in ("stop", "eos")]
    if telling:
        assert word == telling[-1 if last else 0]
    else:
        assert bool(word) == bool(words)
        assert word in ("", *words)


def openai(*reasons: str | None) -> tuple[str, list[str]]:
    said = [f'{{"choices": [{{"delta": {{}}, "finish_reason": {quoted(reason)}}}]}}' for reason in reasons]
    text = '{"choices": [{"delta": {"content": "x"}}]}'
    return f'{{"choices": [{{"message": {{"content": "x"}}, "finish_reason": {quoted(reasons[0])}}}]}}', [text, *said]


def anthropic(*reasons: str | None) -> tuple[str, list[str]]:
    block = '{"type": "text", "text": "x"}'
    said = [f'{{"type": "message_delta", "delta": {{"stop_reason": {quoted(reason)}}}}}' for reason in reasons]
    begun = [
        '{"type": "message_start", "message": {}}',
        f'{{"type": "content_block_start", "index": 0, "content_block": {block}}}',
        '{"type": "content_block_stop", "index": 0}',
    ]
    end = '{"type": "message_stop"}'
    return f'{{"content": [{block}], "stop_reason": {quoted(reasons[0])}}}', [*begun, *said, end]


def cohere(*reasons: str | None) -> tuple[str, list[str]]:
    whole = f'{{"message": {{"content": [{{"type": "text", "text": "x"}}]}}, "finish_reason": {quoted(reasons[0])}}}'
    text = '{"type": "content-delta", "delta": {"message": {"content": {"text": "x"}}}}'
    said = [f'{{"type": "message-end", "delta": {{"finish_reason": {quoted(reason)}}}}}' for reason in reasons]
    return whole, ['{"type": "message-start"}', text, *said]


def gemini(*reasons: str | None) -> tuple[str, list[str]]:
    content = '"content": {"parts": [{"text": "x"}]}'
    said = [f'{{"candidates": [{{"finishReason": {quoted(reason)}}}]}}' for reason in reasons]
    whole = f'{{"candidates": [{{{content}, "finishReason": {quoted(reasons[0])}}}]}}'
    return whole, [f'{{"candidates": [{{{content}}}]}}', *said]


def quoted(word: str | None) -> str:
    return "null" if word is None else f'"{word}"'


FORMATS: list[Any] = [
    (OpenAIChat(), openai, "stop", "length"),
    (AnthropicMessages(), anthropic, "end_turn", "max_tokens"),
    (CohereChat(), cohere, "COMPLETE", "MAX_TOKENS"),
    (Gemini(), gemini, "STOP", "MAX_TOKENS"),
]
formats = pytest.mark.parametrize(("wire", "says", "plain", "longer"), FORMATS, ids=lambda value: str(value)[:9])


def read(wire: WireFormat, events: list[str]) -> Answer:
    return streamed(wire, "".join(f"data: {event}\n\n" for event in events).encode())[1]


@formats
def test_an_empty_reason_is_none(wire: WireFormat, says: Any, plain: str, longer: str) -> None:
    for reason in ("", " ", None):
        whole, events = says(reason)
        with pytest.raises(MalformedAnswer):
            answer(wire, whole.encode())
        with pytest.raises(Truncated):
            read(wire, events)


@formats
def test_an_unknown_reason_has_a_notice(wire: WireFormat, says: Any, plain: str, longer: str) -> None:
    whole, events = says(CANARY)
    for found in (answer(wire, whole.encode()), read(wire, events)):
        assert found.finish is FinishReason.OTHER
        assert len(found.unexplained) == 1
        assert set(found.unexplained) <= set(found.notices)
        assert CANARY not in str(found)
    assert answer(wire, says(plain)[0].encode()).unexplained == ()


@formats
def test_a_reason_that_says_more_holds(wire: WireFormat, says: Any, plain: str, longer: str) -> None:
    if isinstance(wire, CohereChat):
        return  # nothing after its last event is read
    for reasons in ((longer, plain), (plain, longer), (longer, "")):
        assert read(wire, says(*reasons)[1]).finish is FinishReason.LENGTH
