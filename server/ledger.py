"""Feedback is a ledger, not an increment: what is known of one decision, and what that means for the statistics.

An entry holds every attempt of a decision and every rater's judgement of each. What counts for an attempt is a pure
function of them: of the sources that judged, the one that ranks highest, and of its raters the mean. Taking in an
outcome or a judgement returns the new entry and the difference between what counted before and what counts now, so
the order of arrival, repetition, revision and retraction cannot matter.

A judgement that names no attempt is one of the answer. Where it came before any attempt had succeeded it is marked
`early` and kept apart: it counts for the first attempt that was reported, from its success on for the first that
succeeded (with an answer, rather than a refusal), and gives way to what the same rater says of that attempt by name.

A judgement that names an attempt may come before its outcome too. As long as nothing of the decision was reported, it
counts for the decision's choice; from the first outcome on, only what is said of attempts that have one counts, since
the others may never have been made.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from naiad.bandit.statistics import SCALE, Measure, to_fixed
from naiad.server.attempt_error import BLAMELESS
from naiad.server.records import Change, FeedbackReported, Outcome, OutcomeReported, Rating
from naiad.server.refusals import answers_with, refused

FIRST_ATTEMPT = "1"
OUTCOME_SOURCE = 0  # source of facts
FEEDBACK_SOURCES = {"human": 1, "judge": 2, "check": 3, "user": 4, "reaction": 5}
"""Who judges, from the one that ranks highest; numbered as FeedbackSource in the API, but for reactions: what users
did, which the API shows as theirs, apart from what they say, and below it."""
CHECK_SOURCE, USER_SOURCE, REACTION_SOURCE = (FEEDBACK_SOURCES[name] for name in ("check", "user", "reaction"))
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
    attempts: tuple[AttemptEntry, ...] = ()  # with what was said of them by name
    early: tuple[Rating, ...] = ()  # judgements of the answer that came before it, by (source, rater)

    def seen(self) -> tuple[AttemptEntry, ...]:
        """Return the attempts with all that counts for them, early judgements included."""
        if not self.early:
            return self.attempts
        made = [a.attempt for a in self.attempts if a.outcome is not None]
        answers = [a.attempt for a in self.attempts if a.outcome is not None and answers_with(a.outcome)]
        place = next(iter(answers or self.succeeded() or made), FIRST_ATTEMPT)
        attempts = {a.attempt: a for a in self.attempts}
        known = attempts.get(place) or AttemptEntry(attempt=place)
        ratings = _by_rater(self.early) | _by_rater(known.ratings)
        attempts[place] = msgspec.structs.replace(known, ratings=_sorted(ratings))
        return tuple(attempts.values())

    def ratings(self) -> int:
        """Return how many ratings are kept, retracted ones and both halves of a preference included."""
        return len(self.early) + sum(len(a.ratings) for a in self.attempts)

    def find(self, attempt: str) -> AttemptEntry | None:
        """Return the attempt of this id with all that counts for it, or None."""
        return next((entry for entry in self.seen() if entry.attempt == attempt), None)

    def model_of(self, attempt: str) -> int:
        """Return the model that an attempt is credited to: the one that was called, or else the decision's choice."""
        known = next((a.outcome for a in self.attempts if a.attempt == attempt), None)
        return self.model if known is None else known.model

    def tells(self, rating: Rating) -> bool:
        """Return whether a judgement says anything of a model.

        A preference bears on a difference, so it counts for both attempts or for neither: not where one of them failed
        or is judged by a higher source, and not between two answers of one model.
        """
        if not rating.preferred:
            return True
        halves = [self.find(attempt) for attempt in (rating.preferred, rating.other)]
        return self.model_of(rating.preferred) != self.model_of(rating.other) and all(
            half is not None and counts(self, half, rating) for half in halves
        )

    def answered(self) -> str:
        """Return the attempt that gave the answer, or else the first that was reported.

        It is the last that succeeded and was not refused; where all were refused, the first. What was written for a
        composite is not the answer, where that one has any.
        """
        made = [(a.attempt, a.outcome) for a in self.attempts if a.outcome is not None]
        own = [(attempt, outcome) for attempt, outcome in made if outcome.part_of is None]
        answers = [attempt for attempt, outcome in reversed(own) if answers_with(outcome)]
        refusals = [attempt for attempt, outcome in own if refused(outcome)]
        first = [attempt for attempt, _ in made]
        return next(iter((*answers, *refusals, *reversed(self.succeeded()), *first)), FIRST_ATTEMPT)

    @property
    def reported(self) -> bool:
        """Whether an outcome of any attempt is known."""
        return any(a.outcome is not None for a in self.attempts)

    def made(self, attempt: str) -> bool:
        """Return whether an attempt was reported, or may be the first, of which there is no report yet."""
        if not self.reported:
            return attempt == FIRST_ATTEMPT
        return any(a.attempt == attempt and a.outcome is not None for a in self.attempts)

    def succeeded(self) -> list[str]:
        """Return the attempts that succeeded, in the order in which they were reported."""
        return [a.attempt for a in self.attempts if a.outcome is not None and not a.outcome.failed]

    def takes_early(self, source: int, rater: str) -> bool:
        """Return whether a judgement that names no attempt is early: nothing has succeeded, or it revises one."""
        answer = self.find(self.answered())
        given = _by_rater(answer.ratings).get((source, rater)) if answer is not None else None
        return given.early if given is not None else not self.succeeded()

    def judgements(self) -> Iterator[tuple[AttemptEntry, Rating]]:
        """Yield each judgement once, with the attempt that it is about; a preference with the better of its two."""
        for entry in self.seen():
            for rating in entry.ratings:
                if rating.preferred in ("", entry.attempt):
                    yield entry, rating

    def rating(self, feedback_id: str) -> list[tuple[str, Rating]]:
        """Return (attempt, rating) of the feedback with this id: one, both of a preference, or none.

        The id of an early judgement goes on to mean the same rater's judgement of the answer.
        """
        found = [
            (entry.attempt, rating)
            for entry in self.seen()
            for rating in entry.ratings
            if feedback_id == feedback_id_of(self.uid, entry.attempt, rating)
        ]
        answer = self.find(self.answered())
        if found or answer is None:
            return found
        early = [(r, msgspec.structs.replace(r, early=True)) for r in answer.ratings if not r.preferred]
        return [(answer.attempt, r) for r, was in early if feedback_id == feedback_id_of(self.uid, "", was)]


