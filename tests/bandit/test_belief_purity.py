"""A belief is a pure function of the statistics, however it came to know them: equal to the bit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from naiad.bandit.belief import Belief, BeliefSettings
from naiad.bandit.influence import Caps
from naiad.bandit.statistics import BUCKET_WIDTH, ERA, UNIT_WEIGHT, Measure, Observation, Statistics, to_fixed
from tests.bandit.worlds import believe, caps, fold, heads, observations

CLASSES, MODELS, SOURCES = 3, 3, 3

half_lives = st.sampled_from([math.inf, 128.0, 500.0, 1000.0, 3000.0])
trusts = st.dictionaries(st.integers(0, SOURCES - 1), st.sampled_from([0.0, 0.1, 0.37, 1.0, 2.0]), max_size=2)
masks = st.frozensets(st.integers(0, SOURCES - 1), max_size=2)
settings_of_beliefs = st.builds(BeliefSettings, half_life=half_lives, trust=trusts, masked=masks, caps=caps)
values = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0]), st.floats(-8.0, 10.0)).map(to_fixed)


class Following(RuleBasedStateMachine):
    """One belief follows a log step by step; a new one reads the final statistics: equal to the bit."""

    @initialize(how=settings_of_beliefs)
    def start(self, how: BeliefSettings) -> None:
        self.how = how
        self.statistics = Statistics(how.caps)
        self.belief = Belief(how)
        self.live: list[Observation] = []
        self.n_classes, self.n_models = 1, 1
        self.belief.resize(self.statistics, 1)

    def _apply(self, seen: Observation, sign: int) -> None:
        (self.statistics.add if sign > 0 else self.statistics.subtract)(seen)
        self.belief.refresh(self.statistics, [(seen.task_class, seen.model, seen.measure)])

    @rule(data=st.data(), value=values, measure=st.sampled_from(Measure), source=st.integers(0, SOURCES - 1))
    def observe(self, data: st.DataObject, value: int, measure: Measure, source: int) -> None:
        model = data.draw(st.integers(0, self.n_models - 1))
        task_class = data.draw(st.integers(0, self.n_classes - 1))
        head = self.statistics.head(model)
        ordinal = max(0, head - data.draw(st.one_of(st.integers(0, 3), st.integers(0, head))))
        weight = data.draw(st.sampled_from([UNIT_WEIGHT, UNIT_WEIGHT // 3, 5 * UNIT_WEIGHT]))
        seen = Observation(task_class, model, measure, source, ordinal, value, weight, data.draw(st.integers(0, 1)))
        self._apply(seen, +1)
        self.live.append(seen)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), values=st.lists(values, min_size=2, max_size=6))
    def observe_again(self, data: st.DataObject, values: list[int]) -> None:
        """See an arm several times more: the spread inside its cell moves the noise of every class."""
        old = data.draw(st.sampled_from(self.live))
        for value in values:
            seen = replace(old, value=value)
            self._apply(seen, +1)
            self.live.append(seen)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def retract(self, data: st.DataObject) -> None:
        self._apply(self.live.pop(data.draw(st.integers(0, len(self.live) - 1))), -1)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), value=values)
    def revise(self, data: st.DataObject, value: int) -> None:
        i = data.draw(st.integers(0, len(self.live) - 1))
        old = self.live[i]
        new = replace(old, value=value)
        self._apply(old, -1)
        self._apply(new, +1)
        self.live[i] = new

    @rule(
        data=st.data(),
        steps=st.one_of(
            st.integers(1, 2 * BUCKET_WIDTH),
            st.sampled_from([BUCKET_WIDTH, ERA - 1, ERA, 9 * ERA, 40 * ERA, 500 * ERA]),
        ),
        to_border=st.booleans(),
    )
    def decide(self, data: st.DataObject, steps: int, to_border: bool) -> None:
        """Move a head: a little, over borders, or by more half-lives than are remembered."""
        model = data.draw(st.integers(0, self.n_models - 1))
        head = self.statistics.head(model) + steps
        if to_border:
            span = ERA if math.isinf(self.how.half_life) else int(32 * self.how.half_life)
            head = -(-head // span) * span - data.draw(st.integers(0, 1))
        self.statistics.advance(model, head)
        self.belief.advance(self.statistics, model)

    @rule(data=st.data(), back=st.integers(0, 200), kept=st.floats(0.01, 1.0), shift=st.floats(-1.0, 1.0).map(to_fixed))
    def alarm(self, data: st.DataObject, back: int, kept: float, shift: int) -> None:
        """A model drifted some decisions ago."""
        model = data.draw(st.integers(0, self.n_models - 1))
        ordinal = max(0, self.statistics.head(model) - back)
        self.belief.refresh(self.statistics, self.statistics.alarm(model, ordinal, kept, shift))

    @rule(task_class=st.integers(0, CLASSES), measure=st.sampled_from(Measure))
    def read(self, task_class: int, measure: Measure) -> None:
        self.belief.marginals(task_class, measure)

    @rule()
    def settle(self) -> None:
        self.belief.settle()

    @rule(classes=st.integers(0, 2), models=st.integers(0, 1))
    def resize(self, classes: int, models: int) -> None:
        self.n_classes = min(CLASSES, self.n_classes + classes)
        self.n_models = min(MODELS, self.n_models + models)
        self.belief.resize(self.statistics, self.n_models)

    @rule()
    def compare(self) -> None:
        self._compare(believe(self.statistics, self.how, self.n_classes, self.n_models))

    def _compare(self, other: Belief) -> None:
        assert self.belief.digest(CLASSES + 1) == other.digest(CLASSES + 1)
        for measure in Measure:
            assert self.belief.noise(measure) == other.noise(measure)

    @invariant()
    def finite(self) -> None:
        """No step leaves a mean or an sd that is not a number, or an sd of 0."""
        if not hasattr(self, "belief"):
            return
        probe = believe(self.statistics, self.how, self.n_classes, self.n_models)
        for measure in Measure:
            seen = probe.marginals(0, measure)
            assert all(map(math.isfinite, [*seen.mean, *seen.sd])), seen
            assert min(seen.sd) > 0.0

    def teardown(self) -> None:
        if hasattr(self, "belief"):
            refolded = fold(self.live, self.statistics.heads(), self.how.caps, self.statistics.alarms())
            assert refolded.digest() == self.statistics.digest()
            self._compare(believe(refolded, self.how, self.n_classes, self.n_models))
            self._compare(believe(refolded, self.how, CLASSES + 5, self.n_models))  # capacity leaves no trace


TestFollowing = Following.TestCase
TestFollowing.settings = settings(
    max_examples=50, stateful_step_count=30, suppress_health_check=list(HealthCheck), deadline=None
)

small = observations.filter(lambda s: s.weight <= 10**6)


@given(st.lists(small, max_size=20), heads, half_lives, trusts, masks, caps)
@settings(max_examples=60)
def test_masking_a_source_equals_never_having_seen_it(
    seen: list[Observation],
    at: dict[int, int],
    half_life: float,
    trust: dict[int, float],
    masked: frozenset[int],
    under: Caps,
) -> None:
    at = {model: max([at.get(model, 0)] + [s.ordinal for s in seen if s.model == model]) for model in range(3)}
    without = fold((s for s in seen if s.source not in masked), at, under)
    a = believe(
        fold(seen, at, under), BeliefSettings(half_life=half_life, trust=trust, masked=masked, caps=under), 4, 3
    )
    b = believe(without, BeliefSettings(half_life=half_life, trust=trust, caps=under), 4, 3)
    assert a.digest(5) == b.digest(5)
    assert [a.noise(m) for m in Measure] == [b.noise(m) for m in Measure]
    assert all((a.marginals(k, m).evidence == b.marginals(k, m).evidence).all() for k in range(4) for m in Measure)


@given(st.data(), st.lists(small, max_size=20), heads, settings_of_beliefs)
@settings(max_examples=60)
def test_the_order_of_the_log_leaves_no_trace(
    data: st.DataObject, seen: list[Observation], at: dict[int, int], how: BeliefSettings
) -> None:
    at = {model: max([at.get(model, 0)] + [s.ordinal for s in seen if s.model == model]) for model in range(3)}
    shuffled = fold(data.draw(st.permutations(seen)), at, how.caps)
    assert believe(shuffled, how, 4, 3).digest(5) == believe(fold(seen, at, how.caps), how, 4, 3).digest(5)


def test_noise_learned_in_one_class_reaches_every_class_at_once() -> None:
    """Evidence that was folded in under another noise is folded in again."""
    seen = [Observation(k, k, Measure.QUALITY, 0, i, to_fixed(0.5)) for k in range(2) for i in range(5)]
    statistics = fold(seen)
    belief = believe(statistics, BeliefSettings(), 2, 2)
    belief.marginals(1, Measure.QUALITY)
    before = belief.noise(Measure.QUALITY)
    for i in range(40):
        statistics.add(Observation(0, 0, Measure.QUALITY, 0, i, to_fixed(3.0 * (i % 2))))
    belief.refresh(statistics, [(0, 0, Measure.QUALITY)])
    assert belief.noise(Measure.QUALITY) > 4.0 * before
    assert belief.digest(3) == believe(statistics, BeliefSettings(), 2, 2).digest(3)


@pytest.mark.parametrize("half_life", [math.inf, 400.0, 50_000.0])  # the last: several eras to a tick
def test_a_long_run_equals_its_replay(half_life: float) -> None:
    """Sixty eras with late feedback all along leave no drift of a single bit."""
    how = BeliefSettings(half_life=half_life)
    statistics, belief = Statistics(), Belief(how)
    belief.resize(statistics, 2)
    for i in range(600):
        model = i % 2
        head = 97 * i
        statistics.advance(model, head)
        belief.advance(statistics, model)
        seen = Observation(i // 40 % 2, model, Measure.QUALITY, 0, max(0, head - 31 * (i % 5)), to_fixed(i % 3 / 2))
        statistics.add(seen)
        belief.refresh(statistics, [(seen.task_class, model, Measure.QUALITY)])
        if i % 7 == 0:
            belief.marginals(i % 2, Measure.QUALITY)
        if i % 50 == 49:
            assert belief.digest(2) == believe(statistics, how, 2, 2).digest(2)
    assert belief.digest(2) == believe(statistics, how, 2, 2).digest(2)
