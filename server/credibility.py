"""Whether what a provider counts and bills can be true, and what is booked where it cannot.

Tokens. A call was allowed to write L tokens (what was sent as the limit; nothing where none was), of a model whose
context window holds W (10 million where it is not known: no model's holds more), and its answer has B bytes that can be
seen. A count is believed unless

    it contradicts itself                                          (the adapter tells: `Usage.claim`)
    output - reasoning > max(2 L, B) + 256                         where a limit was sent
    input > 2 W + 256,  or  output > max(2 W, B) + 256

No honest provider trips over it. No tokenizer makes more tokens than bytes, so one that ignores the limit is believed
for what it shows. Reasoning that is counted apart may lie outside of the limit, and is bounded by the window alone.
Twice and 256 leave room for counts in another tokenizer, for what frames messages and calls, and for a window that is
declared smaller than it is. What is above is cut down to what was allowed, never below what the answer's bytes come to:

    output <- max(L, B / 4) + reasoning,    input <- W,    output <- max(W, B / 4)

so that what is booked is never less than what was plausible. Of a count that contradicts itself each side is first
taken at the larger of what it says and an estimate from bytes (`wire_format.at_least`). Such tokens are marked as
estimated and teach nothing.

Bills. A bill is an amount of money, at least 0. It is believed up to the larger of 1 USD and 100 times what the prices
give for those tokens: searches, files and the prices of other vendors make an honest bill as much as 90 times dearer
where the tokens cost next to nothing, but not where they cost cents. Without prices it is believed up to 1,000 USD,
several times what the dearest model could charge for the longest input; nothing above that ever is.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import msgspec

from naiad.adapters.base import Bill
from naiad.adapters.base import Usage as ProviderUsage
from naiad.adapters.pricing import NANO
from naiad.adapters.tokens import tokens_of_bytes
from naiad.server.bounds import MOST_INT64
from naiad.server.records import Claim, Cost, Usage

UNKNOWN_WINDOW = 10_000_000  # tokens
ROOM = 256  # tokens
ALWAYS_BILLED = 1 * NANO
MOST_BILLED = 1_000 * NANO
MOST_TIMES = 100  # what the prices give


class Doubt(IntEnum):
    """Why a count is not believed; numbered as UsageDoubt in the API."""

    CONTRADICTION = 1
    OUTPUT_LIMIT = 2
    CONTEXT_WINDOW = 3
    PART = 4


class Allowed(NamedTuple):
    """What a call was allowed, and what can be seen of its answer."""

    limit: int | None  # tokens, that were sent as the most to be written
    window: int | None  # tokens
    written_bytes: int


def counted(said: ProviderUsage) -> Usage:
    """Return a count in the log's words."""
    return Usage(
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
        cached_input_tokens=said.cached_input_tokens,
        cache_write_tokens=said.cache_write_tokens,
        reasoning_tokens=said.reasoning_tokens,
        estimated=said.estimated,
    )


def booked(said: ProviderUsage, allowed: Allowed) -> Usage:
    """Return a provider's count in the log's words, or what stands in its place with what was claimed."""
    found = _doubt(said, allowed) if said.claim is None else (Doubt.CONTRADICTION, 0)
    if found is None:
        return counted(said)
    claimed = said if said.claim is None else said.claim
    claim = Claim(
        reason=found[0], input_tokens=_held(claimed.input_tokens), output_tokens=_held(claimed.output_tokens),
        most=found[1],
    )  # fmt: skip
    return _cut(said, allowed, claim)


def _doubt(said: ProviderUsage, allowed: Allowed) -> tuple[Doubt, int] | None:
    """Return why a count is not believed, and the most that would be; None for one that is."""
    window = allowed.window or UNKNOWN_WINDOW
    most_read, most_written = 2 * window + ROOM, max(2 * window, allowed.written_bytes) + ROOM
    if said.input_tokens > most_read:
        return Doubt.CONTEXT_WINDOW, most_read
    if allowed.limit is not None:
        most = max(2 * allowed.limit, allowed.written_bytes) + ROOM
        if said.output_tokens - said.reasoning_tokens > most:
            return Doubt.OUTPUT_LIMIT, most
    return (Doubt.CONTEXT_WINDOW, most_written) if said.output_tokens > most_written else None


def _cut(said: ProviderUsage, allowed: Allowed, claim: Claim) -> Usage:
    window, seen = allowed.window or UNKNOWN_WINDOW, tokens_of_bytes(allowed.written_bytes)
    read, written, thought = said.input_tokens, said.output_tokens, said.reasoning_tokens
    if read > 2 * window + ROOM:
        read = window
    if allowed.limit is not None and written - thought > max(allowed.limit, seen):
        written = max(allowed.limit, seen) + thought
    if written > max(2 * window, allowed.written_bytes) + ROOM:
        written = max(window, seen)
    into_cache = min(said.cache_write_tokens, read)
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cached_input_tokens=min(said.cached_input_tokens, read - into_cache),
        cache_write_tokens=into_cache,
        reasoning_tokens=min(thought, written),
        estimated=True,
        claim=claim,
    )


def of_parts(usage: ProviderUsage, parts: Iterable[Usage]) -> Usage:
    """Return in the log's words what several calls used together, which is doubted where one of them is."""
    whole, parts = counted(usage), list(parts)
    if not any(part.claim for part in parts):
        return whole
    claimed = [part.claim or part for part in parts]
    read, written = sum(c.input_tokens or 0 for c in claimed), sum(c.output_tokens or 0 for c in claimed)
    claim = Claim(reason=Doubt.PART, input_tokens=_held(read), output_tokens=_held(written))
    return msgspec.structs.replace(whole, claim=claim)


def believes(bill: Bill, priced: Cost | None) -> bool:
    """Return whether a bill can be true; priced: by the prices, None where they or the tokens are not known."""
    if bill.nano_usd is None or bill.nano_usd > MOST_BILLED:
        return False
    return priced is None or bill.nano_usd <= max(ALWAYS_BILLED, MOST_TIMES * priced.total)


def _held(tokens: int) -> int:
    """Return a count as 64 bits hold it."""
    return max(-MOST_INT64, min(MOST_INT64, tokens))
