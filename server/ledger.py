"""Feedback is a ledger, not an increment: what is known of one decision, and what that means for the statistics.

An entry holds every attempt of a decision and every rater's judgement of each. What counts for an attempt is a pure
function of them: of the sources that judged, the one that ranks highest, and of its raters the mean. Taking in an
outcome or a judgement returns the new entry and the difference between what counted before and what counts now, so
the order of arrival, repetition, revision and retraction cannot matter.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import NamedTuple

import msgspec

from naiad.bandit.statistics import Measure, to_fixed
from naiad.server.records import Change, FeedbackReported, Outcome, OutcomeReported, Rating

FIRST_ATTEMPT = "1"
OUTCOME_SOURCE = 0  # source of facts; feedback sources are numbered as FeedbackSource in the API
_CANCELLED = 12
_BLAMELESS_ERRORS = frozenset({_CANCELLED, 6, 7, 8})  # cancelled, invalid request, context overflow, authentication
_SHORTEST_S = 1e-4  # latencies below are taken as this, so that their logarithm stays finite

_FEEDBACK_ID = re.compile(r"f([0-9a-f]{16})-[0-9a-f]{16}")

Effect = tuple[int, int, int, int, int]  # (measure, source, ordinal, value, weight)


class AttemptEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt: its outcome, if it was reported, and its ratings by (source, rater)."""

    attempt: str
    outcome: Outcome | None = None
    ratings: tuple[Rating, ...] = ()


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is known of one decision after it was made."""

    uid: int
    task_class: int
    model: int  # the decision's choice, to which attempts without an outcome are credited
    ordinal: int
    propensity: float = 0.0
    policy: int = 0
    at_ms: int = 0
    attempts: tuple[AttemptEntry, ...] = ()

    def find(self, attempt: str) -> AttemptEntry | None:
        """Return the attempt of this id, or None."""
        return next((entry for entry in self.attempts if entry.attempt == attempt), None)

    def answered(self) -> str:
        """Return the attempt that gave the answer: the last that succeeded, or else the first."""
        good = [a.attempt for a in self.attempts if a.outcome is not None and not a.outcome.failed]
        return good[-1] if good else FIRST_ATTEMPT

    def rating(self, feedback_id: str) -> list[tuple[str, Rating]]:
        """Return (attempt, rating) of the feedback with this id: one, both of a preference, or none."""
        return [
            (entry.attempt, rating)
            for entry in self.attempts
            for rating in entry.ratings
            if feedback_id == feedback_id_of(self.uid, entry.attempt, rating)
        ]


class Counting(NamedTuple):
    """What counts for an attempt: source, value (fixed point) and weight."""

    source: int
    value: int
    weight: int


def feedback_id_of(uid: int, attempt: str, rating: Rating) -> str:
    """Return the id of a piece of feedback: a function of what makes it unique."""
    subject = f"{rating.preferred}\0{rating.other}" if rating.preferred else attempt
    digest = hashlib.blake2b(f"{subject}\0{rating.source}\0{rating.rater}".encode(), digest_size=8).hexdigest()
    return f"f{uid:016x}-{digest}"


def uid_of_feedback(feedback_id: str) -> int | None:
    """Return the decision's unique number that a feedback id names, or None for text that is none."""
    found = _FEEDBACK_ID.fullmatch(feedback_id)
    uid = int(found[1], 16) if found else 0
    return uid if found and uid < 1 << 63 else None


