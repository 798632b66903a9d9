"""The values at the seam refuse what no provider could mean."""

from __future__ import annotations

import dataclasses
import math

import pytest

from naiad.adapters.base import (
    Answer,
    FinishReason,
    ImagePart,
    Message,
    Request,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    Usage,
    system,
    user,
)


def request_with(**changes: object) -> Request:
    return dataclasses.replace(Request("m", (user("hello"),)), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": ""}, "model is empty"),
        ({"messages": ()}, "messages is empty"),
        ({"max_output_tokens": 0}, "max_output_tokens is 0"),
        ({"max_output_tokens": -3}, "max_output_tokens is -3"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_p": math.nan}, "top_p is nan"),
        ({"stop": ("x", "")}, "stop sequence is empty"),
    ],
)
def test_impossible_requests_are_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        request_with(**changes)


def test_last_user_text_joins_text_parts_of_the_last_user_turn() -> None:
    image = ImagePart("image/png", b"\x89PNG")
    last = Message(Role.USER, (TextPart("what is "), image, TextPart("this?")))
    turns = (system("be brief"), user("hi"), Message(Role.ASSISTANT, (TextPart("hello"),)), last)
    result = Message(Role.TOOL, (ToolResultPart("c1", "look", (TextPart("a cat"),)),))
    assert request_with(messages=(*turns, result)).last_user_text == "what is this?"
    assert request_with(messages=(system("be brief"),)).last_user_text == ""


def test_an_image_is_data_or_url_and_data_has_a_type() -> None:
    assert ImagePart(url="https://example.org/cat.png").data == b""
    for wrong in ({}, {"data": b"x", "url": "https://example.org"}, {"data": b"x"}):
        with pytest.raises(ValueError, match="image part"):
            ImagePart(**wrong)


def test_a_tool_choice_has_a_name_exactly_when_it_is_named() -> None:
    assert ToolChoice(ToolMode.NAMED, "search").name == "search"
    for mode, name in ((ToolMode.NAMED, ""), (ToolMode.AUTO, "search"), (ToolMode.NONE, "search")):
        with pytest.raises(ValueError, match="tool choice"):
            ToolChoice(mode, name)


@pytest.mark.parametrize(
    "counts",
    [
        {"input_tokens": -1, "output_tokens": 0},
        {"input_tokens": 0, "output_tokens": -1},
        {"input_tokens": 5, "output_tokens": 0, "cached_input_tokens": 4, "cache_write_tokens": 2},
        {"input_tokens": 5, "output_tokens": 1, "reasoning_tokens": 2},
        {"input_tokens": 5, "output_tokens": 1, "cached_input_tokens": -1},
    ],
)
def test_usage_parts_lie_within_their_totals(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="usage"):
        Usage(**counts)  # type: ignore[arg-type]  # mypy cannot see which keys there are


def test_answer_text_leaves_tool_calls_out() -> None:
    parts = (TextPart("a"), ToolCallPart("1", "f", "{}"), TextPart("b"))
    assert Answer(parts, FinishReason.TOOL_CALLS, Usage(1, 1), "m").text == "ab"


def test_values_are_frozen_and_hashable() -> None:
    request = request_with()
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.model = "other"  # type: ignore[misc]
    assert hash(request) == hash(request_with())
