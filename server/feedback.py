"""Outcomes and judgements of decisions: what is accepted, to which attempt it belongs, and what counts afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import count

import msgspec

from naiad.bandit.influence import slot_of
from naiad.bandit.preference import pseudo_scores
from naiad.bandit.statistics import UNIT_WEIGHT, to_fixed
from naiad.server.bills import with_uncertain
from naiad.server.decision_id import Ticket
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError, unknown_attempt
from naiad.server.journal import Amended, Journal, Request
from naiad.server.ledger import (
    Entry,
    feedback_id_of,
    learned,
    score_of,
    take_outcome,
    take_ratings,
    uid_of_feedback,
)
from naiad.server.money import cost_of
from naiad.server.records import Cost, Decided, Hold, ModelPut, Outcome, Rating

_MOST_ATTEMPTS, _MOST_RATINGS = 100, 1_000  # of one decision; each half of a preference is a rating

_WEIGHTS = {  # a thumb or a reaction tells less than a score, and so does a preference, of each of its two attempts
    "score": UNIT_WEIGHT,
    "thumb": UNIT_WEIGHT // 2,
    "preference": UNIT_WEIGHT // 2,
    "reaction": UNIT_WEIGHT // 2,
}
_SIGNALS = tuple(_WEIGHTS)  # numbered as in Rating.signal


class ReactionKind(IntEnum):
    """What a user did with an answer; numbered as in the API."""

    ACCEPTED = 1
    EDITED = 2
    ABANDONED = 3
    RETRIED = 4


_WORTH = {ReactionKind.ACCEPTED: 1.0, ReactionKind.EDITED: 0.5, ReactionKind.ABANDONED: 0.25, ReactionKind.RETRIED: 0.0}


def worth_of(kind: ReactionKind, edit_share: float | None) -> float:
    """Return the score that a reaction counts as, in [0, 1]; edit_share: of an edit, None where it is not known."""
    return _WORTH[kind] if edit_share is None else 1.0 - edit_share


class OutcomeReceipt(msgspec.Struct, frozen=True):
    """What was recorded of an attempt."""

    attempt: str
    cost: Cost | None
    sequence: int


class FeedbackReceipt(msgspec.Struct, frozen=True):
    """What became of a judgement."""

    feedback_id: str
    effective: bool  # False: superseded by a higher source
    score: float | None  # what counts for the attempt now
    revised: bool
    sequence: int


class RetractionReceipt(msgspec.Struct, frozen=True):
    """What counts after a retraction; the rating is the retracted one."""

    attempt: str
    rating: Rating
    entry: Entry
    score: float | None
    sequence: int


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """The facts of an attempt as a caller reports them; an empty attempt or model takes the default."""

    attempt: str
    model: str
    outcome: Outcome  # its model and ordinal are filled in here
    billed: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judgement as a caller gives it: a score, thumb or reaction as `value`, or a preference."""

    attempt: str
    source: int
    rater: str
    value: float | None = None  # in [0, 1]
    signal: str = "score"  # a key of _WEIGHTS
    preferred: str = ""
    other: str = ""
    reaction: int = 0
    edit_share: float | None = None
    comment: str = ""


