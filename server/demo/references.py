"""What to compare with: simple ways to choose, and hindsight that no router can have.

"In hindsight" means that the reference was picked by looking at all outcomes first. A learner that starts from nothing
cannot know them, so to come close is the most that it can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from naiad.bandit.objective import Objective
from naiad.server.demo.outcomes import Floats, Table


@dataclass(frozen=True, slots=True)
class Result:
    """How a way to choose did over the same prompts."""

    name: str
    quality: float  # mean
    spend_usd: float  # in all
    utility_usd: float  # mean of a decision
    note: str = ""


def chosen(name: str, table: Table, objective: Objective, choice: Sequence[int] | NDArray[np.int64]) -> Result:
    """Return the result of choices that were made; choice: positions of models, (n_prompts,)."""
    return mixed(name, table, objective, np.eye(len(table.models))[np.asarray(choice, dtype=np.int64)])


def mixed(name: str, table: Table, objective: Objective, weights: Floats, note: str = "") -> Result:
    """Return the expected result of choosing by chance.

    weights: (n_models,) or (n_prompts, n_models); rows sum to 1.
    """
    weights = np.broadcast_to(weights, table.quality.shape)
    return Result(
        name,
        float((weights * table.quality).sum(axis=1).mean()),
        float((weights * table.cost_usd).sum()),
        float((weights * table.utility(objective)).sum(axis=1).mean()),
        note,
    )


def best_quality(table: Table) -> int:
    """Return the position of the model with the best mean quality, in hindsight."""
    return int(np.argmax(table.quality.mean(axis=0)))


def cheapest(table: Table) -> int:
    """Return the position of the model with the least spend."""
    return int(np.argmin(table.cost_usd.sum(axis=0)))


def best_by_class(table: Table, objective: Objective) -> dict[str, int]:
    """Return the position of the model worth most in each task class, in hindsight."""
    utility = table.utility(objective)
    classes = np.array(table.task_classes)
    return {name: int(np.argmax(utility[classes == name].mean(axis=0))) for name in sorted(set(table.task_classes))}


def same_spend_mix(table: Table, spend_usd: float) -> tuple[int, int, float]:
    """Return (cheaper, dearer, share of the dearer): the two models that, mixed by chance, spend as much, best quality.

    A spend outside what the models can spend takes the nearest model alone.
    """
    spend, quality = table.cost_usd.sum(axis=0), table.quality.mean(axis=0)
    best: tuple[float, int, int, float] | None = None
    for low in range(len(spend)):
        for high in range(len(spend)):
            gap = float(spend[high] - spend[low])
            if gap <= 0.0 or not spend[low] <= spend_usd <= spend[high]:
                continue
            share = (spend_usd - float(spend[low])) / gap
            reached = float(quality[low] + share * (quality[high] - quality[low]))
            if best is None or reached > best[0]:
                best = (reached, low, high, share)
    if best is not None:
        return best[1], best[2], best[3]
    nearest = cheapest(table) if spend_usd < float(spend.min()) else int(np.argmax(spend))
    return nearest, nearest, 0.0


def references(table: Table, objective: Objective, spend_usd: float) -> list[Result]:
    """Return the references for a learner that spent so much on the same prompts."""
    n_models = len(table.models)
    unit = np.eye(n_models)
    best, cheap = best_quality(table), cheapest(table)
    low, high, share = same_spend_mix(table, spend_usd)
    by_class = best_by_class(table, objective)
    short = [name.rpartition("/")[2] for name in table.models]
    mix = f"{share:.1%} {short[high]}, else {short[low]}" if share else short[low]
    return [
        mixed("always the best model (hindsight)", table, objective, unit[best], short[best]),
        mixed("always the cheapest", table, objective, unit[cheap], short[cheap]),
        mixed("random", table, objective, np.full(n_models, 1 / n_models), "each model alike"),
        mixed(
            "static mix, same spend (hindsight)", table, objective,
            (1 - share) * unit[low] + share * unit[high], mix,
        ),
        mixed(
            "best of each class (hindsight)", table, objective,
            unit[[by_class[name] for name in table.task_classes]], "the bound of routing by class",
        ),
    ]  # fmt: skip
