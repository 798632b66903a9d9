"""A drift alarm cuts a model's evidence at a decision, whenever that evidence comes, and leaves no other trace."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.bandit import codec
from naiad.bandit.belief import BeliefSettings
from naiad.bandit.influence import Caps
from naiad.bandit.statistics import (
    BUCKET_WIDTH,
    ERA,
    Alarm,
    GroupKey,
    Measure,
    Observation,
    RawKey,
    Statistics,
    block_of,
    to_fixed,
)
from tests.bandit.worlds import MODELS, believe, caps, fold, observations, observed

Move = tuple[int, int, int | None]  # (model, head to advance to, decisions back to alarm at; None: no alarm)

moves = st.lists(
    st.tuples(
        st.integers(0, MODELS - 1),
        st.one_of(st.integers(0, 3 * ERA), st.integers(0, 12).map(lambda era: era * ERA)),
        st.none() | st.integers(0, 40 * BUCKET_WIDTH),
    ),
    max_size=8,
)


def make(statistics: Statistics, move: Move) -> None:
    model, head, back = move
    statistics.advance(model, head)
    if back is not None:
        statistics.alarm(model, max(0, statistics.head(model) - back), 0.5, -7)


def by_hand(seen: list[Observation], final: Statistics, under: Caps) -> list[tuple[GroupKey, RawKey, tuple[int, ...]]]:
    """Sum observations into cells with nothing but a dictionary, all at the final heads and alarms."""
    cells: dict[tuple[GroupKey, RawKey], list[int]] = defaultdict(lambda: [0, 0, 0])
    for s in seen:
        bucket = s.ordinal // BUCKET_WIDTH
        epoch = 0
        if s.measure == Measure.QUALITY:
            epoch = bisect_right([alarm.bucket for alarm in final.alarms().get(s.model, [])], bucket)
        place = block_of(bucket, final.head(s.model) // ERA * (ERA // BUCKET_WIDTH))
        slot = s.slot if s.source in under.weights else 0
        cell = cells[(s.task_class, s.model, s.measure), (s.source, slot, *place, epoch)]
        for i, amount in enumerate((s.weight, s.weight * s.value, s.weight * s.value**2)):
            cell[i] += amount
    return [(group, key, tuple(cell)) for (group, key), cell in sorted(cells.items()) if any(cell)]


@given(st.data(), st.lists(observations, max_size=25), moves, caps)
def test_it_does_not_matter_whether_evidence_comes_before_or_after_an_alarm(
    data: st.DataObject, seen: list[Observation], heads: list[Move], under: Caps
) -> None:
    """Observations, some taken back, and reads in any order around the same heads and alarms: the same cells."""
    taken_back = data.draw(st.lists(observations, max_size=5), label="seen and taken back")
    steps: list[object] = [("add", s) for s in seen + taken_back]
    steps += [("subtract", s) for s in taken_back] + [("read", None)] * 2 + [("move", None)] * len(heads)
    left = iter(heads)
    statistics = Statistics(under)
    for step in data.draw(st.permutations(steps), label="path"):
        match step:
            case "add", Observation() as s:
                statistics.add(s)
            case "subtract", Observation() as s:
                statistics.subtract(s)
            case "move", None:
                make(statistics, next(left))
            case _:
                list(statistics.items())
    assert [(g, k, tuple(t)) for g, k, t in statistics.items()] == by_hand(seen, statistics, under)
    again = fold(seen, statistics.heads(), under, statistics.alarms())
    assert again.digest() == statistics.digest()
    for group in statistics.groups():
        totals = [[(part, cell.triple()) for part, cell in s.totals(group) if cell] for s in (statistics, again)]
        cells = [[(key, cell.triple()) for key, cell in s.cells(group)] for s in (statistics, again)]
        assert totals[0] == totals[1]
        assert cells[0] == cells[1]
    assert believe(statistics, BeliefSettings(caps=under), 4, MODELS).digest(4) == (
        believe(again, BeliefSettings(caps=under), 4, MODELS).digest(4)
    )


@given(st.lists(observations, max_size=25), moves, caps)
def test_snapshots_and_replicas_keep_epochs(seen: list[Observation], heads: list[Move], under: Caps) -> None:
    statistics = fold(seen, under=under)
    for move in heads:
        make(statistics, move)
    back = codec.decode(codec.encode(statistics), under)
    replica = Statistics(under)
    replica.merge(back)
    assert back.digest() == replica.digest() == statistics.digest()
    assert back.alarms() == replica.alarms() == statistics.alarms()


def test_alarms_are_part_of_the_digest() -> None:
    digests = set()
    for alarms in ([], [Alarm(1, 0.5, 0)], [Alarm(1, 0.4, 0)], [Alarm(2, 0.5, 0)], [Alarm(1, 0.5, 1)]):
        digests.add(fold([], alarms={0: alarms}).digest())
    assert len(digests) == 5


# -- what it does to a belief --------------------------------------------------------------------------------------


def two_classes() -> Statistics:
    """Three models, 200 judgements each: .9 and .6 in two classes, the first of them also in class 2."""
    seen = []
    for model in range(3):
        for task_class, level in ((0, 0.9), (1, 0.6)):
            values = [level + 0.1 * (-1) ** i for i in range(200)]
            seen += observed(values, task_class, model)
    return fold(seen, dict.fromkeys(range(3), 400))


def test_evidence_from_before_weighs_what_is_kept_and_moves_by_the_shift() -> None:
    statistics = two_classes()
    before = believe(statistics, BeliefSettings(), 2, 3)
    statistics.alarm(0, 400, 0.05, to_fixed(-0.2))
    after = believe(statistics, BeliefSettings(), 2, 3)
    for task_class in (0, 1):
        was, now = (b.arrays(task_class, Measure.QUALITY) for b in (before, after))
        assert now.evidence[0] == pytest.approx(10.0)
        assert now.sd[0] > 2.0 * was.sd[0]
        assert now.mean[0] == pytest.approx(was.mean[0] - 0.2, abs=0.06)
        assert now.mean[1:] == pytest.approx(was.mean[1:], abs=0.01)
        assert (now.evidence[1:] == was.evidence[1:]).all()
    assert statistics.evidence(0) == pytest.approx(20.0)
    assert statistics.evidence(1) == pytest.approx(400.0)


def test_what_a_model_teaches_about_classes_stays() -> None:
    statistics = two_classes()
    statistics.alarm(0, 400, 0.05, to_fixed(-0.2))
    belief = believe(statistics, BeliefSettings(), 2, 3)
    easy, hard = (belief.arrays(k, Measure.QUALITY).mean[0] for k in (0, 1))
    assert easy - hard > 0.2


def test_other_measures_know_nothing_of_it() -> None:
    seen = [Observation(0, 0, measure, 0, i, to_fixed(0.5)) for measure in Measure for i in range(50)]
    statistics = fold(seen, {0: 50})
    before = believe(statistics, BeliefSettings(), 1, 1)
    statistics.alarm(0, 50, 0.1, to_fixed(-0.3))
    after = believe(statistics, BeliefSettings(), 1, 1)
    for measure in Measure:
        if measure != Measure.QUALITY:
            assert before.arrays(0, measure) == after.arrays(0, measure)
    assert before.arrays(0, Measure.QUALITY) != after.arrays(0, Measure.QUALITY)


def test_judgements_after_the_change_count_in_full_though_they_came_before_the_alarm() -> None:
    old, new = observed([0.9] * 320, 0, 0), observed([0.5] * 352, 0, 0)[320:]
    statistics = fold([*old, *new], {0: 352})
    statistics.alarm(0, 320, 10 / 320, to_fixed(-0.4))
    belief = believe(statistics, BeliefSettings(), 1, 1)
    seen = belief.arrays(0, Measure.QUALITY)
    assert seen.evidence[0] == pytest.approx(42.0)
    assert seen.mean[0] == pytest.approx(0.5, abs=0.02)


def test_a_drift_is_no_noise() -> None:
    """The spread inside cells is measured within epochs: a jump does not make judgements seem less exact."""
    rng = np.random.default_rng(1)
    values = [*rng.normal(0.9, 0.02, 320), *rng.normal(0.4, 0.02, 320)]
    steady = fold(observed(np.concatenate([rng.normal(0.9, 0.02, 640)]), 0, 0), {0: 640})
    moved = fold(observed(values, 0, 0), {0: 640})
    moved.alarm(0, 320, 0.1, to_fixed(-0.5))
    jumpy = fold(observed(values, 0, 0), {0: 640})
    noise = [believe(s, BeliefSettings(), 1, 1).noise(Measure.QUALITY) for s in (steady, moved, jumpy)]
    assert noise[1] < 0.2 * noise[2]
    assert noise[1] < 3.0 * noise[0]


def test_a_border_lies_where_nothing_was_merged_nor_before_the_last() -> None:
    statistics = fold([], {0: 20 * ERA})
    statistics.alarm(0, 3, 0.5, 0)
    statistics.alarm(0, 20 * ERA - 3, 0.5, 0)
    statistics.alarm(0, 0, 0.5, 0)
    buckets = [alarm.bucket for alarm in statistics.alarms()[0]]
    assert buckets == sorted(buckets)
    assert all(block_of(bucket, 20 * ERA // BUCKET_WIDTH)[0] == 0 for bucket in buckets)


@pytest.mark.parametrize("half_life", [500.0, 100_000.0])
def test_forgetting_and_alarms_multiply(half_life: float) -> None:
    """With a half-life an alarm still cuts what is old, and what came after it is forgotten as ever."""
    old, new = observed([0.9] * 320, 0, 0), observed([0.5] * 640, 0, 0)[320:]
    plain, cut = fold([*old, *new], {0: 640}), fold([*old, *new], {0: 640})
    cut.alarm(0, 320, 0.01, 0)
    how = BeliefSettings(half_life=half_life)
    kept, whole = (believe(s, how, 1, 1).arrays(0, Measure.QUALITY).evidence[0] for s in (cut, plain))
    young = believe(fold(new, {0: 640}), how, 1, 1).arrays(0, Measure.QUALITY).evidence[0]
    assert kept == pytest.approx(young + 0.01 * (whole - young))


@given(st.lists(st.tuples(st.floats(1e-9, 1.0), st.integers(-(10**6), 10**6)), max_size=60))
@settings(max_examples=30)
def test_many_alarms_leave_a_belief(alarms: list[tuple[float, int]]) -> None:
    statistics = fold(observed([0.0, 1.0] * 20, 0, 0), {0: 40})
    for i, (kept, shift) in enumerate(alarms):
        statistics.advance(0, 40 + i)
        statistics.alarm(0, 40 + i, kept, shift)
    seen = believe(statistics, BeliefSettings(), 1, 2).arrays(0, Measure.QUALITY)
    assert np.isfinite(seen.mean).all()
    assert (seen.sd > 0.0).all()
