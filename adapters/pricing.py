"""What a call costs, in integers: 1 nano-USD is 1e-9 dollars, prices are nano-USD per million tokens.

A bill:

    component = tokens * price / 1,000,000, rounded half up to a whole nano-USD
    total     = the sum of the four rounded components

so that a breakdown always adds up, and a bill is within 2 nano-USD of the exact value. Reasoning is billed as output;
its share of the rounded output, in proportion to the tokens and rounded half up, is told beside it.

Price lists have tiers: when the input is longer than a threshold, *all* tokens of the call are billed at that
tier's rates (the rule of Google, Anthropic and OpenAI, and of genai-prices).

List prices and context windows come from genai-prices, the offline data of the installed package. It is
imported at the first lookup (about 0.4 s and 30 MiB) and never updates itself over the network from here. A
model that it does not know, or knows without a price for input and for output, is unknown: nothing is
guessed. A price in the caller's own configuration comes before anything found here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from naiad.adapters.base import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

NANO = 1_000_000_000
"""Nano-USD per USD."""

_MTOK = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Nano-USD per million tokens of each kind; None means that the kind is billed as plain input."""

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "cache_write"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"price {name} is {value} nano-USD per million tokens; it must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTier(Rates):
    """The rates of a call whose total input is longer than `above_input_tokens`."""

    above_input_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Rates):
    """The price of a model: base rates, and the tiers above them in ascending order of threshold."""

    tiers: tuple[PriceTier, ...] = ()

    def __post_init__(self) -> None:
        Rates.__post_init__(self)
        starts = [tier.above_input_tokens for tier in self.tiers]
        if any(start < 0 for start in starts) or any(a >= b for a, b in pairwise(starts)):
            raise ValueError(f"price tiers start above {starts} input tokens; thresholds must ascend from 0")

    def rates(self, input_tokens: int) -> Rates:
        """Return the rates that hold for a call with this many input tokens in total."""
        held: Rates = self
        for tier in self.tiers:
            if input_tokens > tier.above_input_tokens:
                held = tier
        return held


@dataclass(frozen=True, slots=True)
class CostBreakdown:
    """A bill in nano-USD; `total` is exactly the sum of the components."""

    input: int  # input tokens that are neither read from nor written to a cache
    cached_input: int
    cache_write: int
    output: int
    reasoning: int = 0  # of the output

    @property
    def total(self) -> int:
        """The whole bill in nano-USD."""
        return self.input + self.cached_input + self.cache_write + self.output


def bill(usage: Usage, price: Price) -> CostBreakdown:
    """Price the tokens of one call, rounded as the module's docstring says; reasoning is billed as output."""
    rates = price.rates(usage.input_tokens)
    plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    output = _cost(usage.output_tokens, rates.output)
    cached_rate = rates.input if rates.cached_input is None else rates.cached_input
    write_rate = rates.input if rates.cache_write is None else rates.cache_write
    return CostBreakdown(
        input=_cost(plain, rates.input),
        cached_input=_cost(usage.cached_input_tokens, cached_rate),
        cache_write=_cost(usage.cache_write_tokens, write_rate),
        output=output,
        reasoning=reasoning_share(output, usage.reasoning_tokens, usage.output_tokens),
    )


def reasoning_share(output_nano_usd: int, reasoning_tokens: int, output_tokens: int) -> int:
    """Return what reasoning cost of an output, rounded half up; 0 where nothing was written."""
    if not output_tokens:
        return 0
    return (2 * output_nano_usd * reasoning_tokens + output_tokens) // (2 * output_tokens)


def nano_usd(usd: Decimal | str | int) -> int:
    """Convert dollars to nano-USD exactly, e.g. "0.075" (per million tokens) to 75_000_000.

    Takes no float, which could not say what was meant. Raises ValueError for a value that is not finite or
    has more than nine decimals.
    """
    value = Decimal(usd)
    if not value.is_finite():
        raise ValueError(f"{usd} dollars: give a finite amount")
    nano = value.scaleb(9)
    if nano != nano.to_integral_value():
        raise ValueError(f"{usd} dollars has parts of a nano-USD; give at most nine decimals")
    return int(nano)