class Feedback:
    """Takes in outcomes and judgements through the journal."""

    def __init__(self, journal: Journal, engine: Engine, now_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._engine = engine
        self._now_ms = now_ms

    async def report_outcome(
        self, ticket: Ticket, decision_id: str, report: OutcomeReport, request: Request
    ) -> OutcomeReceipt:
        """Record the facts of one attempt; raises NaiadError."""

        def work(entry: Entry, decided: Decided | None, sequence: int) -> Amended:
            attempt = report.attempt or _next_attempt(entry)
            model, ordinal = self._called(ticket, decision_id, report.model, decided)
            private = self._private(decided)
            outcome = msgspec.structs.replace(
                report.outcome,
                error_detail="" if private else report.outcome.error_detail,
                model=model.model,
                ordinal=ordinal,
                cost=cost_of(report.outcome.usage, model.prices, report.billed),
            )
            hold = _held(entry, decided)
            known = entry.find(attempt)
            if known is not None and known.outcome is not None:
                if _facts(known.outcome) == _facts(outcome):
                    return Amended(entry, None, OutcomeReceipt(attempt, known.outcome.cost, sequence - 1))
                raise NaiadError(
                    "ATTEMPT_ALREADY_REPORTED",
                    f"attempt_id {attempt!r} has an outcome that differs from this one; "
                    "give each attempt an id of its own, and do not report attempts that Complete made",
                    code="ALREADY_EXISTS",
                    metadata={"decision_id": decision_id, "attempt_id": attempt},
                )
            outcome = with_uncertain(outcome, hold)
            after, event = take_outcome(entry, attempt, outcome, self._now_ms())
            event = msgspec.structs.replace(event, workflow=decided.workflow if decided else "", hold=hold)
            _check_room(after, entry)
            return Amended(after, event, OutcomeReceipt(attempt, outcome.cost, sequence), private)

        return await self._journal.amend(ticket, request, OutcomeReceipt, work)

    def _called(self, ticket: Ticket, decision_id: str, name: str, decided: Decided | None) -> tuple[ModelPut, int]:
        """Return the model that was called and its ordinal, which dates the evidence."""
        catalog = self._engine.catalog
        if not name:
            return catalog.models[ticket.model], ticket.ordinal
        model = catalog.find_model(name) or catalog.model(name)
        if model.model == ticket.model:
            return model, ticket.ordinal
        if decided is None:  # the row was lost: the newest ordinal is the best that is known
            return model, max(0, self._engine.statistics.head(model.model) - 1)
        if model.model not in decided.models:
            raise NaiadError(
                "MODEL_NOT_IN_DECISION",
                f"model {name!r} was not a candidate of this decision; report the model that was called, "
                "and call only those of the ranking",
                metadata={"decision_id": decision_id, "model": name},
                field="model",
            )
        return model, decided.ordinals[decided.models.index(model.model)]

    def _private(self, decided: Decided | None) -> bool:
        """Return whether free text about a decision is not to be written, then or by now.

        Of a decision whose row a crash took nothing is known: it may have been of any class.
        """
        governance = self._engine.eligibility.governance
        if decided is None:
            return governance.ever_no_store
        return decided.no_store or governance.no_store(decided.data_class)

    async def report_feedback(
        self, ticket: Ticket, decision_id: str, judgement: Judgement, request: Request
    ) -> FeedbackReceipt:
        """Record a judgement, or revise the rater's earlier one; raises NaiadError."""

        def work(entry: Entry, decided: Decided | None, sequence: int) -> Amended:
            now, private = self._now_ms(), self._private(decided)
            given = dataclasses.replace(judgement, comment="") if private else judgement
            if judgement.preferred:
                attempts: tuple[str, ...] = (judgement.preferred, judgement.other)
                for attempt in attempts:
                    if not entry.made(attempt):
                        raise unknown_attempt(decision_id, attempt)
                ratings = tuple(_rating(given, value, now) for value in _compared(entry, decided, attempts))
            else:
                attempts = (_judged(entry, decision_id, judgement.attempt),)
                early = not judgement.attempt and entry.takes_early(judgement.source, judgement.rater)
                ratings = (_rating(given, judgement.value or 0.0, now, early=early),)
            after, event = take_ratings(entry, attempts, ratings, now)
            _check_room(after, entry)
            rated, kept = after.find(attempts[0]), event.ratings[0]
            if rated is None:
                raise RuntimeError("a rating was taken and is not there")
            receipt = FeedbackReceipt(
                feedback_id_of(entry.uid, attempts[0], kept),
                learned(after, rated, kept),
                score_of(after, rated),
                kept.revisions > 0,
                sequence,
            )
            return Amended(after, event, receipt, private)

        return await self._journal.amend(ticket, request, FeedbackReceipt, work)

    async def retract(self, feedback_id: str, comment: str, request: Request) -> RetractionReceipt:
        """Take a judgement back, as if it had never been given; raises NaiadError UNKNOWN_FEEDBACK."""
        uid = uid_of_feedback(feedback_id)
        if uid is None:
            raise _unknown_feedback(feedback_id)

        def work(entry: Entry, decided: Decided | None, sequence: int) -> Amended:
            found = entry.rating(feedback_id)
            if not found:
                raise _unknown_feedback(feedback_id)
            attempt, rating = found[0]
            if rating.retracted:
                score = score_of(entry, entry.find(attempt))
                return Amended(entry, None, RetractionReceipt(attempt, rating, entry, score, sequence - 1))
            now, private = self._now_ms(), self._private(decided)
            gone = tuple(
                msgspec.structs.replace(
                    r, retracted=True, updated_ms=now, comment="" if private else comment or r.comment
                )
                for _, r in found
            )
            after, event = take_ratings(entry, tuple(name for name, _ in found), gone, now)
            receipt = RetractionReceipt(
                attempt, event.ratings[0], after, score_of(after, after.find(attempt)), sequence
            )
            return Amended(after, event, receipt, private)

        nobody = Ticket(self._engine.tenant, 0, 0, 0, 0, 0.0, 0, uid)
        return await self._journal.amend(nobody, request, RetractionReceipt, work)


def _held(entry: Entry, decided: Decided | None) -> Hold | None:
    """Return what hard budgets held for an attempt: the decision's hold for the first that is reported, 0 after it."""
    if decided is None or decided.hold is None:
        return None
    return msgspec.structs.replace(decided.hold, nano_usd=0) if entry.reported else decided.hold


def _check_room(after: Entry, before: Entry) -> None:
    """Raise TOO_MANY_ITEMS for an entry that grows beyond its bounds: each report costs time for all of it."""
    kinds = (
        ("attempt_id", "attempts", _MOST_ATTEMPTS, len(after.attempts), len(before.attempts)),
        ("rater_id", "judgements", _MOST_RATINGS, after.ratings(), before.ratings()),
    )
    for field, what, most, now, earlier in kinds:
        if now > max(most, earlier):
            raise NaiadError(
                "TOO_MANY_ITEMS",
                f"the decision would have {now} {what} with this {field}; the limit is {most}: report what belongs to "
                "another request under its own decision_id",
                metadata={"count": now, "maximum": most},
                field=field,
            )


def _next_attempt(entry: Entry) -> str:
    """Return an id for an attempt that the caller gave none: how many there are with it, or the next free number."""
    taken = {a.attempt for a in entry.attempts if a.outcome is not None}
    return next(name for number in count(len(taken) + 1) if (name := str(number)) not in taken)


def _judged(entry: Entry, decision_id: str, attempt: str) -> str:
    """Return the attempt that a judgement is about."""
    if not attempt:
        return entry.answered()
    if not entry.made(attempt):
        raise unknown_attempt(decision_id, attempt)
    return attempt


def _compared(entry: Entry, decided: Decided | None, attempts: tuple[str, ...]) -> tuple[float, float]:
    """Return the scores of the better and the worse of two attempts, around what was believed when it was decided.

    The decision's record holds those beliefs, so that no later event moves them; without it (a crash took the row) both
    are taken as 1/2.
    """
    if decided is None:
        return pseudo_scores(0.5, 0.5)
    believed = dict(zip(decided.models, decided.quality, strict=True))
    first, second = (believed.get(entry.model_of(attempt), 0.5) for attempt in attempts)
    return pseudo_scores(first, second)


def _rating(judgement: Judgement, value: float, now_ms: int, *, early: bool = False) -> Rating:
    return Rating(
        source=judgement.source,
        rater=judgement.rater,
        value=to_fixed(value),
        weight=_WEIGHTS[judgement.signal],
        slot=slot_of(judgement.rater),
        signal=_SIGNALS.index(judgement.signal),
        reaction=judgement.reaction,
        edit_share=judgement.edit_share,
        preferred=judgement.preferred,
        other=judgement.other,
        comment=judgement.comment,
        early=early,
        created_ms=now_ms,
        updated_ms=now_ms,
    )


def _facts(outcome: Outcome) -> Outcome:
    """Return what two reports of one attempt must agree on: all that a caller says, not what our prices make of it."""
    billed = outcome.cost.billed if outcome.cost else None
    return msgspec.structs.replace(
        outcome,
        ordinal=0,
        started_ms=0,
        role=0,
        returned="",
        uncertain=None,
        usage=msgspec.structs.replace(outcome.usage, reasoning_tokens=0, estimated=False, claim=None),
        cost=None if billed is None else Cost(billed=billed),
    )


def _unknown_feedback(feedback_id: str) -> NaiadError:
    return NaiadError(
        "UNKNOWN_FEEDBACK",
        f"feedback_id {feedback_id[:64]!r} is not known; use the id that ReportFeedback returned",
        code="NOT_FOUND",
        metadata={"feedback_id": feedback_id},
    )
