"""What every model made of every recorded prompt: the facts that the demo reveals one by one, and hindsight in full.

Quality and dollars are recorded; latency is the replay provider's simulation of it. A value in US dollars follows from
the objective: usd_per_quality * quality - cost - usd_per_second * latency.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from naiad.adapters.replay import RECORDED_PRICES, ReplayRecord, latency_of, tokens_of_cost
from naiad.bandit.objective import NANO, Objective

Floats = NDArray[np.float64]


def group_of(task_class: str) -> str:
    """Return the benchmark that a task class belongs to: "bbh/snarks" is of "bbh"."""
    return task_class.partition("/")[0]


def shuffled(records: Sequence[ReplayRecord], seed: int) -> list[ReplayRecord]:
    """Return the records in an order that the seed alone decides."""
    order = list(records)
    random.Random(seed).shuffle(order)  # noqa: S311  # an order to be repeated, not a secret
    return order


@dataclass(frozen=True, slots=True)
class Table:
    """Outcomes of every (prompt, model); all arrays (n_prompts, n_models)."""

    models: tuple[str, ...]
    task_classes: tuple[str, ...]  # (n_prompts,)
    quality: Floats  # in [0, 1]
    cost_usd: Floats
    latency_s: Floats

    def __len__(self) -> int:
        return len(self.task_classes)

    @classmethod
    def of(cls, records: Iterable[ReplayRecord], *, latency_seed: int = 0) -> Table:
        """Return the outcomes of records, in their order, of the models that all of them have.

        latency_seed: that of the replay provider, so that both simulate the same latencies.
        """
        rows = tuple(records)
        models = tuple(m for m in RECORDED_PRICES if all(m in row.arms for row in rows))
        shape = (len(rows), len(models))
        quality, cost, latency = np.empty(shape), np.empty(shape), np.empty(shape)
        for i, row in enumerate(rows):
            size = len(row.prompt.encode("utf-8", "surrogatepass"))
            for j, model in enumerate(models):
                arm = row.arms[model]
                usage = tokens_of_cost(arm.cost_nano_usd, size, RECORDED_PRICES[model])
                quality[i, j] = arm.reward
                cost[i, j] = arm.cost_nano_usd / NANO
                latency[i, j] = latency_of(latency_seed, row.prompt, model, usage.output_tokens)
        return cls(models, tuple(row.task_class for row in rows), quality, cost, latency)

    def utility(self, objective: Objective) -> Floats:
        """Return what each answer was worth under an objective, in US dollars; (n_prompts, n_models)."""
        worth = objective.usd_per_quality * self.quality
        return np.asarray(worth - self.cost_usd - objective.usd_per_second * self.latency_s)

    def rows(self, index: Sequence[int] | NDArray[np.int64]) -> Table:
        """Return the outcomes of some prompts, in the order given."""
        at = np.asarray(index, dtype=np.int64)
        return Table(
            self.models,
            tuple(self.task_classes[i] for i in at.tolist()),
            self.quality[at],
            self.cost_usd[at],
            self.latency_s[at],
        )

    def repriced(self, model: str, factor: float) -> Table:
        """Return the outcomes as they would be were a model so many times as dear."""
        cost = self.cost_usd.copy()
        cost[:, self.models.index(model)] *= factor
        return Table(self.models, self.task_classes, self.quality, cost, self.latency_s)
