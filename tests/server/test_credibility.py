"""Counts and bills that cannot be true: no honest provider is doubted, and what is booked was plausible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.base import Answer, Bill, Claim, Message, Role, Usage
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.pricing import NANO
from naiad.adapters.tokens import text_bytes, tokens_of_bytes
from naiad.adapters.wire_format import at_least, sane_usage
from naiad.server.credibility import ROOM, UNKNOWN_WINDOW, Allowed, Doubt, believes, booked, counted, of_parts
from naiad.server.money import listed_prices
from naiad.server.records import Cost
from tests.adapters import test_gemini_recorded as gemini
from tests.adapters import test_openai_recorded as openai
from tests.adapters.formats import answered, fed, reader_of
from tests.adapters.shared_data import recorded

tokens = st.integers(0, 1 << 41)
few = st.integers(0, 300)


@st.composite
def usages(draw: st.DrawFn, size: st.SearchStrategy[int] = tokens) -> Usage:
    plain, cached, written, output = (draw(size) for _ in range(4))
    return Usage(plain + cached + written, output, cached, written, draw(st.integers(0, output)))


allowed = st.builds(
    Allowed, st.none() | st.integers(1, 200_000), st.none() | st.integers(1, 2_000_000), st.integers(0, 1 << 20)
)


# -- honest ------------------------------------------------------------------------------------------------------------


def limit_of(request: Any) -> int | None:
    """Return the limit that a recorded request set."""
    asked = request if isinstance(request, dict) else {}
    found = [asked.get(name) for name in ("max_tokens", "max_completion_tokens")]
    found.append((asked.get("generationConfig") or {}).get("maxOutputTokens"))
    return next((limit for limit in found if isinstance(limit, int)), None)


def whole_or_streamed(body: bytes) -> Answer:
    """Read a reply of Anthropic's."""
    wire = AnthropicMessages("2023-06-01")
    if not body.startswith(b"event:"):
        return answered(wire, body)
    reader = reader_of(wire)
    fed(reader, body, 1_000)
    found = reader.answer()
    assert found is not None
    return found


def honest() -> Iterator[tuple[str, str, Any, Answer]]:
    """Yield (vendor, id, request, answer) of everything that real providers answered well."""
    for host in openai.HOSTS:
        for one in openai.good(host):
            yield openai.IN_PRICES.get(host, ("", ""))[0], one.id, one.request, openai.read(one)
    for one in recorded("api.anthropic.com"):
        if one.status == 200:
            yield "anthropic", one.id, one.request, whole_or_streamed(one.body)
    for one in recorded("api.cohere.com"):
        yield "cohere", one.id, one.request, answered(CohereChat(), one.body)
    for host in gemini.HOSTS:
        for one in gemini.exchanges(host):
            if one.status == 200:
                yield "google", one.id, one.request, gemini.read(one)


