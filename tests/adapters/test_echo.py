"""The echo repeats, counts honestly and keeps the limits that it says it keeps."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import FinishReason, Request, ToolSpec, user
from naiad.adapters.echo import NOTICE, echo
from naiad.adapters.tokens import estimate_tokens, tokens_of_bytes


@given(st.text(), st.none() | st.integers(1, 50))
def test_usage_is_what_came_in_and_what_went_out(text: str, limit: int | None) -> None:
    request = Request("any", (user(text),), max_output_tokens=limit)
    answer = echo(request)
    assert answer.usage.input_tokens == estimate_tokens(request.messages)
    assert answer.usage.output_tokens == tokens_of_bytes(len(answer.text.encode()))
    assert answer.usage.estimated
    whole = f"[echo] {text}"
    if limit is None or tokens_of_bytes(len(whole.encode())) <= limit:
        assert (answer.text, answer.finish) == (whole, FinishReason.STOP)
    else:
        assert whole.startswith(answer.text)
        assert answer.usage.output_tokens <= limit
        assert answer.finish is FinishReason.LENGTH


def test_a_cut_never_leaves_half_a_character() -> None:
    answer = echo(Request("any", (user("€€€€"),), max_output_tokens=2))
    assert answer.text == "[echo] ", "8 bytes would end in the middle of the first euro sign"


def test_stop_sequences_stop_at_the_first() -> None:
    answer = echo(Request("any", (user("one two three"),), stop=("three", " two")))
    assert (answer.text, answer.finish) == ("[echo] one", FinishReason.STOP)
    assert echo(Request("any", (user("x"),), stop=("[echo]",))).parts == ()


def test_what_is_ignored_is_said() -> None:
    plain = Request("any", (user("hi"),))
    assert echo(plain).notices == (NOTICE,)
    rich = replace(plain, tools=(ToolSpec("f", "does f", "{}"),), temperature=0.0, seed=1)
    assert echo(rich).notices == (
        NOTICE,
        "The echo ignores tools.",
        "The echo ignores temperature.",
        "The echo ignores seed.",
    )