def counting(ratings: tuple[Rating, ...]) -> Counting | None:
    """Return what counts of the ratings of one attempt: the highest source, its raters' mean; None if nothing does.

    Sources rank by their number: human (1), judge (2), check (3), user (4). The mean is an exact integer division,
    rounded half away from zero, so every order of arrival gives the same value.
    """
    valid = [r for r in ratings if not r.retracted]
    if not valid:
        return None
    source = min(r.source for r in valid)
    chosen = [r for r in valid if r.source == source]
    weight = sum(r.weight for r in chosen)
    total = sum(r.weight * r.value for r in chosen)
    return Counting(source, (2 * total + weight) // (2 * weight), max(r.weight for r in chosen))


def effects(entry: Entry, attempt: AttemptEntry) -> dict[tuple[int, int], Effect]:
    """Return what an attempt contributes to the statistics, by (model, measure)."""
    outcome = attempt.outcome
    model = outcome.model if outcome else entry.model
    ordinal = outcome.ordinal if outcome else entry.ordinal
    found: dict[tuple[int, int], Effect] = {}

    def add(measure: Measure, source: int, value: int, weight: int = 1000) -> None:
        found[model, measure] = (measure, source, ordinal, value, weight)

    if outcome is not None:
        if not (outcome.failed and outcome.error in _BLAMELESS_ERRORS):
            add(Measure.SUCCESS, OUTCOME_SOURCE, to_fixed(0.0 if outcome.failed else 1.0))
        if not outcome.failed:
            if outcome.usage.output_tokens is not None:
                add(Measure.OUTPUT_TOKENS, OUTCOME_SOURCE, to_fixed(math.log1p(outcome.usage.output_tokens)))
            if outcome.latency_s is not None:
                add(Measure.LATENCY, OUTCOME_SOURCE, to_fixed(math.log(max(outcome.latency_s, _SHORTEST_S))))
    if outcome is None or not outcome.failed:
        counted = counting(attempt.ratings)
        if counted is not None:
            add(Measure.QUALITY, counted.source, counted.value, counted.weight)
    return found


def _changes(before: Entry, after: Entry, attempt: str) -> tuple[Change, ...]:
    old_attempt, new_attempt = before.find(attempt), after.find(attempt)
    old = effects(before, old_attempt) if old_attempt else {}
    new = effects(after, new_attempt) if new_attempt else {}
    changes = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            for effects_, sign in ((old, -1), (new, 1)):
                if key in effects_:
                    measure, source, ordinal, value, weight = effects_[key]
                    changes.append(Change(after.task_class, key[0], measure, source, ordinal, value, sign * weight))
    return tuple(changes)


def _with(entry: Entry, attempt: AttemptEntry) -> Entry:
    if entry.find(attempt.attempt) is None:
        return msgspec.structs.replace(entry, attempts=(*entry.attempts, attempt))
    return msgspec.structs.replace(
        entry, attempts=tuple(attempt if a.attempt == attempt.attempt else a for a in entry.attempts)
    )


def take_outcome(entry: Entry, attempt: str, outcome: Outcome, at_ms: int) -> tuple[Entry, OutcomeReported]:
    """Return the entry with an attempt's outcome, and the event that says so."""
    known = entry.find(attempt) or AttemptEntry(attempt=attempt)
    after = _with(entry, msgspec.structs.replace(known, outcome=outcome))
    return after, OutcomeReported(
        at_ms=at_ms, uid=entry.uid, task_class=entry.task_class, first_model=entry.model, first_ordinal=entry.ordinal,
        attempt=attempt, outcome=outcome, changes=_changes(entry, after, attempt),
    )  # fmt: skip


def take_ratings(
    entry: Entry, attempts: tuple[str, ...], ratings: tuple[Rating, ...], at_ms: int
) -> tuple[Entry, FeedbackReported]:
    """Return the entry with one rater's judgement of one attempt (or of two, a preference), and the event.

    A judgement by the same source and rater on the same attempt replaces the earlier one.
    """
    after = entry
    changes: list[Change] = []
    kept = []
    for attempt, rating in zip(attempts, ratings, strict=True):
        known = after.find(attempt) or AttemptEntry(attempt=attempt)
        old = next((r for r in known.ratings if (r.source, r.rater) == (rating.source, rating.rater)), None)
        if old is not None:
            rating = msgspec.structs.replace(rating, created_ms=old.created_ms, revisions=old.revisions + 1)
        others = tuple(r for r in known.ratings if (r.source, r.rater) != (rating.source, rating.rater))
        ordered = tuple(sorted((*others, rating), key=lambda r: (r.source, r.rater)))
        before = after
        after = _with(after, msgspec.structs.replace(known, ratings=ordered))
        changes.extend(_changes(before, after, attempt))
        kept.append(rating)
    return after, FeedbackReported(
        at_ms=at_ms, uid=entry.uid, task_class=entry.task_class, first_model=entry.model, first_ordinal=entry.ordinal,
        attempts=attempts, ratings=tuple(kept), changes=tuple(changes),
    )  # fmt: skip
