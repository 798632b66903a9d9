"""Which answers say the same, and what most say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import Answer, FinishReason, Part, TextPart, ToolCallPart, Usage
from naiad.server.agreement import decided, groups, largest, most_said, said


def answer(text: str, *calls: tuple[str, str]) -> Answer:
    """Return an answer of a text and tool calls."""
    parts: tuple[Part, ...] = (TextPart(text), *(ToolCallPart("1", name, arguments) for name, arguments in calls))
    return Answer(parts, FinishReason.STOP, Usage(1, 1), "m")


@pytest.mark.parametrize(("one", "other", "same"), [
    ("Paris", "  paris. ", True),
    ("Paris", "Paris, France", False),
    ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', True),
    ('{"a": 1}', '```json\n{"a": 1}\n```', True),
    ('{"a": 1}', '{"a": 2}', False),
    ("42", "42.0", False),
    ("yes\n\nno", "YES no", True),
    ("[1, 2]", "[2, 1]", False),
    ("null", "", False),
])  # fmt: skip
def test_what_says_the_same(one: str, other: str, same: bool) -> None:
    assert (said(answer(one)) == said(answer(other))) == same


def test_tool_calls_are_compared_by_what_they_ask() -> None:
    assert said(answer("", ("f", '{"x":1}'))) == said(answer("", ("f", '{ "x": 1 }')))
    assert said(answer("", ("f", "{}"))) != said(answer("", ("g", "{}")))
    assert said(answer("", ("f", "{}"))) != said(answer(""))


@given(st.text(), st.text())
def test_saying_is_an_equivalence_that_never_fails(one: str, other: str) -> None:
    assert said(answer(one)) == said(answer(one))
    assert (said(answer(one)) == said(answer(other))) == (said(answer(other)) == said(answer(one)))


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=7), st.data())
def test_the_answer_of_most_whatever_the_order_of_arrival(texts: list[str], data: st.DataObject) -> None:
    quality = dict(
        enumerate(data.draw(st.lists(st.floats(0, 1), min_size=len(texts), max_size=len(texts), unique=True)))
    )
    members = data.draw(st.permutations(range(len(texts))))
    winner = most_said({m: answer(texts[m]) for m in members}, quality)
    count = texts.count(texts[winner])
    assert count == max(texts.count(text) for text in texts)
    rivals = [m for m in range(len(texts)) if texts.count(texts[m]) == count]
    assert quality[winner] == max(quality[m] for m in rivals)


@given(st.lists(st.sampled_from("ab"), max_size=4), st.integers(0, 3), st.integers(0, 3))
def test_decided_counts_refusals_as_one_voice(texts: list[str], refused: int, waiting: int) -> None:
    seen = {i: answer(text) for i, text in enumerate(texts)}
    if not decided(seen, waiting, refused):
        return
    ahead = refused > largest(seen)
    for more in itertools.product("abcR", repeat=waiting):  # R: refuses
        later = seen | {len(texts) + i: answer(text) for i, text in enumerate(more) if text != "R"}
        assert (refused + more.count("R") > largest(later)) == ahead


@given(st.lists(st.sampled_from("ab"), max_size=4), st.integers(0, 3))
def test_decided_means_that_nothing_to_come_can_change_it(texts: list[str], waiting: int) -> None:
    quality = {i: float(-i) for i in range(8)}
    seen = {i: answer(text) for i, text in enumerate(texts)}
    if not decided(seen, waiting):
        return
    before = said(seen[most_said(seen, quality)])
    for more in itertools.product("abc", repeat=waiting):
        later = seen | {len(texts) + i: answer(text) for i, text in enumerate(more)}
        assert said(later[most_said(later, quality)]) == before


def test_members_are_grouped_by_what_they_say() -> None:
    found = groups({0: answer("a"), 1: answer("b"), 2: answer("A")})
    assert sorted(found.values()) == [[0, 2], [1]]
