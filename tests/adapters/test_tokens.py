"""Laws of the token estimate and of the learned ratio."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import (
    ImagePart,
    Message,
    ResponseSchema,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    user,
)
from naiad.adapters.tokens import (
    DEFAULT_BYTES_PER_TOKEN,
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    TOOL_TOKENS,
    TOOLS_TOKENS,
    LearnedRatio,
    estimate_offered,
    estimate_tokens,
    text_bytes,
)


@given(st.lists(st.text(), max_size=5), st.floats(0.1, 20))
def test_estimate_is_bytes_over_ratio_with_the_stated_allowance(texts: list[str], ratio: float) -> None:
    n_bytes = sum(len(text.encode()) for text in texts)
    turns = [user(text) for text in texts]
    assert text_bytes(turns) == n_bytes
    assert estimate_tokens(turns, ratio) == math.ceil(n_bytes / ratio) + MESSAGE_TOKENS * len(texts)


@given(st.text(), st.text(), st.floats(0.1, 20))
def test_more_text_is_never_fewer_tokens(text: str, more: str, ratio: float) -> None:
    assert estimate_tokens([user(text + more)], ratio) >= estimate_tokens([user(text)], ratio)


def test_bytes_count_not_characters() -> None:
    assert text_bytes([user("añ")]) == 3
    assert text_bytes([user("\ud800")]) == 3, "half a surrogate pair is counted, not refused"


def test_images_and_tools_count_wherever_they_are() -> None:
    image = ImagePart("image/png", b"x" * 10_000)
    result = ToolResultPart("c", "look", (TextPart("cat"), image))
    turn = Message(Role.TOOL, (image, ToolCallPart("c", "look", "{}"), result))
    assert text_bytes([turn]) == len("look") + len("{}") + len("look") + len("cat")
    assert estimate_tokens([turn], 1.0) == 13 + MESSAGE_TOKENS + 2 * IMAGE_TOKENS
    assert estimate_tokens([turn], 1.0, image_tokens=0) == 13 + MESSAGE_TOKENS


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=20), st.floats(0.1, 20))
def test_what_is_offered_counts_with_the_stated_allowances(texts: list[str], schema: str, ratio: float) -> None:
    tools = [ToolSpec("look", text, "{}") for text in texts]
    n_bytes = sum(6 + len(text.encode()) for text in texts)
    framed = TOOL_TOKENS * len(tools) + (TOOLS_TOKENS if tools else 0)
    assert estimate_offered(tools, None, ratio) == math.ceil(n_bytes / ratio) + framed
    shaped = estimate_offered(tools, ResponseSchema("answer", schema), ratio)
    assert shaped == math.ceil((n_bytes + 6 + len(schema.encode())) / ratio) + framed + TOOL_TOKENS


def test_who_offers_nothing_pays_nothing() -> None:
    assert estimate_offered(()) == 0


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="bytes_per_token"):
        estimate_tokens([user("x")], ratio)


counts = st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), max_size=8)


@given(counts)
def test_learning_does_not_depend_on_the_order(calls: list[tuple[int, int]]) -> None:
    ratio, other = LearnedRatio(), LearnedRatio()
    for n_bytes, n_tokens in calls:
        ratio = ratio.add(n_bytes, n_tokens)
    for n_bytes, n_tokens in sorted(calls):
        other = other.add(n_bytes, n_tokens)
    assert ratio == other
    assert ratio.bytes_per_token > 0
    assert math.isfinite(ratio.bytes_per_token)


def test_learning_starts_at_the_default_and_recovers_the_truth() -> None:
    ratio = LearnedRatio()
    assert ratio.bytes_per_token == DEFAULT_BYTES_PER_TOKEN
    assert 3.5 < ratio.add(250, 100).bytes_per_token < DEFAULT_BYTES_PER_TOKEN, "one call moves it little"
    for _ in range(10_000):
        ratio = ratio.add(250, 100)
    assert ratio.bytes_per_token == pytest.approx(2.5, rel=0.01)


def test_nothing_learned_without_a_prior_is_the_default() -> None:
    assert LearnedRatio(prior_tokens=0).bytes_per_token == DEFAULT_BYTES_PER_TOKEN
    assert LearnedRatio(prior_tokens=0).add(0, 5).bytes_per_token == DEFAULT_BYTES_PER_TOKEN


@pytest.mark.parametrize("call", [(-1, 1), (1, -1)])
def test_negative_counts_are_refused(call: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        LearnedRatio().add(*call)
