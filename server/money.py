"""What attempts cost, in integer nano-USD: the catalogue's prices applied by the adapters' exact arithmetic."""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec

from naiad.adapters import pricing
from naiad.adapters.base import Bill
from naiad.adapters.base import Usage as AdapterUsage
from naiad.server.composites import Role
from naiad.server.credibility import believes
from naiad.server.records import Cost, Outcome, Prices, PriceTier, Usage

_PARTS = 4  # of a bill, each rounded on its own


def to_price(prices: Prices) -> pricing.Price:
    """Return the catalogue's prices as the adapters bill by."""
    return pricing.Price(
        input=prices.input,
        output=prices.output,
        cached_input=prices.cached_input,
        cache_write=prices.cache_write,
        tiers=tuple(
            pricing.PriceTier(
                input=tier.input,
                output=tier.output,
                cached_input=tier.cached_input,
                cache_write=tier.cache_write,
                above_input_tokens=tier.above_input_tokens,
            )
            for tier in prices.tiers
        ),
    )


def from_price(price: pricing.Price, version: str) -> Prices:
    """Return an adapter's price as the catalogue keeps it."""
    return Prices(
        input=price.input,
        output=price.output,
        cached_input=price.cached_input,
        cache_write=price.cache_write,
        tiers=tuple(
            PriceTier(
                above_input_tokens=tier.above_input_tokens,
                input=tier.input,
                output=tier.output,
                cached_input=tier.cached_input,
                cache_write=tier.cache_write,
            )
            for tier in price.tiers
        ),
        version=version,
    )


def listed_prices(name: str, upstream_model: str) -> tuple[Prices, int | None] | None:
    """Return the price list's (prices, context window) of a model "provider/model", None if it is not listed."""
    facts = pricing.price_of(name.partition("/")[0], upstream_model)
    return None if facts is None else (from_price(facts.price, facts.price_version), facts.context_window)


def cost_of(usage: Usage, prices: Prices | None, billed: int | None = None) -> Cost | None:
    """Return what an attempt cost; None when neither tokens and prices nor a bill are known."""
    if prices is None or usage.input_tokens is None or usage.output_tokens is None:
        return None if billed is None else Cost(total=billed, billed=billed)
    parts = pricing.bill(
        AdapterUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            reasoning_tokens=usage.reasoning_tokens,
        ),
        to_price(prices),
    )
    return Cost(
        total=billed if billed is not None else parts.total + prices.request,
        input=parts.input,
        cached_input=parts.cached_input,
        cache_write=parts.cache_write,
        output=parts.output,
        request=prices.request,
        billed=billed,
        price_version=prices.version,
        reasoning=parts.reasoning,
    )


def charged(usage: Usage, prices: Prices | None, bill: Bill | None) -> Cost | None:
    """Return what a call cost: as its provider billed it, where that can be true, else by the prices."""
    priced = cost_of(usage, prices)
    if bill is None:
        return priced
    if believes(bill, priced):
        return cost_of(usage, prices, bill.nano_usd)
    return None if priced is None else msgspec.structs.replace(priced, doubted_bill=bill.said)


def adjustment_of(cost: Cost) -> int:
    """Return by how much a total differs from what the prices would give: with it the parts add up to the total."""
    return cost.total - (cost.input + cost.cached_input + cost.cache_write + cost.output + cost.request)


def reasoning_of(usage: Usage, cost: Cost) -> int:
    """Return what reasoning cost of an attempt's output, also of one that was recorded without it."""
    return cost.reasoning or pricing.reasoning_share(cost.output, usage.reasoning_tokens, usage.output_tokens or 0)


def shares_of(name: str, outcome: Outcome, returned: Container[str]) -> tuple[int, int]:
    """Return what of an attempt's cost was for judging, and what for an answer that was not returned.

    returned: names of the attempts whose answers composites returned.
    """
    spent = 0 if outcome.cost is None else outcome.cost.total
    if outcome.role == Role.JUDGE:
        return spent, 0
    return 0, spent if outcome.role == Role.MEMBER and name not in returned else 0


def sum_of(attempts: Sequence[tuple[str, Outcome]], returned: str) -> Cost:
    """Return what the attempts cost together that were made for one answer, as far as it is known.

    returned: the attempt whose answer it is.
    """
    known = [outcome.cost for _, outcome in attempts if outcome.cost is not None]
    parts = ("total", "input", "cached_input", "cache_write", "output", "request", "reasoning")
    versions = sorted({cost.price_version for cost in known if cost.price_version})
    sums = {part: sum(getattr(cost, part) for cost in known) for part in parts}
    bills = [cost.billed for cost in known if cost.billed is not None]
    shares = [shares_of(name, outcome, (returned,)) for name, outcome in attempts]
    return Cost(
        **sums,
        billed=sum(bills) if bills else None,
        price_version=", ".join(versions),
        judge=sum(judge for judge, _ in shares),
        other_members=sum(other for _, other in shares),
    )


def most_of(prices: Prices, input_tokens: int, output_tokens: int) -> int:
    """Return the most that a call with so many tokens, or fewer, may cost, nano-USD: each at its dearest rate."""
    read, written = _dearest(prices), prices.output
    for tier in prices.tiers:
        if input_tokens > tier.above_input_tokens:
            read, written = max(read, _dearest(tier)), max(written, tier.output)
    if not read and not written:
        return prices.request
    return prices.request + -(-(input_tokens * read + output_tokens * written) // 1_000_000) + _PARTS


def is_free(prices: Prices | None) -> bool:
    """Return whether prices are known, and all of them are 0."""
    if prices is None or prices.request or prices.output or _dearest(prices):
        return False
    return not any(tier.output or _dearest(tier) for tier in prices.tiers)


def _dearest(rates: Prices | PriceTier) -> int:
    """Return the dearest rate at which an input token may be billed."""
    read, cached, write = rates.input, rates.cached_input, rates.cache_write
    if cached is not None and cached > read:
        read = cached
    return write if write is not None and write > read else read
