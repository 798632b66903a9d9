"""What an attempt counts as in hard budgets: its bill, or what was held for it where nobody knows that.

A bill is known where the call has a cost: by its provider's final count of tokens and the prices, or as it was billed.
A failure may have one, too: a whole reply that is no answer counts its tokens like any other. Where none is known,

    a success                                                                          counts as what was held
    a failure after which the provider may bill: it timed out after sending, was cut,
    could not be read, was left by its caller, or broke off when its answer had begun   counts as what was held
    another failure: it was refused before anything was made                            counts as nothing

What is booked beyond the known cost is **uncertain**: the sums of what was spent leave it out and say how much it is,
so that cost and uncertain together are what budgets count.
"""

from __future__ import annotations

import msgspec

from naiad.server.attempt_error import AttemptError
from naiad.server.records import Hold, Outcome

_PERHAPS_BILLED = frozenset({
    AttemptError.TIMEOUT, AttemptError.TRUNCATED, AttemptError.MALFORMED_ANSWER, AttemptError.CANCELLED,
})  # fmt: skip


def bill_of(outcome: Outcome, held: int) -> int:
    """Return what an attempt counts as; held: nano-USD that were held for it.

    Where the provider's count was not believed, nobody knows the bill: it counts as no less than what was held.
    """
    if outcome.cost is not None:
        return outcome.cost.total if outcome.usage.claim is None else max(outcome.cost.total, held)
    return held if _may_be_billed(outcome) else 0


def uncertain_of(outcome: Outcome, held: int) -> int | None:
    """Return what an attempt counts as beyond its known cost, None for one whose bill is known."""
    beyond = bill_of(outcome, held) - (0 if outcome.cost is None else outcome.cost.total)
    unknown = outcome.failed and outcome.cost is None and _may_be_billed(outcome)  # without a budget, too
    return beyond if beyond or unknown else None


def with_uncertain(outcome: Outcome, hold: Hold | None) -> Outcome:
    """Return an outcome as it is recorded: with what of its bill is not known."""
    uncertain = uncertain_of(outcome, 0 if hold is None else hold.nano_usd)
    return outcome if uncertain is None else msgspec.structs.replace(outcome, uncertain=uncertain)


def _may_be_billed(outcome: Outcome) -> bool:
    return not outcome.failed or outcome.error in _PERHAPS_BILLED or _had_begun(outcome)


def _had_begun(outcome: Outcome) -> bool:
    """Return whether an answer had begun: a piece of it came, or the provider had counted tokens for it."""
    usage = outcome.usage
    return outcome.first_token_s is not None or usage.input_tokens is not None or usage.output_tokens is not None