def _cost(tokens: int, rate: int) -> int:
    return (tokens * rate + _MTOK // 2) // _MTOK


# --- list prices ---

_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the price list says about a model."""

    price: Price
    price_version: str  # e.g. "genai-prices 0.2.3": recorded with each bill
    listed_as: str  # the entry that matched, e.g. "openai/gpt-5-mini"
    context_window: int | None  # tokens, None where the list has none
    not_covered: tuple[str, ...]  # things billed on top that `Price` has no field for, e.g. "web_searches_kcount"


def price_of(provider: str, upstream_model: str, *, at: datetime | None = None) -> ModelFacts | None:
    """Find a model's price and context window, or None if the list does not have them.

    `provider` is genai-prices' name, e.g. "openai", "anthropic", "google", "mistral", "openrouter"; `at` is
    the moment (UTC) whose prices are wanted. Without it the newest prices hold, and the dearest hour of a
    model whose price depends on the hour, so that a bill is rather too high than too low.
    """
    return _price_of(provider, upstream_model, at)


@lru_cache(8_192)
def _price_of(provider: str, upstream_model: str, at: datetime | None) -> ModelFacts | None:
    """Look it up: a model that is not listed is compared with every rule of its provider, for up to 0.6 ms."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        found_at, model = get_snapshot().find_provider_model(upstream_model, None, provider, None)
    except LookupError:
        return None
    listed = _newest(model) if at is None else model.get_prices(at)
    price = _price(listed)
    if price is None:
        return None
    return ModelFacts(
        price=price,
        price_version=_price_version(),
        listed_as=f"{found_at.id}/{model.id}",
        context_window=model.context_window,
        not_covered=_not_covered(listed),
    )


@cache
def _price_version() -> str:
    return f"genai-prices {version('genai-prices')}"


def _newest(model: ModelInfo) -> ModelPrice:
    from genai_prices.types import ModelPrice, TimeOfDateConstraint

    if isinstance(model.prices, ModelPrice):
        return model.prices
    by_hour: list[ModelPrice] = []
    for entry in reversed(model.prices):
        by_hour.append(entry.prices)
        if not isinstance(entry.constraint, TimeOfDateConstraint):
            break
    return max(by_hour, key=lambda prices: _base(prices.output_mtok) or Decimal(0))


def _price(listed: ModelPrice) -> Price | None:
    stated = {name: getattr(listed, key) for name, key in _KEYS.items()}
    if stated["input"] is None or stated["output"] is None:
        return None
    starts = sorted({tier.start for value in stated.values() for tier in _tiers(value)})
    return Price(
        **{name: _rate(value, None) for name, value in stated.items()},
        tiers=tuple(
            PriceTier(above_input_tokens=start, **{name: _rate(value, start) for name, value in stated.items()})
            for start in starts
        ),
    )


def _not_covered(listed: ModelPrice) -> tuple[str, ...]:
    keys = (key for key, value in vars(listed).items() if value is not None and not key.startswith("_"))
    return tuple(sorted(key for key in keys if key not in _KEYS.values()))


# A listed value is a Decimal, a TieredPrices(base, tiers) or None.
def _base(value: Any) -> Decimal | None:
    base: Decimal | None = getattr(value, "base", value)
    return base


def _tiers(value: Any) -> list[Any]:
    tiers: list[Any] = getattr(value, "tiers", [])
    return tiers


def _rate(value: Any, start: int | None) -> Any:
    """Nano-USD per million tokens of one kind in the tier that begins at `start`, None where not listed."""
    dollars = _base(value)
    for tier in _tiers(value):
        if start is not None and tier.start <= start:
            dollars = tier.price
    return None if dollars is None else int((dollars * NANO).to_integral_value(ROUND_HALF_EVEN))