class Counting(NamedTuple):
    """What counts for an attempt: source, value (fixed point), weight, and the slot of the rater."""

    source: int
    value: int
    weight: int
    slot: int = 0


def feedback_id_of(uid: int, attempt: str, rating: Rating) -> str:
    """Return the id of a piece of feedback: a function of what makes it unique."""
    subject = "" if rating.early else attempt
    if rating.preferred:
        subject = "\0".join(sorted((rating.preferred, rating.other)))
    digest = hashlib.blake2b(f"{subject}\0{rating.source}\0{rating.rater}".encode(), digest_size=8).hexdigest()
    return f"f{uid:016x}-{digest}"


def uid_of_feedback(feedback_id: str) -> int | None:
    """Return the decision's unique number that a feedback id names, or None for text that is none."""
    found = _FEEDBACK_ID.fullmatch(feedback_id)
    uid = int(found[1], 16) if found else 0
    return uid if found and uid < 1 << 63 else None


def counting(ratings: tuple[Rating, ...]) -> Counting | None:
    """Return what counts of the ratings of one attempt: the highest source, its raters' mean; None if nothing does.

    Sources rank by their number: human (1), judge (2), check (3), user (4), reactions (5). The mean is an exact
    integer division, rounded half away from zero, so every order of arrival gives the same value.
    """
    valid = [r for r in ratings if not r.retracted]
    if not valid:
        return None
    source = min(r.source for r in valid)
    chosen = [r for r in valid if r.source == source]
    weight = sum(r.weight for r in chosen)
    total = sum(r.weight * r.value for r in chosen)
    return Counting(source, (2 * total + weight) // (2 * weight), max(r.weight for r in chosen))


def parts(entry: Entry, ratings: tuple[Rating, ...]) -> list[Counting]:
    """Return what is learned from the ratings of one attempt, cut by rater slot: weights in proportion, own means."""
    counted = counting(ratings)
    if counted is None:
        return []
    chosen = [r for r in ratings if not r.retracted and r.source == counted.source and entry.tells(r)]
    slots = sorted({r.slot for r in chosen})
    whole = sum(r.weight for r in chosen)
    found, passed = [], 0
    for slot in slots:
        own = [r for r in chosen if r.slot == slot]
        weight = sum(r.weight for r in own)
        share = counted.weight * (passed + weight) // whole - counted.weight * passed // whole  # they add up to all
        mean = (2 * sum(r.weight * r.value for r in own) + weight) // (2 * weight)
        found.append(Counting(counted.source, mean, share, slot))
        passed += weight
    return found


def score_of(entry: Entry, attempt: AttemptEntry | None) -> float | None:
    """Return the score that counts for an attempt, in [0, 1]; None if none does, as for an attempt that failed."""
    if attempt is None or not _judged(entry, attempt):
        return None
    counted = counting(attempt.ratings)
    return None if counted is None else counted.value / SCALE


def _judged(entry: Entry, attempt: AttemptEntry) -> bool:
    """Return whether judgements of an attempt count: it succeeded, or nothing of the decision was reported yet."""
    return not entry.reported if attempt.outcome is None else not attempt.outcome.failed


def counts(entry: Entry, attempt: AttemptEntry, rating: Rating) -> bool:
    """Return whether a rating is among those that make the attempt's score."""
    counted = None if score_of(entry, attempt) is None else counting(attempt.ratings)
    return counted is not None and counted.source == rating.source and not rating.retracted


def learned(entry: Entry, attempt: AttemptEntry, rating: Rating) -> bool:
    """Return whether a rating of an attempt is among those that are learned from."""
    return counts(entry, attempt, rating) and entry.tells(rating)


def effects(entry: Entry, attempt: AttemptEntry) -> dict[tuple[int, int, int], Effect]:
    """Return what an attempt contributes to the statistics, by (model, measure, rater slot)."""
    outcome = attempt.outcome
    model = outcome.model if outcome else entry.model
    ordinal = outcome.ordinal if outcome else entry.ordinal
    found: dict[tuple[int, int, int], Effect] = {}

    def add(measure: Measure, source: int, value: int, weight: int = 1000, slot: int = 0) -> None:
        found[model, measure, slot] = (measure, source, ordinal, value, weight)

    if outcome is not None:
        if not (outcome.failed and outcome.error in BLAMELESS):
            add(Measure.SUCCESS, OUTCOME_SOURCE, to_fixed(0.0 if outcome.failed else 1.0))
        if not outcome.failed:
            if outcome.usage.output_tokens is not None and outcome.usage.claim is None:
                add(Measure.OUTPUT_TOKENS, OUTCOME_SOURCE, to_fixed(math.log1p(outcome.usage.output_tokens)))
            if outcome.latency_s is not None:
                add(Measure.LATENCY, OUTCOME_SOURCE, to_fixed(math.log(max(outcome.latency_s, _SHORTEST_S))))
            if outcome.first_token_s is not None:
                add(Measure.FIRST_TOKEN, OUTCOME_SOURCE, to_fixed(math.log(max(outcome.first_token_s, _SHORTEST_S))))
    if _judged(entry, attempt):
        for source, value, weight, slot in parts(entry, attempt.ratings):
            add(Measure.QUALITY, source, value, weight, slot)
    return found


def _changes(before: Entry, after: Entry) -> tuple[Change, ...]:
    """Return the difference between what two states of an entry contribute to the statistics."""
    net: Counter[tuple[int, int, int, int, int, int]] = Counter()
    for entry, sign in ((before, -1), (after, 1)):
        for attempt in entry.seen():
            for (model, _, slot), (measure, source, ordinal, value, weight) in effects(entry, attempt).items():
                net[model, measure, source, ordinal, value, slot] += sign * weight
    return tuple(
        Change(after.task_class, model, measure, source, ordinal, value, weight, slot)
        for (model, measure, source, ordinal, value, slot), weight in sorted(net.items())
        if weight
    )


def _named(entry: Entry, attempt: str) -> AttemptEntry:
    """Return what was said of an attempt by name, an empty entry if that is nothing."""
    return next((a for a in entry.attempts if a.attempt == attempt), AttemptEntry(attempt=attempt))


def _with(entry: Entry, attempt: AttemptEntry) -> Entry:
    """Return the entry with an attempt in its place; one of which nothing is known goes."""
    if attempt.outcome is None and not attempt.ratings:
        return msgspec.structs.replace(entry, attempts=tuple(a for a in entry.attempts if a.attempt != attempt.attempt))
    attempts = {a.attempt: a for a in entry.attempts} | {attempt.attempt: attempt}
    return msgspec.structs.replace(entry, attempts=tuple(attempts.values()))


def _rater(rating: Rating) -> tuple[int, str]:
    return rating.source, rating.rater


def _by_rater(ratings: tuple[Rating, ...]) -> dict[tuple[int, str], Rating]:
    return {_rater(rating): rating for rating in ratings}


def _sorted(ratings: dict[tuple[int, str], Rating]) -> tuple[Rating, ...]:
    return tuple(ratings[key] for key in sorted(ratings))


def take_outcome(entry: Entry, attempt: str, outcome: Outcome, at_ms: int) -> tuple[Entry, OutcomeReported]:
    """Return the entry with an attempt's outcome, and the event that says so."""
    known = _named(entry, attempt)
    after = entry
    if known.outcome is None:  # attempts stand in the order of their outcomes, whichever was judged before
        after = _with(after, AttemptEntry(attempt=attempt))
    after = _with(after, msgspec.structs.replace(known, outcome=outcome))
    return after, OutcomeReported(
        at_ms=at_ms, uid=entry.uid, task_class=entry.task_class, first_model=entry.model, first_ordinal=entry.ordinal,
        attempt=attempt, outcome=outcome, changes=_changes(entry, after),
    )  # fmt: skip


def take_ratings(
    entry: Entry, attempts: tuple[str, ...], ratings: tuple[Rating, ...], at_ms: int
) -> tuple[Entry, FeedbackReported]:
    """Return the entry with one rater's judgement of one attempt (or of two, a preference), and the event.

    A judgement by the same source and rater on the same attempt is replaced; of a preference, both halves are.
    """
    rater = _rater(ratings[0])
    seen = [known for attempt in attempts if (known := entry.find(attempt)) is not None]
    old = [r for known in seen for r in known.ratings if _rater(r) == rater]
    if old:
        created = min(r.created_ms for r in old)
        revisions = max(r.revisions for r in old) + 1
        ratings = tuple(msgspec.structs.replace(r, created_ms=created, revisions=revisions) for r in ratings)
    if ratings[0].early:
        after = msgspec.structs.replace(entry, early=_sorted(_by_rater(entry.early) | {rater: ratings[0]}))
    else:
        after = entry
        for half in {half for r in old for half in (r.preferred, r.other)} - {""}:
            known = _named(after, half)
            left = tuple(r for r in known.ratings if _rater(r) != rater)
            after = _with(after, msgspec.structs.replace(known, ratings=left))
        for attempt, rating in zip(attempts, ratings, strict=True):
            known = _named(after, attempt)
            after = _with(
                after, msgspec.structs.replace(known, ratings=_sorted(_by_rater(known.ratings) | {rater: rating}))
            )
    return after, FeedbackReported(
        at_ms=at_ms, uid=entry.uid, task_class=entry.task_class, first_model=entry.model, first_ordinal=entry.ordinal,
        attempts=attempts, ratings=ratings, changes=_changes(entry, after),
    )  # fmt: skip
