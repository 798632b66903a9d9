"""Random histories of decisions, outcomes and judgements, and the state that any order of them must lead to."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from naiad.bandit.influence import Caps, slot_of
from naiad.bandit.statistics import Observation, Statistics, to_fixed
from naiad.server.ledger import AttemptEntry, Entry, effects, take_outcome, take_ratings
from naiad.server.records import Change, FeedbackReported, Outcome, OutcomeReported, Rating, Usage

MODELS, CLASSES, SOURCES = 3, 2, (1, 2, 3, 4, 5)
ATTEMPTS = ("1", "2", "x")
RATERS = ("", "ann", "bob")
CAPS = Caps({1: 1_500, 4: 700}, 2)  # a few judgements reach them
Event = OutcomeReported | FeedbackReported


@dataclass(frozen=True)
class Op:
    """One thing that happens to one decision; `keys` says which others it must not be swapped with."""

    uid: int
    attempts: tuple[str, ...]
    outcome: Outcome | None = None
    ratings: tuple[Rating, ...] = ()

    @property
    def keys(self) -> frozenset[Any]:
        """What its place among others of the decision matters to.

        Outcomes in their order say which attempt answered, and a judgement that names none asks that; the judgements
        of one rater revise each other.
        """
        answer = frozenset() if self.attempts and self.outcome is None else frozenset({(self.uid, "answer")})
        return answer | frozenset((self.uid, r.source, r.rater) for r in self.ratings)


def decisions(count: int) -> dict[int, Entry]:
    """Return the empty entries of some decisions, spread over classes, models, and far-apart ordinals."""
    return {
        uid: Entry(uid=uid, task_class=uid % CLASSES, model=uid % MODELS, ordinal=uid * 400, at_ms=uid)
        for uid in range(count)
    }


scores = st.sampled_from((0.0, 1.0, 0.5, 1 / 3)) | st.floats(0.0, 1.0)
outcomes = st.builds(
    lambda model, ordinal, failed, error, tokens, latency: Outcome(
        model=model, ordinal=ordinal, failed=failed, error=error if failed else 0,
        usage=Usage(input_tokens=3, output_tokens=tokens), latency_s=latency,
        first_token_s=None if latency is None or ordinal % 2 else latency / 3,
    ),
    st.integers(0, MODELS - 1), st.integers(0, 3_000), st.booleans(), st.integers(0, 13),
    st.none() | st.integers(0, 1 << 40), st.none() | st.floats(0.0, 1e5),
)  # fmt: skip


@st.composite
def ops(draw: st.DrawFn, count: int) -> Op:
    """Draw one operation: an outcome, a score or thumb, a retraction, or a preference between two attempts."""
    uid = draw(st.integers(0, count - 1))
    kind = draw(st.sampled_from(("outcome", "score", "score", "early", "retraction", "preference")))
    if kind == "outcome":
        return Op(uid, (draw(st.sampled_from(ATTEMPTS)),), outcome=draw(outcomes))
    source, rater = draw(st.sampled_from(SOURCES)), draw(st.sampled_from(RATERS))
    if kind == "preference":
        better, worse = draw(st.permutations(ATTEMPTS))[:2]
        halves = tuple(
            Rating(
                source=source,
                rater=rater,
                value=to_fixed(v),
                weight=500,
                slot=slot_of(rater),
                signal=2,
                preferred=better,
                other=worse,
            )
            for v in (1.0, 0.0)
        )
        return Op(uid, (better, worse), ratings=halves)
    rating = Rating(
        source=source, rater=rater, value=to_fixed(draw(scores)), slot=slot_of(rater), retracted=kind == "retraction"
    )
    if kind == "early":
        return Op(uid, (), ratings=(rating,))
    return Op(uid, (draw(st.sampled_from(ATTEMPTS)),), ratings=(rating,))


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[Op]]:
    """Draw (number of decisions, operations), some of them sent twice."""
    count = draw(st.integers(1, 4))
    drawn = draw(st.lists(ops(count), max_size=24))
    repeated = draw(st.lists(st.sampled_from(drawn), max_size=4)) if drawn else []
    return count, drawn + repeated


def apply(entry: Entry, op: Op, at_ms: int = 0) -> tuple[Entry, Event]:
    """Return what one operation makes of its decision's entry."""
    if op.outcome is not None:
        return take_outcome(entry, op.attempts[0], op.outcome, at_ms)
    if not op.attempts:  # names none: as `Feedback` takes it
        given = op.ratings[0]
        early = replace(given, early=entry.takes_early(given.source, given.rater))
        return take_ratings(entry, (entry.answered(),), (early,), at_ms)
    return take_ratings(entry, op.attempts, op.ratings, at_ms)


def play(count: int, history: list[Op]) -> tuple[dict[int, Entry], list[Event]]:
    """Return the final entries and the events of a history."""
    entries, events = decisions(count), []
    for op in history:
        entries[op.uid], event = apply(entries[op.uid], op)
        events.append(event)
    return entries, events


def folded(events: list[Event], count: int) -> Statistics:
    """Return the statistics that the changes in the events add up to."""
    statistics = Statistics(CAPS)
    advance(statistics, count)
    for event in events:
        for change in event.changes:
            statistics.add(change.observation())
    return statistics


def advance(statistics: Statistics, count: int) -> None:
    """Set the heads as the decisions do: far enough that old buckets merge."""
    for entry in decisions(count).values():
        statistics.advance(entry.model, entry.ordinal + 5_000)


def direct(entries: dict[int, Entry]) -> Statistics:
    """Return the statistics of the final entries alone: each attempt's effects, once."""
    statistics = Statistics(CAPS)
    advance(statistics, len(entries))
    for entry in entries.values():
        for attempt in entry.seen():
            for (model, _, slot), (measure, source, ordinal, value, weight) in effects(entry, attempt).items():
                change = Change(entry.task_class, model, measure, source, ordinal, value, weight, slot)
                statistics.add(change.observation())
    return statistics


def shuffled(history: list[Op], rng: random.Random) -> list[Op]:
    """Return a random order in which operations that share a key keep theirs."""
    early = {(op.uid, r.source, r.rater) for op in history if not op.attempts for r in op.ratings}

    def keys(op: Op) -> frozenset[Any]:
        # Whether it revises the rater's judgement of the answer hangs on which attempt that is by then.
        return op.keys | ({(op.uid, "answer")} if op.keys & early else frozenset())

    left, result = list(history), []
    while left:
        free = [
            i for i, op in enumerate(left) if not any(keys(op) & keys(earlier) for earlier in left[:i])
        ]  # those that no earlier one shares a key with
        result.append(left.pop(rng.choice(free)))
    return result


def canonical(entries: dict[int, Entry]) -> dict[int, tuple[Any, ...]]:
    """Return the entries without the order in which attempts were first mentioned, and without the count of revisions.

    An early judgement that gave way to what its rater said by name may or may not have been revised before.
    """
    return {
        uid: (
            entry.task_class, entry.model, entry.ordinal,
            sorted(
                (
                    (a.attempt, a.outcome, tuple(replace(r, revisions=0) for r in a.ratings))
                    for a in entry.seen()
                    if a.outcome or a.ratings
                ),
                key=lambda known: known[0],
            ),
        )
        for uid, entry in entries.items()
    }  # fmt: skip


def observations(event: Event) -> list[Observation]:
    """Return an event's changes as observations."""
    return [change.observation() for change in event.changes]


def attempt_of(entry: Entry, name: str) -> AttemptEntry:
    """Return an attempt that must be there."""
    found = entry.find(name)
    assert found is not None
    return found