def test_no_provider_that_was_recorded_is_doubted() -> None:
    """Nor would it be with half the limit that was set, or under the smallest window that holds what it counted."""
    read = limited = windowed = 0
    for vendor, name, request, answer in honest():
        seen = text_bytes((Message(Role.ASSISTANT, answer.parts),))
        limit, listed = limit_of(request), listed_prices(f"{vendor}/x", answer.model) if vendor else None
        window = None if listed is None else listed[1]
        usage = answer.usage
        for bounds in (
            Allowed(limit, window, seen),
            Allowed(None if limit is None else max(1, limit // 2), usage.input_tokens + usage.output_tokens, seen),
        ):
            assert booked(usage, bounds) == counted(usage), (vendor, name, usage, bounds)
        read, limited, windowed = read + 1, limited + (limit is not None), windowed + (window is not None)
    assert read >= 450
    assert limited >= 150
    assert windowed >= 200


@given(allowed, st.data())
def test_what_stays_within_what_was_allowed_is_believed_as_it_is(bounds: Allowed, data: st.DataObject) -> None:
    window = bounds.window or UNKNOWN_WINDOW
    read = data.draw(st.integers(0, window))
    thought = data.draw(st.integers(0, window))
    most = window - thought if bounds.limit is None else min(window - thought, bounds.limit)
    usage = Usage(read, thought + data.draw(st.integers(0, most)), reasoning_tokens=thought)
    assert booked(usage, bounds) == counted(usage)


@given(few, st.integers(0, 1 << 20))
def test_one_that_ignores_its_limit_is_believed_for_what_it_shows(limit: int, seen: int) -> None:
    """A token for each byte is what the finest of tokenizers makes of a text."""
    usage = Usage(10, seen)
    assert booked(usage, Allowed(limit + 1, 1_000, seen)) == counted(usage)


# -- and not -----------------------------------------------------------------------------------------------------------


@given(usages(), allowed)
def test_what_is_booked_is_whole_plausible_and_no_more_than_was_claimed(usage: Usage, bounds: Allowed) -> None:
    found = booked(usage, bounds)
    read, written = found.input_tokens or 0, found.output_tokens or 0
    cached, into, thought = found.cached_input_tokens, found.cache_write_tokens, found.reasoning_tokens
    Usage(read, written, cached, into, thought)  # raises where parts are more than their whole
    if found.claim is None:
        assert found == counted(usage)
        return
    assert found.estimated
    assert (found.claim.input_tokens, found.claim.output_tokens) == (usage.input_tokens, usage.output_tokens)
    window, shown = bounds.window or UNKNOWN_WINDOW, tokens_of_bytes(bounds.written_bytes)
    assert min(usage.input_tokens, window) <= read <= usage.input_tokens
    assert written <= usage.output_tokens
    spoken = usage.output_tokens - usage.reasoning_tokens
    least = min(spoken, shown if bounds.limit is None else max(bounds.limit, shown))
    assert written >= min(least, max(window, shown)), "never below what it was allowed, as far as it claims that"
    assert written <= max(2 * window, bounds.written_bytes) + ROOM
    again = booked(Usage(read, written, reasoning_tokens=found.reasoning_tokens), bounds)
    assert again.claim is None, "what stands in its place is credible itself"


@pytest.mark.parametrize(
    ("usage", "bounds", "doubt", "expected"),
    [
        (Usage(10, 1_000_000), Allowed(100, 8_000, 40), Doubt.OUTPUT_LIMIT, (10, 100)),
        (Usage(10, 456), Allowed(100, 8_000, 40), None, (10, 456)),
        (Usage(10, 457), Allowed(100, 8_000, 40), Doubt.OUTPUT_LIMIT, (10, 100)),
        (Usage(10, 5_000), Allowed(100, 8_000, 4_000), Doubt.OUTPUT_LIMIT, (10, 1_000)),
        (Usage(10, 7_100, reasoning_tokens=7_000), Allowed(100, 8_000, 40), None, (10, 7_100)),
        (Usage(10, 90_000, reasoning_tokens=89_990), Allowed(100, 8_000, 40), Doubt.CONTEXT_WINDOW, (10, 8_000)),
        (Usage(10, 90_000), Allowed(None, 8_000, 40), Doubt.CONTEXT_WINDOW, (10, 8_000)),
        (Usage(90_000, 7, 80_000, 5_000), Allowed(None, 8_000, 40), Doubt.CONTEXT_WINDOW, (8_000, 7)),
        (Usage(90_000_000, 7), Allowed(None, None, 40), Doubt.CONTEXT_WINDOW, (UNKNOWN_WINDOW, 7)),
        (Usage(9_000_000, 7), Allowed(None, None, 40), None, (9_000_000, 7)),
    ],
)  # fmt: skip
def test_each_rule_by_an_example(usage: Usage, bounds: Allowed, doubt: Doubt | None, expected: tuple[int, int]) -> None:
    found = booked(usage, bounds)
    assert (None if found.claim is None else found.claim.reason) == doubt
    assert (found.input_tokens, found.output_tokens) == expected


@given(*(st.integers(-(10**25), 10**25) for _ in range(5)), few, few, allowed)
def test_what_contradicts_itself_is_booked_within_what_was_allowed(
    read: int, written: int, cached: int, into: int, thought: int, seen_in: int, seen_out: int, bounds: Allowed
) -> None:
    said = sane_usage(read, written, cached=cached, cache_write=into, reasoning=thought)
    if isinstance(said, Usage):
        return
    assert said == Claim(read, written, cached, into, thought)
    found = booked(at_least(Usage(seen_in, seen_out, estimated=True), said), bounds)
    assert found.claim is not None
    assert found.claim.reason == Doubt.CONTRADICTION
    assert max(abs(found.claim.input_tokens), abs(found.claim.output_tokens)) < 1 << 63, "as 64 bits hold it"
    assert found.input_tokens is not None
    assert found.output_tokens is not None
    window = bounds.window or UNKNOWN_WINDOW
    assert found.input_tokens >= min(seen_in, window)
    assert found.output_tokens >= min(seen_out, bounds.limit or seen_out, window)
    assert found.cached_input_tokens == 0, "nothing of it is taken for cheap"
    assert 0 <= found.cache_write_tokens <= found.input_tokens <= 2 * window + ROOM


def test_a_whole_is_doubted_with_one_of_its_parts() -> None:
    good = booked(Usage(10, 5), Allowed(100, 8_000, 20))
    bad = booked(Usage(10, 10_000), Allowed(100, 8_000, 20))
    assert of_parts(Usage(20, 10), [good, good]).claim is None
    claim = of_parts(Usage(20, 105, estimated=True), [good, bad]).claim
    assert claim is not None
    assert (claim.reason, claim.input_tokens, claim.output_tokens) == (Doubt.PART, 20, 10_005)


# -- bills -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usd", "priced_usd", "believed"),
    [
        (0.0, 0.5, True),  # a free call
        (1.0, 0.0, True),
        (1.01, 0.0, False),
        (0.0160614, 0.0001764, True),  # a search on OpenRouter's side, as recorded
        (50.0, 0.5, True),
        (50.01, 0.5, False),
        (999.0, None, True),
        (1_001.0, None, False),
        (1_001.0, 900.0, False),
    ],
)
def test_a_bill_is_believed_within_its_bounds(usd: float, priced_usd: float | None, believed: bool) -> None:
    priced = None if priced_usd is None else Cost(total=round(priced_usd * NANO))
    assert believes(Bill(round(usd * NANO), ""), priced) is believed


def test_what_is_no_amount_is_never_believed() -> None:
    assert not believes(Bill(None, "no number"), None)
    assert not believes(Bill(10**6_000, ""), Cost(total=1 << 62))
