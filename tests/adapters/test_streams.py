"""Deltas and parts are two views of one answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import (
    Answer,
    Finished,
    FinishReason,
    Part,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    Usage,
    text_of,
)
from naiad.adapters.errors import Truncated
from naiad.adapters.streams import Growing, collect, deltas_of, parts_of

text_parts = st.builds(TextPart, st.text(min_size=1))
tool_parts = st.builds(ToolCallPart, st.text(min_size=1), st.text(min_size=1), st.text())


@given(st.lists(text_parts | tool_parts, max_size=6))
def test_parts_survive_being_cut_into_deltas(parts: list[Part]) -> None:
    merged: list[Part] = []
    for part in parts:
        if merged and isinstance(part, TextPart) and isinstance(merged[-1], TextPart):
            merged[-1] = TextPart(merged[-1].text + part.text)
        else:
            merged.append(part)
    assert parts_of(deltas_of(parts)) == tuple(merged)


@given(st.lists(st.text(), max_size=6))
def test_text_is_kept_to_the_letter(texts: list[str]) -> None:
    assert text_of(parts_of(TextDelta(text) for text in texts)) == "".join(texts)


delta_lists = st.lists(
    st.builds(TextDelta, st.text(max_size=3))
    | st.builds(ToolCallDelta, st.integers(0, 3), st.just("id"), st.just("name"), st.text(max_size=3)),
    max_size=12,
)


@given(delta_lists)
def test_growing_parts_are_the_parts_of_the_deltas(deltas: list[TextDelta | ToolCallDelta]) -> None:
    growing = Growing()
    for n, delta in enumerate(deltas, 1):
        growing.add(delta)
        assert growing.parts() == parts_of(deltas[:n])


def test_fragments_of_interleaved_tool_calls_find_their_call() -> None:
    deltas = (
        TextDelta("let me look"),
        ToolCallDelta(0, id="a", name="f"),
        ToolCallDelta(1, id="b", name="g", arguments="{"),
        ToolCallDelta(0, arguments='{"x":'),
        ToolCallDelta(1, arguments="}"),
        ToolCallDelta(0, arguments=" 1}"),
        TextDelta("done"),
    )
    assert parts_of(deltas) == (
        TextPart("let me look"),
        ToolCallPart("a", "f", '{"x": 1}'),
        ToolCallPart("b", "g", "{}"),
        TextPart("done"),
    )


def test_an_answer_of_many_words_comes_in_many_pieces() -> None:
    assert [delta.text for delta in deltas_of([TextPart(" one two\n\nthree ")]) if isinstance(delta, TextDelta)] == [
        " ",
        "one ",
        "two\n\n",
        "three ",
    ]


async def test_collect_takes_the_last_word_and_refuses_silence() -> None:
    answer = Answer((TextPart("hi"),), FinishReason.STOP, Usage(1, 1), "m")

    async def play(*events: StreamEvent) -> AsyncIterator[StreamEvent]:
        for event in events:
            yield event

    assert await collect(play(TextDelta("hi"), Finished(answer)), provider="p", model="m") == answer
    with pytest.raises(Truncated, match="finish reason"):
        await collect(play(TextDelta("hi")), provider="p", model="m")
