"""Laws of the bill: exact, additive, monotone, and equal to genai-prices' own calculation."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data_snapshot import get_snapshot
from hypothesis import assume, given
from hypothesis import strategies as st

from naiad.adapters.base import Usage
from naiad.adapters.pricing import CostBreakdown, Price, PriceTier, bill, nano_usd, price_of

tokens = st.integers(0, 3_000_000)
rate = st.integers(0, 200_000_000_000)  # up to $200 per million
optional_rate = st.none() | rate


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    plain, cached, written, output = (draw(tokens) for _ in range(4))
    return Usage(plain + cached + written, output, cached, written, draw(st.integers(0, output)))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    def rates() -> dict[str, int | None]:
        return {
            "input": draw(rate),
            "output": draw(rate),
            "cached_input": draw(optional_rate),
            "cache_write": draw(optional_rate),
        }

    starts = sorted(draw(st.sets(st.integers(0, 2_000_000), max_size=3)))
    tiers = tuple(PriceTier(above_input_tokens=start, **rates()) for start in starts)  # type: ignore[arg-type]
    return Price(**rates(), tiers=tiers)  # type: ignore[arg-type]


def exactly(usage: Usage, price: Price) -> Fraction:
    """The bill in rational arithmetic, written down independently of the code under test."""
    held: Price | PriceTier = price
    for tier in price.tiers:
        if usage.input_tokens > tier.above_input_tokens:
            held = tier
    cached = held.input if held.cached_input is None else held.cached_input
    written = held.input if held.cache_write is None else held.cache_write
    plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    nano = plain * held.input + usage.cached_input_tokens * cached + usage.cache_write_tokens * written
    return Fraction(nano + usage.output_tokens * held.output, 1_000_000)


@given(usages(), prices())
def test_bill_is_integer_adds_up_and_is_within_two_nano(usage: Usage, price: Price) -> None:
    cost = bill(usage, price)
    parts = (cost.input, cost.cached_input, cost.cache_write, cost.output)
    assert all(type(part) is int and part >= 0 for part in parts)
    assert cost.total == sum(parts)
    assert abs(cost.total - exactly(usage, price)) <= 2


@given(usages(), rate, rate, st.integers(0, 1000))
def test_bill_grows_with_tokens(usage: Usage, input_: int, output: int, more: int) -> None:
    price = Price(input=input_, output=output)
    longer = Usage(usage.input_tokens + more, usage.output_tokens + more, usage.cached_input_tokens)
    shorter = Usage(usage.input_tokens, usage.output_tokens, usage.cached_input_tokens)
    assert bill(longer, price).total >= bill(shorter, price).total


@given(usages(), usages(), st.integers(0, 200_000), st.integers(0, 200_000))
def test_whole_nano_prices_make_bills_additive(a: Usage, b: Usage, input_: int, output: int) -> None:
    price = Price(input=input_ * 1_000_000, output=output * 1_000_000)
    both = Usage(a.input_tokens + b.input_tokens, a.output_tokens + b.output_tokens)
    assert bill(both, price).total == bill(a, price).total + bill(b, price).total


def test_half_a_nano_rounds_up() -> None:
    assert bill(Usage(1, 0), Price(input=500_000, output=0)) == CostBreakdown(1, 0, 0, 0)
    assert bill(Usage(1, 0), Price(input=499_999, output=0)) == CostBreakdown(0, 0, 0, 0)


def test_a_tier_bills_all_tokens_and_starts_above_its_threshold() -> None:
    tier = PriceTier(above_input_tokens=200, input=4_000_000, output=6_000_000)
    price = Price(input=1_000_000, output=2_000_000, cached_input=0, tiers=(tier,))
    assert bill(Usage(200, 10), price) == CostBreakdown(200, 0, 0, 20)
    assert bill(Usage(201, 10), price) == CostBreakdown(804, 0, 0, 60)
    assert bill(Usage(201, 0, cached_input_tokens=1), price).cached_input == 4, "a tier has its own cache rate"


def test_impossible_prices_are_refused() -> None:
    with pytest.raises(ValueError, match="price output is -1"):
        Price(input=1, output=-1)
    tiers = tuple(PriceTier(above_input_tokens=start, input=1, output=1) for start in (5, 5))
    with pytest.raises(ValueError, match="ascend"):
        Price(input=1, output=1, tiers=tiers)


@pytest.mark.parametrize(
    ("usd", "nano"), [("0.075", 75_000_000), (3, 3_000_000_000), (Decimal("1e-9"), 1), ("-2", -2_000_000_000)]
)
def test_dollars_become_nano_exactly(usd: Decimal | str | int, nano: int) -> None:
    assert nano_usd(usd) == nano


@pytest.mark.parametrize("usd", ["NaN", "Infinity", "1e-10"])
def test_dollars_that_are_no_whole_nano_are_refused(usd: str) -> None:
    with pytest.raises(ValueError, match=usd.replace("e", "[eE]")):
        nano_usd(usd)


# --- the list ---

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
LISTED = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    for model in provider.models
    if provider.id in ("openai", "anthropic", "google", "mistral", "deepseek", "openrouter", "groq", "cohere")
]


@given(st.sampled_from(LISTED), usages())
def test_bill_equals_the_lists_own_calculation(which: tuple[str, str], usage: Usage) -> None:
    facts = price_of(*which, at=AT)
    assume(facts is not None)
    assert facts is not None
    provider, model = get_snapshot().find_provider_model(which[1], None, which[0], None)
    theirs = model.calc_price(
        TheirUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        ),
        provider,
        genai_request_timestamp=AT,
    )
    extra = {"requests_kcount"} & set(facts.not_covered)
    assume(not extra)
    assert abs(bill(usage, facts.price).total - theirs.total_price * 10**9) <= 2
    assert facts.price_version.startswith("genai-prices ")
    assert facts.listed_as.partition("/")[0]


def test_a_tiered_model_is_found_with_its_tiers() -> None:
    facts = price_of("google", "gemini-2.5-pro", at=AT)
    assert facts is not None
    assert [tier.above_input_tokens for tier in facts.price.tiers] == [200_000]
    assert facts.price.tiers[0].output > facts.price.output > 0


def test_the_context_window_is_given_where_it_is_known() -> None:
    facts = price_of("anthropic", "claude-sonnet-4-5")
    assert facts is not None
    assert facts.context_window == 200_000


def test_without_a_moment_the_newest_price_and_the_dearest_hour_hold() -> None:
    provider, model = "deepseek", "deepseek-chat"  # cheaper at night
    newest = price_of(provider, model)
    by_hour = [price_of(provider, model, at=AT.replace(hour=hour)) for hour in range(24)]
    found = [facts.price.output for facts in by_hour if facts is not None]
    assert newest is not None
    assert newest.price.output == max(found) > min(found)
    dated = price_of("openrouter", "meta-llama/llama-3.1-8b-instruct")
    before = price_of("openrouter", "meta-llama/llama-3.1-8b-instruct", at=datetime(2026, 1, 1, tzinfo=UTC))
    assert dated is not None
    assert before is not None
    assert dated.price != before.price


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("no-such-provider", "gpt-5-mini"),
        ("openai", "text-embedding-3-small"),  # known, but has no output price
    ],
)
def test_unknown_models_are_unknown(provider: str, model: str) -> None:
    assert price_of(provider, model) is None


def test_the_list_is_loaded_at_the_first_lookup_and_never_updates_itself() -> None:
    script = """
import sys, json, threading
import naiad.adapters.pricing, naiad.adapters.replay, naiad.adapters.echo, tests.adapters.scripted
before = "genai_prices" in sys.modules
naiad.adapters.pricing.price_of("openai", "gpt-5-mini")
after = "genai_prices" in sys.modules
print(json.dumps([before, after, threading.active_count(), "pareto_bandit" in sys.modules]))
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert json.loads(printed.stdout) == [False, True, 1, False]
