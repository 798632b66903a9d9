"""What always using one model would have cost, in hindsight, and how sure that is.

Compared are decisions that were answered for a known price and for which the model was a candidate. Where it answered
itself, the difference is 0. Of the others in a task class, the model would have read what the answers read and
written W tokens each, so with the prices p a token and r a request that it had when each was decided:

    baseline = sum (input p_in + r) + E[W] sum p_out         saving = baseline - what was spent on them

E[W] is estimated for each task class, from the report's own sums, by one of two laws:

- seen: the model gave n >= 30 answers whose output was counted. E[W] is their mean, with variance s^2 / n; a single
  answer varies by s^2.
- believed: log(1 + W) ~ N(m, v), m known up to a variance b. E[W] = exp(m + (v + b) / 2) - 1, its relative variance
  expm1(b); a single answer varies by E[W]^2 exp(b) expm1(v).

The interval is normal. Variances of single answers, each with its price squared, and of means that were seen add up;
standard deviations of means that are believed add up, because beliefs of task classes are pooled and err together. A
selection remains: within a class, the router's choice must not depend on how long the answer would be beyond what the
model and the number of input tokens say. It does not, as long as it sees nothing else of the request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from naiad.bandit.statistics import SCALE
from naiad.server.costs import Sums

CONFIDENCE = 0.95
_Z = 1.959963984540054  # of a normal interval that covers 95%
ENOUGH = 30  # answers, or scores, from which on their own mean speaks
_MILLION = 1_000_000

Arms = Mapping[tuple[int, int], Sums]  # by (task class, model)


class LogTokens(NamedTuple):
    """What is believed of log(1 + output tokens) of one model in one task class."""

    mean: float
    mean_variance: float  # of the belief about the mean
    noise: float  # variance of a single answer about it
    limit: float = math.inf  # tokens that the model can write


class Written(NamedTuple):
    """Tokens that a model writes in a task class: the mean, its sd, and the sd of a single answer about it."""

    mean: float
    mean_sd: float
    single_sd: float
    seen: bool


class Saving(NamedTuple):
    """What was saved against a model, nano-USD; negative where more was spent."""

    model: int
    decisions: int  # compared
    left_out: int
    cost: int
    baseline_cost: int
    lower: int
    upper: int
    quality_difference: float | None  # None: too few scores

    @property
    def saved(self) -> int:
        """The estimate."""
        return self.baseline_cost - self.cost


def written(sums: Sums, believed: LogTokens) -> Written:
    """Return what a model writes in a task class, from its sums there if it gave enough answers."""
    n = sums.counted
    if n >= ENOUGH:
        mean = sums.counted_output / n
        variance = max(0, sums.counted_square * n - sums.counted_output**2) / (n * (n - 1))
        return Written(mean, math.sqrt(variance / n), math.sqrt(variance), True)
    b, v = believed.mean_variance, believed.noise
    expected = min(math.expm1(believed.mean + (v + b) / 2.0), believed.limit)
    spread = expected * math.sqrt(math.exp(b) * math.expm1(v))
    return Written(expected, expected * math.sqrt(math.expm1(b)), spread, False)


def best_single(arms: Arms, quality: Callable[[int], list[float]], usable: frozenset[int]) -> int | None:
    """Return the best single model in hindsight, None if no usable one could have given half of the answers.

    quality: what is now believed of every model in a task class, from 0 to 1; task classes weigh as they were answered.
    """
    weights: dict[int, int] = {}
    for (task_class, _), sums in arms.items():
        weights[task_class] = weights.get(task_class, 0) + sums.answered
    whole = sum(weights.values())
    able: dict[int, int] = {}
    for (_, model), sums in arms.items():
        able[model] = able.get(model, 0) + sums.answered + sums.could
    rivals = [m for m, count in sorted(able.items()) if m in usable and count and 2 * count >= whole]
    means = {m: sum(w * quality(c)[m] for c, w in weights.items() if w) for m in rivals}
    return max(rivals, key=lambda m: means[m], default=None)


def estimate(
    arms: Arms,
    model: int,
    believed: Callable[[int], LogTokens],
    quality: Callable[[int], list[float]],
) -> Saving | None:
    """Return what was saved against a model; None if it could have given none of the answers.

    believed: of this model, by task class.
    """
    own = {c: sums for (c, m), sums in arms.items() if m == model and (sums.answered or sums.could)}
    if not own:
        return None
    cost = sum(sums.answered_cost + sums.could_cost for sums in own.values())
    instead = spread = seen = straight = 0.0
    fixed = 0
    for task_class, sums in own.items():
        if not sums.could:
            continue
        fixed += sums.could_fixed
        tokens, rate = written(sums, believed(task_class)), sums.could_rate / _MILLION
        instead += tokens.mean * rate
        spread += tokens.single_sd**2 * sums.could_square / _MILLION**2
        common = tokens.mean_sd * rate
        if tokens.seen:
            seen += common**2
        else:
            straight += common
    half = _Z * math.sqrt(spread + seen + straight**2)
    baseline = sum(sums.answered_cost for sums in own.values()) + fixed + round(instead)
    answered = sum(sums.answered for sums in arms.values())
    compared = sum(sums.answered + sums.could for sums in own.values())
    return Saving(
        model,
        compared,
        answered - compared,
        cost,
        baseline,
        math.floor(baseline - cost - half),
        math.ceil(baseline - cost + half),
        _quality_difference(arms, model, quality),
    )


def _quality_difference(arms: Arms, model: int, quality: Callable[[int], list[float]]) -> float | None:
    """Return the mean of the scores less what is believed of a model on the same mix of task classes."""
    scores = sum(sums.scores for sums in arms.values())
    if scores < ENOUGH:
        return None
    mean = sum(sums.score_sum for sums in arms.values()) / (SCALE * scores)
    return mean - sum(s.scores * quality(c)[model] for (c, _), s in arms.items() if s.scores) / scores
