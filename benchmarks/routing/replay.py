"""Replays recorded outcomes through the engine that serves: nothing of choosing or learning is written again here.

Each step is what a server does for a caller: `Engine.decide`, then the events of the log in their order, made by the
ledger and folded by `Engine.apply`: the decision, the outcome of its attempt, the judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from benchmarks.routing.outcomes import Floats, Ints, Outcomes
from naiad.bandit.statistics import to_fixed
from naiad.server.config import build
from naiad.server.decision_id import Signer
from naiad.server.eligibility import Needs
from naiad.server.engine import Engine, EngineSettings, Query
from naiad.server.ledger import FIRST_ATTEMPT, Entry, take_outcome, take_ratings
from naiad.server.records import (
    Cost,
    Decided,
    DriftAlarmed,
    Event,
    ModelPut,
    ObjectiveSpec,
    Outcome,
    Prices,
    Rating,
    TaskClassPut,
    Usage,
)
from naiad.server.sections import DriftSection, File, LearningSection

NANO = 1_000_000_000
_JUDGE = 2  # FeedbackSource
_UNLIMITED = 1 << 40


def stream(outcomes: Outcomes, seed: int, length: int | None = None) -> Outcomes:
    """Return the set with its prompts shuffled and its models permuted by a seed, cut to a length.

    Without the permutation a method that is undecided would be lucky or unlucky in the order of the models.
    """
    rng = np.random.default_rng([seed, 20])
    order: Ints = rng.permutation(len(outcomes.task_class))[:length]
    return outcomes.arms(rng.permutation(len(outcomes.models)).tolist()).rows(order)


@dataclass(frozen=True)
class Run:
    """What one router did on one stream, by prompt."""

    arms: Ints  # (T,)
    quality: Floats  # (T,)
    cost: Floats  # (T,), USD


class EngineRouter:
    """An engine with the defaults of an empty configuration, the models of a set and one objective for all.

    drift: whether drift alarms are raised, as they are by default; present: how many of the models are there from the
    start; limits: fields of the policy.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        objective: ObjectiveSpec,
        seed: int,
        *,
        drift: bool = True,
        present: int | None = None,
        limits: Mapping[str, Any] = MappingProxyType({}),
        output_tokens: int = _UNLIMITED,
    ) -> None:
        learning = LearningSection(drift=DriftSection(enabled=drift))
        config = build(File(learning=learning), "built-in defaults")
        self.alarms: list[DriftAlarmed] = []
        self.outcomes = outcomes
        self.engine = Engine(EngineSettings(belief=config.belief, drift=config.drift), Signer({1: bytes(32)}, 1))
        self._uniform = Random(f"routing {seed}").random
        self._sequence = 0
        self._output_tokens = output_tokens
        for arm in range(len(outcomes.models) if present is None else present):
            self.put_model(arm)
        for number, name in enumerate(outcomes.task_classes):
            self._apply(TaskClassPut(task_class=number, name=f"c/{name}".replace(" ", "_")))
        self._apply(msgspec.structs.replace(config.policy, objective=objective, **limits))
        self._names = [c.name for c in self.engine.catalog.task_classes]

    def put_model(self, arm: int, *, price_factor: float = 1.0, disabled: bool = False) -> None:
        """Bring a model into the catalogue, or change its prices."""
        prices = Prices(
            input=round(self.outcomes.price_in[arm] * price_factor * 1e6 * NANO),
            output=round(self.outcomes.price_out[arm] * price_factor * 1e6 * NANO),
        )
        name = f"set/{arm}"
        self._apply(ModelPut(model=arm, name=name, upstream_model=name, prices=prices, disabled=disabled))

    def _apply(self, event: Event) -> None:
        self._sequence += 1
        self.engine.apply(self._sequence, event)
        for alarm in self.engine.drift.take():
            self.alarms.append(alarm)
            self._apply(alarm)

    def decide(self, row: int) -> Decided:
        """Choose a model for a prompt, and fold the decision."""
        task_class = int(self.outcomes.task_class[row])
        needs = Needs(int(self.outcomes.tokens_in[row].mean()), self._output_tokens)
        decision = self.engine.decide(
            Query(self._names[task_class], needs=needs), at_ms=self._sequence, uniform=self._uniform()
        )
        self._apply(decision.record)
        return decision.record

    def bill(self, record: Decided, row: int, *, price_factor: float = 1.0) -> float:
        """Fold the outcome of a decision; return what it cost, USD."""
        arm = record.model
        cost = float(self.outcomes.cost[row, arm]) * price_factor
        outcome = Outcome(
            model=arm,
            ordinal=record.ordinal,
            usage=Usage(
                input_tokens=int(self.outcomes.tokens_in[row, arm]),
                output_tokens=int(self.outcomes.tokens_out[row, arm]),
            ),
            cost=Cost(total=round(cost * NANO), billed=round(cost * NANO)),
        )
        self._apply(take_outcome(_entry(record), FIRST_ATTEMPT, outcome, record.at_ms)[1])
        return cost

    def judge(self, record: Decided, quality: float) -> None:
        """Fold a judgement of a decision."""
        rating = Rating(source=_JUDGE, rater="replay", value=to_fixed(quality))
        self._apply(take_ratings(_entry(record), (FIRST_ATTEMPT,), (rating,), record.at_ms)[1])

    def run(self, *, priced: bool = True) -> Run:
        """Replay the whole stream, each judgement at once."""
        steps = len(self.outcomes.task_class)
        arms, quality, cost = np.zeros(steps, dtype=np.int64), np.zeros(steps), np.zeros(steps)
        for row in range(steps):
            record = self.decide(row)
            arms[row] = record.model
            if priced:
                cost[row] = self.bill(record, row)
            quality[row] = self.outcomes.quality[row, record.model]
            self.judge(record, float(quality[row]))
        return Run(arms, quality, cost)


def _entry(record: Decided) -> Entry:
    return Entry(uid=record.uid, task_class=record.task_class, model=record.model, ordinal=record.ordinal)
