"""The laws of the ledger, on random histories: any order, repetition, revision or retraction ends in the same state."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from naiad.bandit.statistics import SCALE, Measure, Statistics, to_fixed
from naiad.server.ledger import (
    Entry,
    counting,
    effects,
    feedback_id_of,
    learned,
    take_outcome,
    take_ratings,
    uid_of_feedback,
)
from naiad.server.records import Outcome, Rating, Usage
from tests.ledger.histories import (
    MODELS,
    Op,
    apply,
    attempt_of,
    canonical,
    decisions,
    direct,
    folded,
    histories,
    outcomes,
    play,
    scores,
    shuffled,
)

HUMAN, JUDGE, CHECK, USER = 1, 2, 3, 4
FINE = Outcome(model=0, ordinal=3, usage=Usage(input_tokens=5, output_tokens=7), latency_s=0.5)
ENTRY = Entry(uid=9, task_class=1, model=0, ordinal=3)


def rating(source: int, value: float, rater: str = "r", weight: int = 1_000, retracted: bool = False) -> Rating:
    """Return a rating of a value in [0, 1]."""
    return Rating(source=source, rater=rater, value=to_fixed(value), weight=weight, retracted=retracted)


def quality(statistics: Statistics) -> dict[tuple[int, int], list[tuple[int, tuple[int, int, int]]]]:
    """Return (source, weight, sum, square) of quality by (task class, model), empty cells left out."""
    found = {}
    for group in statistics.groups():
        cells = [(source, cell.triple()) for (source, _), cell in statistics.totals(group) if cell]
        if group[2] == Measure.QUALITY and cells:
            found[group[0], group[1]] = cells
    return found


# -- (a) and (g): the log and the state agree ----------------------------------------------------------------------


@given(histories())
def test_folding_all_events_gives_the_statistics_of_the_final_entries(history: tuple[int, list[Op]]) -> None:
    entries, events = play(*history)
    assert folded(events, history[0]).digest() == direct(entries).digest()


@given(histories())
def test_each_event_changes_by_the_difference_of_what_counts(history: tuple[int, list[Op]]) -> None:
    """The sum of changes telescopes at every step, not only at the end."""
    entries, running = decisions(history[0]), Counter[tuple[object, ...]]()
    for op in history[1]:
        entries[op.uid], event = apply(entries[op.uid], op)
        for c in event.changes:
            running[c.task_class, c.model, c.measure, c.source, c.ordinal, c.value, c.slot] += c.weight
        present = Counter[tuple[object, ...]]()
        for entry in entries.values():
            for attempt in entry.seen():
                for (model, _, slot), (measure, source, ordinal, value, weight) in effects(entry, attempt).items():
                    present[entry.task_class, model, measure, source, ordinal, value, slot] += weight
        assert {key: n for key, n in running.items() if n} == dict(present)


@given(histories())
def test_sending_everything_twice_changes_nothing(history: tuple[int, list[Op]]) -> None:
    count, ops = history
    doubled = [op for op in ops for _ in range(2)]
    entries, events = play(count, doubled)
    assert all(event.changes == () for event in events[1::2])
    assert direct(entries).digest() == direct(play(count, ops)[0]).digest()


# -- (b) order -----------------------------------------------------------------------------------------------------


@given(histories(), st.integers(0, 1 << 32))
def test_any_order_of_independent_operations_ends_the_same(history: tuple[int, list[Op]], seed: int) -> None:
    count, ops = history
    entries, events = play(count, ops)
    other_entries, other_events = play(count, shuffled(ops, random.Random(seed)))
    assert folded(events, count).digest() == folded(other_events, count).digest()
    assert canonical(entries) == canonical(other_entries)


@given(
    st.lists(st.tuples(st.sampled_from((HUMAN, JUDGE, USER)), st.sampled_from(("ann", "bob")), scores), max_size=4,
             unique_by=lambda given_: given_[:2]),
    st.integers(0, 2), st.booleans(), st.randoms(use_true_random=False),
)  # fmt: skip
def test_judgements_of_the_answer_count_the_same_before_and_after_it_is_reported(
    judged: list[tuple[int, str, float]], failures: int, answered: bool, rng: random.Random
) -> None:
    """They count for the one attempt that succeeded and its model; if others failed and none did, for nothing."""
    ops = [Op(0, (), ratings=(rating(source, value, rater),)) for source, rater, value in judged]
    ops += [Op(0, (f"f{i}",), outcome=replace(FINE, failed=True, error=1)) for i in range(failures)]
    ops += [Op(0, ("good",), outcome=replace(FINE, model=2))] if answered else []
    rng.shuffle(ops)
    entries, events = play(1, ops)
    counted = counting(tuple(rating(source, value, rater) for source, rater, value in judged))
    found = quality(folded(events, 1))
    if counted is None or (failures and not answered):
        assert found == {}
    else:
        assert found.keys() == {(0, 2 if answered else 0)}
        (cells,) = found.values()
        assert cells == [(counted.source, (1_000, 1_000 * counted.value, 1_000 * counted.value**2))]
    if answered:
        assert len(attempt_of(entries[0], "good").ratings) == len(judged)
        assert {a.attempt for a in entries[0].seen()} == {"good", *(f"f{i}" for i in range(failures))}


def test_an_entry_survives_the_store() -> None:
    entry, _ = take_outcome(ENTRY, "1", FINE, 4)
    entry, _ = take_ratings(entry, ("1",), (rating(HUMAN, 1 / 3),), 5)
    assert msgspec.json.decode(msgspec.json.encode(entry), type=Entry) == entry


# -- (c) retraction ------------------------------------------------------------------------------------------------


@given(histories())
def test_retracting_everything_leaves_what_the_outcomes_say(history: tuple[int, list[Op]]) -> None:
    count, ops = history
    entries, events = play(count, ops)
    for uid, entry in entries.items():
        for attempt in entry.seen():
            for given_ in attempt.ratings:
                gone = replace(given_, retracted=True)
                entries[uid], event = take_ratings(entries[uid], (attempt.attempt,), (gone,), 0)
                events.append(event)
    facts = [op for op in ops if op.outcome is not None]
    assert folded(events, count).digest() == folded(play(count, facts)[1], count).digest()


@given(scores, scores)
def test_a_rating_given_again_after_its_retraction_counts(first: float, second: float) -> None:
    entry = ENTRY
    for value, retracted in ((first, False), (first, True), (second, False)):
        entry, _ = take_ratings(entry, ("1",), (rating(USER, value, retracted=retracted),), 0)
    counted = counting(attempt_of(entry, "1").ratings)
    assert counted is not None
    assert counted.value == to_fixed(second)
    assert attempt_of(entry, "1").ratings[0].revisions == 2


# -- (d) precedence ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations((HUMAN, JUDGE, CHECK, USER))))
def test_human_beats_judge_beats_check_beats_user_in_any_order(order: tuple[int, ...]) -> None:
    """Retracting the highest brings back the next, down to nothing; `order` is the order of arrival."""
    worth = {HUMAN: 0.9, JUDGE: 0.7, CHECK: 0.3, USER: 0.1}
    entry = ENTRY
    for source in order:
        entry, _ = take_ratings(entry, ("1",), (rating(source, worth[source]),), 0)
    for source in (HUMAN, JUDGE, CHECK, USER):
        counted = counting(attempt_of(entry, "1").ratings)
        assert counted is not None
        assert (counted.source, counted.value) == (source, to_fixed(worth[source]))
        entry, _ = take_ratings(entry, ("1",), (rating(source, worth[source], retracted=True),), 0)
    assert counting(attempt_of(entry, "1").ratings) is None


def test_a_lower_source_is_kept_but_changes_nothing() -> None:
    entry, _ = take_ratings(ENTRY, ("1",), (rating(HUMAN, 1.0),), 0)
    after, event = take_ratings(entry, ("1",), (rating(USER, 0.0),), 0)
    assert event.changes == ()
    assert len(attempt_of(after, "1").ratings) == 2


@given(st.lists(st.tuples(scores, st.sampled_from((500, 1_000))), min_size=1, max_size=5))
def test_raters_of_one_source_count_as_their_exact_weighted_mean(given_: list[tuple[float, int]]) -> None:
    ratings = tuple(rating(JUDGE, value, f"r{i}", weight) for i, (value, weight) in enumerate(given_))
    counted = counting(ratings)
    assert counted is not None
    mean = Fraction(sum(r.weight * r.value for r in ratings), sum(r.weight for r in ratings))
    assert abs(counted.value - mean) <= Fraction(1, 2)
    assert 0 <= counted.value <= SCALE
    assert counted.weight == max(r.weight for r in ratings)  # many raters are no more than one observation


# -- (e) failure ---------------------------------------------------------------------------------------------------


@given(histories(), st.integers(0, 13))
def test_failed_attempts_never_move_quality(history: tuple[int, list[Op]], error: int) -> None:
    """If every outcome is a failure, quality is that of the decisions without an outcome.

    Preferences have a law of their own, below.
    """
    count, ops = history
    failed = [
        op if op.outcome is None else Op(op.uid, op.attempts, replace(op.outcome, failed=True, error=error))
        for op in ops
        if len(op.attempts) < 2
    ]
    entries, events = play(count, failed)
    silent = {uid: replace(entry, attempts=(), early=()) if entry.reported else entry for uid, entry in entries.items()}
    assert quality(folded(events, count)) == quality(direct(silent))


@given(histories())
def test_what_is_said_of_an_attempt_that_was_never_reported_teaches_nothing_beside_those_that_were(
    history: tuple[int, list[Op]],
) -> None:
    """Leaving out all judgements by name of attempts without an outcome changes no quality of a reported decision."""
    count, ops = history
    entries, events = play(count, ops)
    kept = {
        uid: replace(entry, attempts=tuple(a for a in entry.attempts if a.outcome is not None or not entry.reported))
        for uid, entry in entries.items()
    }
    assert folded(events, count).digest() == direct(kept).digest()
    called = {(uid % 2, a.outcome.model) for uid, e in entries.items() for a in e.attempts if a.outcome is not None}
    called |= {(e.task_class, e.model) for e in entries.values() if not e.reported}
    assert quality(folded(events, count)).keys() <= called


@given(scores, st.permutations(["feedback", "2", "3"]), st.booleans())
def test_feedback_on_an_attempt_that_was_never_made(value: float, order: list[str], made_late: bool) -> None:
    """It came first or last or in between; it counts once the attempt turns out to have been made after all."""
    steps = {
        "feedback": Op(9, ("1",), ratings=(rating(HUMAN, value),)),
        "2": Op(9, ("2",), outcome=replace(FINE, model=1)),
        "3": Op(9, ("3",), outcome=replace(FINE, model=2)),
    }
    ops = [steps[name] for name in order] + ([Op(9, ("1",), outcome=FINE)] if made_late else [])
    entry, events = ENTRY, []
    for op in ops:
        entry, event = apply(entry, op)
        events.append(event)
    assert set(quality(folded(events, 0))) == ({(1, 0)} if made_late else set())


@given(histories())
def test_a_preference_counts_for_both_models_or_for_neither(history: tuple[int, list[Op]]) -> None:
    """Not over a failure, not under a higher source, not within one model: half of a difference says nothing."""
    entries, _ = play(*history)
    for entry in entries.values():
        for attempt in entry.seen():
            for given_ in attempt.ratings:
                if not given_.preferred:
                    continue
                halves = [attempt_of(entry, name) for name in (given_.preferred, given_.other)]
                shown = [
                    any(
                        effect[:2] == (Measure.QUALITY, given_.source) and slot == given_.slot
                        for (_, _, slot), effect in effects(entry, half).items()
                    )
                    for half in halves
                ]
                kept = [
                    learned(entry, half, r)
                    for half in halves
                    for r in half.ratings
                    if (r.source, r.rater) == (given_.source, given_.rater)
                ]
                assert kept in ([True, True], [False, False])
                assert not kept[0] or all(shown)
                if all(len(half.ratings) == 1 for half in halves):
                    assert shown == kept
                if any(half.outcome is not None and half.outcome.failed for half in halves):
                    assert not kept[0]
                if len({entry.model_of(half.attempt) for half in halves}) == 1:
                    assert not kept[0]


@given(scores, st.integers(0, 13), st.booleans())
def test_a_failure_takes_earlier_feedback_out_and_refuses_later(value: float, error: int, feedback_first: bool) -> None:
    down = Outcome(model=0, ordinal=3, failed=True, error=error, latency_s=9.0, usage=Usage(output_tokens=5))
    judged = Op(9, ("1",), ratings=(rating(HUMAN, value),))
    steps = [judged, Op(9, ("1",), outcome=down)] if feedback_first else [Op(9, ("1",), outcome=down), judged]
    entry, events = ENTRY, []
    for step in steps:
        entry, event = apply(entry, step)
        events.append(event)
    assert quality(folded(events, 0)) == {}
    assert set(effects(entry, attempt_of(entry, "1"))) <= {(0, Measure.SUCCESS, 0)}


@pytest.mark.parametrize(("error", "blamed"), [(1, True), (5, True), (6, False), (7, False), (8, False), (12, False)])
def test_only_the_providers_own_failures_count_against_its_availability(error: int, blamed: bool) -> None:
    down = Outcome(model=0, ordinal=3, failed=True, error=error)
    _, event = take_outcome(ENTRY, "1", down, 0)
    assert [(c.measure, c.value, c.weight) for c in event.changes] == ([(Measure.SUCCESS, 0, 1_000)] if blamed else [])


# -- (f) another model answered ------------------------------------------------------------------------------------


@given(scores, st.integers(1, MODELS - 1), st.integers(0, 3_000))
def test_an_outcome_that_names_another_model_takes_the_feedback_with_it(value: float, model: int, at: int) -> None:
    entry, first = take_ratings(ENTRY, ("1",), (rating(HUMAN, value),), 0)
    assert set(quality(folded([first], 0))) == {(1, 0)}
    entry, second = take_outcome(entry, "1", replace(FINE, model=model, ordinal=at), 0)
    moved = quality(folded([first, second], 0))
    assert moved == {(1, model): [(HUMAN, (1_000, 1_000 * to_fixed(value), 1_000 * to_fixed(value) ** 2))]}
    found = effects(entry, attempt_of(entry, "1"))
    assert {key[0] for key in found} == {model}
    assert {effect[2] for effect in found.values()} == {at}  # evidence is dated by the called model's ordinal


@given(outcomes, outcomes)
def test_a_later_outcome_replaces_all_that_an_earlier_one_said(first: Outcome, second: Outcome) -> None:
    entry, one = take_outcome(ENTRY, "1", first, 0)
    _, two = take_outcome(entry, "1", second, 0)
    _, alone = take_outcome(ENTRY, "1", second, 0)
    assert folded([one, two], 0).digest() == folded([alone], 0).digest()


# -- ids -----------------------------------------------------------------------------------------------------------


def test_feedback_ids_tell_apart_what_is_unique() -> None:
    pair = Rating(source=1, rater="a", value=0, preferred="1", other="2")
    turned = Rating(source=1, rater="a", value=0, preferred="2", other="1")
    ids = [
        feedback_id_of(uid, attempt, given_)
        for uid, attempt, given_ in (
            (1, "1", rating(1, 0, "a")), (2, "1", rating(1, 0, "a")), (1, "2", rating(1, 0, "a")),
            (1, "1", rating(2, 0, "a")), (1, "1", rating(1, 0, "b")), (1, "1", rating(1, 0, "")),
            (1, "1", pair), (1, "1", turned),
        )
    ]  # fmt: skip
    assert len(set(ids)) == len(ids) - 1
    assert ids[-1] == ids[-2]  # turned round it is the same judgement, revised
    assert feedback_id_of(1, "2", pair) == feedback_id_of(1, "1", pair)  # both halves of a preference share one id
    assert [uid_of_feedback(i) for i in ids] == [1, 2, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "text",
    ["", "f", "x" * 34, "f" + "f" * 16 + "-" + "0" * 16, "f+" + "1" * 15 + "-" + "0" * 16,
     "f0x" + "1" * 14 + "-" + "0" * 16, "f1_" + "1" * 14 + "-" + "0" * 16, "f-" + "1" * 15 + "-" + "0" * 16],
)  # fmt: skip
def test_what_is_no_feedback_id_names_no_decision(text: str) -> None:
    """A number beyond 63 bits does not fit the store either: looking it up must not be tried."""
    assert uid_of_feedback(text) is None


def test_the_answer_is_of_the_attempt_reported_last_whichever_feedback_named_first() -> None:
    entry, _ = take_ratings(ENTRY, ("2",), (rating(USER, 1.0, "ann"),), 0)
    entry, _ = take_outcome(entry, "1", FINE, 0)
    entry, _ = take_outcome(entry, "2", FINE, 0)
    assert (entry.answered(), entry.succeeded()) == ("2", ["1", "2"])
    turned, _ = take_ratings(ENTRY, ("2",), (rating(USER, 1.0, "ann"),), 0)
    turned, _ = take_outcome(turned, "2", FINE, 0)
    turned, _ = take_outcome(turned, "1", FINE, 0)
    assert turned.answered() == "1"


def test_a_refusal_is_the_answer_only_where_nobody_answered_and_then_the_first() -> None:
    no, member = replace(FINE, finish=5), replace(FINE, finish=5, part_of=7)
    for made, answer in (
        ((no, FINE), "2"), ((FINE, no), "1"), ((no, no), "1"), ((member, member, no), "3"),
        ((replace(FINE, part_of=7), no), "2"), ((no, replace(FINE, failed=True, error=1)), "1"), ((member,), "1"),
    ):  # fmt: skip
        entry, _ = take_ratings(replace(ENTRY), ("1",), (replace(rating(USER, 1.0, "ann"), early=True),), 0)
        for at, outcome in enumerate(made, 1):
            entry, _ = take_outcome(entry, str(at), outcome, 0)
        assert entry.answered() == answer
    entry, _ = take_ratings(ENTRY, ("1",), (replace(rating(USER, 1.0, "ann"), early=True),), 0)
    entry, _ = take_outcome(entry, "1", no, 0)
    entry, event = take_outcome(entry, "2", replace(FINE, model=2), 0)
    moved = {(c.model, c.weight > 0) for c in event.changes if c.measure == Measure.QUALITY}
    assert moved == {(FINE.model, False), (2, True)}, "what was said of the answer goes with it"
