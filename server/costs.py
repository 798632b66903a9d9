"""What was spent, in running sums: by the hour of the decision (UTC), workflow, task class and model.

A sum is a pure function of the decisions and of what the ledger holds of them, so a report that revises another takes
the old value out and puts the new one in, and the order of arrival cannot matter. The journal writes the sums in the
transaction of the events that move them; `rebuild` makes them anew from the log. All numbers are whole: money is
nano-USD, and the parts of a cost, its difference to a bill included, add up to it exactly.

What belongs where: a decision is counted at the model that it chose; an attempt, with its tokens and its cost, at the
model that was called; a score at the model that answered. All of them lie in the hour in which the decision was made,
which its unique number tells, also of a decision whose row a crash took.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from naiad.bandit.statistics import SCALE
from naiad.server.credibility import Doubt
from naiad.server.engine import UID_TIME_SHIFT
from naiad.server.ledger import AttemptEntry, Entry, score_of
from naiad.server.money import adjustment_of, reasoning_of, shares_of
from naiad.server.records import Decided, Outcome, decode
from naiad.server.store.base import CostKey, Store, StoreCorrupt

_MILLION = 1_000_000
HOUR_MS = 3_600_000
_STEP = 500  # events read at a time
_entry_decoder = msgspec.json.Decoder(Entry)


def hour_of(uid: int) -> int:
    """Return the hour since 1970 in which a decision was made."""
    return (uid >> UID_TIME_SHIFT) // HOUR_MS


class Sums(NamedTuple):
    """The sums of one row; the order is the format: add fields at the end."""

    decisions: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    unpriced_attempts: int = 0  # succeeded, and what they cost is not known
    input_tokens: int = 0
    cached_input_tokens: int = 0  # of the input
    cache_write_tokens: int = 0  # of the input
    output_tokens: int = 0
    reasoning_tokens: int = 0  # of the output
    cost: int = 0  # nano-USD: the five parts, and the adjustment
    input_cost: int = 0
    cached_input_cost: int = 0
    cache_write_cost: int = 0
    output_cost: int = 0
    request_cost: int = 0
    adjustment: int = 0  # bills less what the prices would give
    reasoning_cost: int = 0  # of output_cost, in proportion to the tokens
    failed_cost: int = 0  # of cost: attempts that failed
    estimate: int = 0  # what the attempts that succeeded were predicted to cost, when they were decided
    estimated_cost: int = 0  # what those attempts cost
    scores: int = 0
    score_sum: int = 0  # fixed point, see bandit.statistics.SCALE
    answered: int = 0  # decisions that the model answered, for a known price
    answered_cost: int = 0  # of these decisions, with all their attempts
    counted: int = 0  # of these answers: those whose output was counted
    counted_output: int = 0  # tokens
    counted_square: int = 0  # squares of the tokens of each
    could: int = 0  # decisions that another model answered, for a known price, and this one could have
    could_cost: int = 0  # of these decisions, with all their attempts
    could_fixed: int = 0  # nano-USD: what it would have charged for what the answers read, and for each request
    could_rate: int = 0  # sum of its prices of tokens written, nano-USD per million
    could_square: int = 0  # sum of their squares
    judge_cost: int = 0  # of cost: asking judges about the answers of a composite's members
    other_members_cost: int = 0  # of cost: answers of a composite's members that were not returned
    doubted_attempts: int = 0  # of attempts: those whose provider's count was not believed
    uncertain_attempts: int = 0  # of attempts: those whose bill nobody knows, see `bills`
    uncertain: int = 0  # nano-USD that hard budgets count for these beyond cost

    def plus(self, other: Sums, sign: int = 1) -> Sums:
        """Return the sums with those of another added, or taken out."""
        return Sums(*[mine + sign * theirs for mine, theirs in zip(self, other, strict=True)])

    def encode(self) -> bytes:
        """Return the sums as JSON, whatever their size."""
        return json.dumps(self, separators=(",", ":")).encode("ascii")

    @staticmethod
    def decode(payload: bytes) -> Sums:
        """Return what `encode` wrote, by this version or one with fewer fields; raises StoreCorrupt."""
        try:
            return Sums(*map(int, json.loads(payload)))
        except (ValueError, TypeError) as error:
            raise StoreCorrupt(f"sums of cost cannot be read: {error}; restore a backup") from error


NOTHING = Sums()


class Gathered:
    """Sums that move, by their key."""

    def __init__(self) -> None:
        self.rows: dict[CostKey, Sums] = {}

    def add(self, moved: Mapping[CostKey, Sums], sign: int = 1) -> None:
        """Add rows, or take them out."""
        for key, sums in moved.items():
            known = self.rows.get(key)
            self.rows[key] = NOTHING.plus(sums, sign) if known is None else known.plus(sums, sign)

    def decided(self, uid: int, workflow: str, task_class: int, model: int) -> None:
        """Count a decision."""
        self.add({CostKey(hour_of(uid), workflow, task_class, model): _ONE_DECISION})

    def amended(self, before: Entry, after: Entry, decided: Decided | None) -> None:
        """Put what is now known of a decision in the place of what was."""
        self.add(sums_of(before, decided), -1)
        self.add(sums_of(after, decided))


_ONE_DECISION = Sums(decisions=1)


def sums_of(entry: Entry, decided: Decided | None) -> dict[CostKey, Sums]:
    """Return what a decision's ledger entry adds to the sums.

    decided: None for one whose row a crash took; its workflow, predictions and candidates are not known.
    """
    made = [a for a in entry.attempts if a.outcome is not None]
    hour, workflow = hour_of(entry.uid), "" if decided is None else decided.workflow
    predicted = {} if decided is None else dict(zip(decided.models, decided.cost, strict=True))
    found = Gathered()

    def add(model: int, sums: Sums) -> None:
        found.add({CostKey(hour, workflow, entry.task_class, model): sums})

    returned = {outcome.returned for a in made if (outcome := a.outcome) is not None and outcome.returned}
    whole = {outcome.part_of for a in made if (outcome := a.outcome) is not None and outcome.part_of is not None}
    for attempt in made:
        outcome = attempt.outcome
        if outcome is None:
            continue
        if outcome.part_of is not None:  # what was predicted is of the whole
            judge, other = shares_of(attempt.attempt, outcome, returned)
            part = _of_attempt(outcome, None)
            add(outcome.model, part._replace(judge_cost=judge, other_members_cost=other))
            continue
        sums = _of_attempt(outcome, predicted.get(outcome.model))
        if outcome.model in whole and sums.estimate:
            sums = sums._replace(estimated_cost=_cost_of_parts(made, outcome.model))
        add(outcome.model, sums)
    answered = entry.find(entry.answered())
    score = score_of(entry, answered)
    if answered is not None and score is not None:
        add(entry.model_of(answered.attempt), Sums(scores=1, score_sum=round(score * SCALE)))
    if answered is not None:
        for model, sums in _alternatives(answered, made, decided):
            add(model, sums)
    return found.rows


def _cost_of_parts(made: Iterable[AttemptEntry], composite: int) -> int:
    """Return what the calls cost that were made for a composite, as far as it is known."""
    outcomes = [a.outcome for a in made if a.outcome is not None and a.outcome.part_of == composite]
    return sum(outcome.cost.total for outcome in outcomes if outcome.cost is not None)


def _of_attempt(outcome: Outcome, predicted: float | None) -> Sums:
    """Return the tokens and the cost of an attempt."""
    usage, cost = outcome.usage, outcome.cost
    counted = NOTHING._replace(
        attempts=1,
        failed_attempts=int(outcome.failed),
        input_tokens=usage.input_tokens or 0,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens or 0,
        reasoning_tokens=usage.reasoning_tokens,
        doubted_attempts=int(usage.claim is not None and usage.claim.reason != Doubt.PART),
        uncertain_attempts=int(outcome.uncertain is not None),
        uncertain=outcome.uncertain or 0,
    )
    if cost is None:
        return counted._replace(unpriced_attempts=int(not outcome.failed))
    foreseen = not outcome.failed and predicted is not None
    return counted._replace(
        cost=cost.total,
        input_cost=cost.input,
        cached_input_cost=cost.cached_input,
        cache_write_cost=cost.cache_write,
        output_cost=cost.output,
        request_cost=cost.request,
        adjustment=adjustment_of(cost),
        reasoning_cost=reasoning_of(usage, cost),
        failed_cost=cost.total if outcome.failed else 0,
        estimate=round(predicted) if foreseen and predicted is not None else 0,
        estimated_cost=cost.total if foreseen else 0,
    )


def _alternatives(
    answered: AttemptEntry, made: list[AttemptEntry], decided: Decided | None
) -> Iterable[tuple[int, Sums]]:
    """Yield, of a decision that was answered for a known price, what a comparison with other models needs."""
    outcome = answered.outcome
    if outcome is None or outcome.failed or outcome.cost is None:
        return
    spent = sum(a.outcome.cost.total for a in made if a.outcome is not None and a.outcome.cost is not None)
    written = None if outcome.usage.claim is not None else outcome.usage.output_tokens  # what is doubted counts nothing
    yield (
        outcome.model,
        Sums(
            answered=1,
            answered_cost=spent,
            counted=int(written is not None),
            counted_output=written or 0,
            counted_square=(written or 0) ** 2,
        ),
    )
    if decided is None or not decided.price_out:  # of a version that kept no prices with its decisions
        return
    seen = None if outcome.usage.claim is not None else outcome.usage.input_tokens
    read = decided.input_tokens if seen is None else seen
    fees = decided.price_request or [0] * len(decided.models)
    for model, price, rate, fee in zip(decided.models, decided.price_in, decided.price_out, fees, strict=True):
        if model != outcome.model:
            fixed = (read * price + _MILLION // 2) // _MILLION + fee
            yield model, Sums(could=1, could_cost=spent, could_fixed=fixed, could_rate=rate, could_square=rate * rate)


async def rebuild(store: Store) -> dict[CostKey, Sums]:
    """Return the sums that a tenant's log and ledger amount to; nothing may be written meanwhile."""
    found, after = Gathered(), 0
    lost: set[int] = set()  # decisions without a row: what is known of them is counted once
    while rows := await store.events(after, _STEP):
        after = rows[-1].sequence
        made = {row.uid: row for row in rows if row.kind == "decided" and row.uid is not None}
        others = {row.uid for row in rows if row.kind in ("outcome", "feedback") and row.uid is not None}
        others -= made.keys() | lost
        without = others - (await store.decisions(others)).keys() if others else set()
        lost |= without
        entries = await store.entries([*made, *without])
        for uid, row in made.items():
            decided = decode(row.payload)
            if not isinstance(decided, Decided):
                raise StoreCorrupt(f"event {row.sequence} is not the decision that it is marked as; restore a backup")
            found.decided(uid, decided.workflow, decided.task_class, decided.model)
            if uid in entries:
                found.add(sums_of(_entry_decoder.decode(entries[uid]), decided))
        for uid in without & entries.keys():
            found.add(sums_of(_entry_decoder.decode(entries[uid]), None))
        await asyncio.sleep(0)
    return {key: sums for key, sums in found.rows.items() if any(sums)}


async def ensure_built(store: Store) -> bool:
    """Make a tenant's sums from its log if the store has none yet; return whether that was done."""
    if await store.costs_built():
        return False
    await store.replace_costs({key: sums.encode() for key, sums in (await rebuild(store)).items()})
    return True
