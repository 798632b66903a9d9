"""Limits on learning that a policy sets: newcomers' caps in traffic and dollars, and the allowance below the floor.

A model is new while fewer than `newcomer_calls` calls of it were judged, over all task classes of the tenant; a thumb
is half a judgement. That is read off the statistics, so that every replica and replay agrees on who is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import ceil

from naiad.bandit.newcomers import hold_back
from naiad.bandit.objective import NANO, Objective, Predictions, Serving, Strategy
from naiad.bandit.statistics import UNIT_WEIGHT, Measure, Statistics
from naiad.server.catalog import Catalog
from naiad.server.eligibility import Needs, Reason
from naiad.server.records import Change, Exclusion, Limited, PolicySet
from naiad.server.spending import DAY_MS, Spending

FLOORED = (Strategy.COST_OPTIMIZED, Strategy.LATENCY_OPTIMIZED)


class Judged:
    """How much of each model was judged, in weight of quality observations; a function of the statistics."""

    def __init__(self) -> None:
        self._weights: Counter[int] = Counter()

    def take(self, changes: Iterable[Change]) -> None:
        """Count what an event changes."""
        for change in changes:
            if change.measure == Measure.QUALITY:
                self._weights[change.model] += change.weight

    def restore(self, statistics: Statistics) -> None:
        """Count what statistics hold."""
        self._weights.clear()
        for (_, model, measure), _, (weight, _, _) in statistics.items():
            if measure == Measure.QUALITY:
                self._weights[model] += weight

    def calls(self, model: int) -> float:
        """Return how many calls of a model were judged."""
        return self._weights[model] / UNIT_WEIGHT


def limits_of(policy: PolicySet, catalog: Catalog, judged: Judged, spending: Spending) -> Limits | None:
    """Return the limits that a policy sets, None if it sets none."""
    if policy.newcomer_calls == 0 and policy.allowance_nano_usd is None:
        return None
    return Limits(policy, catalog, judged, spending)


class Limits:
    """The limits of one policy."""

    def __init__(self, policy: PolicySet, catalog: Catalog, judged: Judged, spending: Spending) -> None:
        self._policy = policy
        self._catalog = catalog
        self._judged = judged
        self._spending = spending

    def begin(
        self, objective: Objective, needs: Needs, models: list[int], excluded: list[Exclusion], seen: Predictions,
        at_ms: int,
    ) -> tuple[Bound, list[int], list[Exclusion], Predictions]:  # fmt: skip
        """Return what binds one request, and its candidates without newcomers whose dollars are used up."""
        policy = self._policy
        most = {model: self._most(model, needs) for model in models}
        new = {m: calls for m in models if (calls := self._judged.calls(m)) < policy.newcomer_calls}
        if len(new) == len(models):
            new = {}  # nobody is known: somebody has to be tried
        spent = self._over(new, most)
        if spent:
            at = [i for i, model in enumerate(models) if model not in spent]
            models, seen = [models[i] for i in at], seen.few(at)
            excluded = [*excluded, *spent.values()]
        day, left = at_ms // DAY_MS, None
        if policy.allowance_nano_usd is not None and objective.strategy in FLOORED:
            left = policy.allowance_nano_usd - self._spending.of_day(day)
        return Bound(policy, new, most, left), models, excluded, seen

    def _most(self, model: int, needs: Needs) -> int:
        """Return the most that a call may cost, nano-USD: all the output that it is permitted."""
        rate = self._catalog.rates[model]
        output = min(float(needs.max_output_tokens), rate.output_limit)
        return ceil(needs.input_tokens * rate.input + output * rate.output + rate.request)

    def _over(self, new: dict[int, float], most: dict[int, int]) -> dict[int, Exclusion]:
        """Return the newcomers whose dollars do not pay for another call."""
        cap = self._policy.newcomer_nano_usd
        if cap is None:
            return {}
        found = {}
        for model, calls in new.items():
            left = cap - self._spending.of_model(model)
            if most[model] > left:
                found[model] = Exclusion(
                    model,
                    Reason.NEWCOMER_CAP,
                    f"is new ({calls:g} of {self._policy.newcomer_calls} judged calls) and may cost ${cap / NANO:g} in "
                    f"all until it is not; ${max(left, 0) / NANO:.3g} of that is left, and this call may cost "
                    f"${most[model] / NANO:.3g}",
                )
        return found


class Bound:
    """What the limits make of one request."""

    def __init__(self, policy: PolicySet, new: dict[int, float], most: dict[int, int], left: int | None) -> None:
        self._policy = policy
        self._new = new
        self._most = most
        self._left = left
        self._would: float | None = None

    def barred(self, models: Sequence[int]) -> list[bool] | None:
        """Return which models the day's allowance cannot pay, None without an allowance."""
        left = self._left
        return None if left is None else [self._most[model] > left for model in models]

    def temper(self, models: Sequence[int], usual: Sequence[float]) -> list[float] | None:
        """Return the models' tempers, newcomers' untempered: their cap bounds what that costs. None without any."""
        if not self._new:
            return None
        return [max(own, 1.0) if model in self._new else own for model, own in zip(models, usual, strict=True)]

    def hold_back(self, models: Sequence[int], serving: Serving, among: Callable[[list[int]], Serving]) -> Serving:
        """Return the serving with newcomers at their share of the traffic."""
        if not self._new:
            return serving
        new = [model in self._new for model in models]
        serving, self._would = hold_back(serving, new, self._policy.newcomer_share, among)
        return serving

    def keeps(self, models: Sequence[int], serving: Serving, at: int) -> bool:
        """Return whether a session may stay at a model: not below the floor when the allowance cannot pay for it."""
        return self._left is None or not _outside(serving, at) or self._most[models[at]] <= self._left

    def record(self, models: Sequence[int], serving: Serving, chosen: int) -> Limited | None:
        """Return what the log keeps of it, None if nothing was bound and nothing is to be held."""
        model = models[chosen]
        left = self._left
        outside = left is not None and _outside(serving, chosen)
        barred = []
        if left is not None:
            barred = [m for i, m in enumerate(models) if _outside(serving, i) and self._most[m] > left]
        held = outside or (model in self._new and self._policy.newcomer_nano_usd is not None)
        if self._would is None and not barred and not held:
            return None
        return Limited(
            most=self._most[model] if held else 0,
            outside=outside,
            new=[m for m in models if m in self._new] if self._would is not None else [],
            would=self._would,
            share=self._policy.newcomer_share if self._would is not None else 0.0,
            barred=barred,
            left=left if barred else None,
        )


def _outside(serving: Serving, at: int) -> bool:
    """Return whether a model lies outside the set that surely holds the floor, where there is such a set."""
    return bool(serving.safe) and not serving.safe[at]
