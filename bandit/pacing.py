"""A budget as a price: the mean spend of a request held at B, without a horizon, for one scope.

Three parts, each a few numbers; c^ is the predicted cost of a call, in USD, and x = bank / B.

1. The bank: what was saved against the budget, never more than `full` requests' worth. It opens with `opening` budgets.

       a call leaves:  bank <- min(bank + B - c^, full B)
       its bill comes: bank <- min(bank + c^ - bill, full B)

   so that a call without a bill counts at its prediction. Dollars are not learned, but how far bills lie from
   predictions is: c^ = predicted * kappa, kappa = (sum of bills + P) / (sum of predictions + P), with P worth `trust`
   mean predictions.

2. The price lambda, in quality per USD: the dual of  max sum_k f_k q  subject to  sum_k f_k c^ <= B_t.

       B_t / B = clip(1 - saving + x / slow,  1 - saving (1 - x / reserve),  1 + (x - reserve) / fast)

   for x < 0, 0 <= x < reserve and above. Fixed stratified draws of each model's quality stand in for its mean, so that
   the policy that is priced is the one that is served (Thompson sampling), and the price moves smoothly. Bisection has
   no learning rate: a changed price of a model is answered by the next solution. Where beliefs are sure, two models are
   worth the same at lambda: a little above it the spend is too small, a little below too large, and only a mixture
   spends B_t, as in the linear programme. So a share s of the traffic is served at a price `SPREAD` lower:

       s spend(lambda / (1 + SPREAD)) + (1 - s) spend(lambda) = B_t

3. The ceiling: one call may cost many budgets. A model is permitted when it is the cheapest, when c^ is at most free B,
   or when c^ + min(sd, c^) <= bank + lending B. It guards the bank against single bills; a debt is the price's affair,
   which takes it from where quality is cheapest, while a ceiling takes it from whoever asks for a dear class.

Where even the cheapest models cost more than B, lambda goes to its upper end: they are served, and `short` says so.

The state is advisory: it may be rebuilt or lost without a belief changing, and lambda is recorded with each decision.
A solution costs O(classes x draws x models x 12), about 0.3 ms for 16 x 16 x 16; few classes get more draws each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_LOWEST, _HIGHEST = 1e-4, 1e4  # of lambda B
_NEAR = 0.7  # most solutions lie within a factor of 2 of the one before, in logarithms
_LEAST_COST = 1e-12  # USD; a smaller prediction says nothing about bills
_MOST_OFF = 1e3  # no correction is larger, whatever was billed
_TOLERANCE = 1e-3  # of log lambda
SPREAD = 0.04  # between the two prices, wide enough that beliefs stay between them until the next solution
_OUT = -1e300  # utility of a model that is not permitted
_SEED = 5  # the draws are fixed: a price is a function of what it is made from


@dataclass(frozen=True, slots=True)
class PacingSettings:
    """How a budget is held; in units of the budget of a request, or of requests."""

    opening: float = 10.0  # savings at the beginning: what may be overspent once
    reserve: float = 30.0  # savings to hold against heavy-tailed bills
    full: float = 40.0  # savings never exceed this, which bounds what a later window can overspend
    debt: float = 200.0  # beyond it debt is written off: while nothing was affordable it would grow for ever
    lending: float = 15.0  # how far one dear call may draw the bank below zero
    free: float = 3.0  # a model this cheap is permitted whatever the bank is
    saving: float = 0.03  # share that is saved while the bank is empty
    slow: float = 200.0  # requests over which debt is paid back
    fast: float = 50.0  # requests over which savings above the reserve are spent
    lowest: float = 0.25  # bounds of B_t / B
    highest: float = 2.0
    memory: float = 0.005  # weight of one request in the mix of classes
    every: int = 8  # requests between two solutions
    eager: int = 32  # the first requests, each of which gets a solution of its own
    draws: int = 256  # of each model's quality, over all classes
    least_draws: int = 16  # in one class
    classes: int = 32  # the largest classes, which are priced
    trust: float = 20.0  # calls whose bills count as much as the prediction alone
    boost: float = 0.5  # added to the temper of a model never called, halved after `youth` calls
    youth: float = 2.0


class PacerState(NamedTuple):
    """A pacer as plain values."""

    bank: float  # budgets
    price: float  # quality per USD
    requests: int
    mix: list[tuple[int, float]]  # class, share
    bills: list[tuple[int, float, float, int]]  # model, billed, predicted (USD), how many bills
    lower_share: float = 0.0


class Priced(NamedTuple):
    """What one solution is made from: K classes of the mix, M models."""

    share: Floats  # (K,), sums to 1
    quality: Floats  # (K, M), utility over the worth of a unit of quality, before the budget's price
    sd: Floats  # (K, M), tempered
    cost: Floats  # (K, M), USD
    cost_sd: Floats  # (K, M), USD
    eligible: Mask  # (K, M), at least one in each row
    exploration: float  # share of traffic that is served whatever the price is


class Pacer:
    """Bank, mix of classes and price of one scope. Models and classes are small non-negative integers."""

    def __init__(self, budget: float, settings: PacingSettings | None = None) -> None:
        if not (math.isfinite(budget) and budget > 0.0):
            raise ValueError(f"budget is {budget}; it must be finite and above 0")
        self.budget = budget  # USD a request
        self.settings = settings or PacingSettings()
        self.bank = self.settings.opening * budget  # USD
        self.price = 0.0  # lambda, quality per USD
        self.lower_share = 0.0  # of traffic, that is served at `lower_price`
        self.short = False  # even the cheapest models cost more than the budget
        self.requests = 0
        self._mix: dict[int, float] = {}
        self._scale = 1.0  # weights grow instead of decaying: a share is weight / sum
        self._billed: dict[int, float] = {}
        self._predicted: dict[int, float] = {}
        self._bills: dict[int, int] = {}
        self._normal: dict[int, Floats] = {}  # by number of draws

    def __repr__(self) -> str:
        return (
            f"Pacer(budget={self.budget:g} USD, bank={self.bank / self.budget:.1f} budgets, price={self.price:g}, "
            f"requests={self.requests}{', short' if self.short else ''})"
        )

    # -- bills -----------------------------------------------------------------------------------------------------

    def reserve(self, predicted: float) -> None:
        """Book the budget of a request, and what its call is predicted to cost, USD."""
        self._put(self.budget - predicted)

    def settle(self, predicted: float, bill: float) -> None:
        """Put a bill in the place of a prediction, USD."""
        self._put(predicted - bill)

    def _put(self, amount: float) -> None:
        if math.isfinite(amount):
            most, least = self.settings.full * self.budget, -self.settings.debt * self.budget
            self.bank = max(min(self.bank + amount, most), least)

    def compare(self, model: int, raw: float, bill: float) -> None:
        """Learn from a bill how far a model's predictions are off; raw: predicted before `correction`, USD."""
        if not (math.isfinite(raw) and math.isfinite(bill)) or raw < _LEAST_COST or bill < 0.0:
            return
        self._billed[model] = self._billed.get(model, 0.0) + bill
        self._predicted[model] = self._predicted.get(model, 0.0) + raw
        self._bills[model] = self._bills.get(model, 0) + 1

    def correction(self, model: int) -> float:
        """Return kappa, bills over predictions, shrunk to 1."""
        count = self._bills.get(model, 0)
        if not count:
            return 1.0
        predicted = self._predicted[model]
        prior = self.settings.trust * predicted / count
        return min((self._billed[model] + prior) / (predicted + prior), _MOST_OFF)

    # -- one request -----------------------------------------------------------------------------------------------

    def seen(self, task_class: int) -> bool:
        """Count a request; return whether a new solution is due."""
        settings = self.settings
        self._scale /= 1.0 - settings.memory
        self._mix[task_class] = self._mix.get(task_class, 0.0) + self._scale
        if self._scale > 1e12:
            self._mix = {k: w / self._scale for k, w in self._mix.items() if w > 1e-6 * self._scale}
            self._scale = 1.0
        self.requests += 1
        return self.requests <= settings.eager or self.requests % settings.every == 0

    def mix(self) -> list[tuple[int, float]]:
        """Return (class, share) of the largest classes, the largest first; shares sum to 1."""
        largest = sorted(self._mix.items(), key=lambda item: (-item[1], item[0]))[: self.settings.classes]
        total = sum(weight for _, weight in largest)
        return [(task_class, weight / total) for task_class, weight in largest]

    def permitted(self, cost: Sequence[float], sd: Sequence[float]) -> list[bool]:
        """Return which models a request can be paid with; cost, sd: (M,), USD. The cheapest always is one."""
        free, ceiling = self.limits()
        cheapest = min(cost)
        return [c <= cheapest or c <= free or c + min(s, c) <= ceiling for c, s in zip(cost, sd, strict=True)]

    def limits(self) -> tuple[float, float]:
        """Return what a model may cost that is never refused, and the most that a call may come to at present, USD."""
        settings, budget = self.settings, self.budget
        return settings.free * budget, self.bank + settings.lending * budget

    def table(self, given: Priced) -> tuple[Mask, Floats]:
        """Return what `permitted` and `floor` say of every class and model, (K, M) each."""
        free, ceiling = self.limits()
        cost = np.where(given.eligible, given.cost, np.inf)
        permitted = given.eligible & (
            (cost <= cost.min(axis=1, keepdims=True))
            | (cost <= free)
            | (cost + np.minimum(given.cost_sd, cost) <= ceiling)
        )
        share = given.exploration / permitted.sum(axis=1, keepdims=True)
        return permitted, np.where(permitted, share * np.minimum(1.0, self.budget / np.maximum(cost, self.budget)), 0.0)

    def floor(self, cost: Sequence[float], exploration: float) -> list[float]:
        """Return each permitted model's probability beside the price: an even share, less for what is dear."""
        share, budget = exploration / len(cost), self.budget
        return [share if c <= budget else share * budget / c for c in cost]

    def boost(self, calls: int) -> float:
        """Return what a model's temper gains while it is young, which keeps a few bad answers from locking it out."""
        return self.settings.boost / (1.0 + calls / self.settings.youth)

    # -- the price -------------------------------------------------------------------------------------------------

    @property
    def lower_price(self) -> float:
        """The other price, quality per USD."""
        return self.price / (1.0 + SPREAD)

    def target(self) -> float:
        """Return B_t, what to spend on a request at present, USD."""
        settings, x = self.settings, self.bank / self.budget
        if x < 0.0:
            factor = 1.0 - settings.saving + x / settings.slow
        elif x < settings.reserve:
            factor = 1.0 - settings.saving * (1.0 - x / settings.reserve)
        else:
            factor = 1.0 + (x - settings.reserve) / settings.fast
        return self.budget * min(max(factor, settings.lowest), settings.highest)

    def solve(self, given: Priced) -> float:
        """Find, keep and return lambda for the present bank."""
        budget = self.budget
        permitted, floor = self.table(given)
        cost = np.where(permitted, given.cost, 0.0)
        cheapest = np.where(permitted, given.cost, np.inf).min(axis=1)
        self.short = bool((given.share * cheapest).sum() > budget)
        target = max(self.target() - float((given.share[:, None] * floor * cost).sum()), 0.0)
        normals = self._normals(cost.shape[1], len(cost))
        draws = given.quality[:, None, :] + given.sd[:, None, :] * normals
        draws = np.where(permitted[:, None, :], draws, _OUT)  # (K, D, M)
        priced = cost[:, None, :]
        weighted = (given.share / len(normals))[:, None] * cost
        rows = np.arange(len(given.share))[:, None]

        def spend(price: float) -> float:
            return float(weighted[rows, (draws - price * priced).argmax(axis=2)].sum())

        if spend(0.0) <= target:
            self.price = self.lower_share = 0.0
            return 0.0
        low, high = math.log(_LOWEST / budget), math.log(_HIGHEST / budget)
        if self.price > 0.0:
            near = math.log(self.price)
            if spend(math.exp(near - _NEAR)) > target >= spend(math.exp(near + _NEAR)):
                low, high = near - _NEAR, near + _NEAR
        while high - low > _TOLERANCE:
            middle = 0.5 * (low + high)
            if spend(math.exp(middle)) > target:
                low = middle
            else:
                high = middle
        self.price = min(math.exp(high) * math.sqrt(1.0 + SPREAD), _HIGHEST / budget)
        most, least = spend(self.lower_price), spend(self.price)
        self.lower_share = min(max((target - least) / (most - least), 0.0), 1.0) if most > least else 0.0
        return self.price

    def _normals(self, n_models: int, n_classes: int) -> Floats:
        """Return stratified standard normal draws, (draws, n_models); columns stay as they are for models to come."""
        settings = self.settings
        count = settings.draws
        while count > settings.least_draws and count * n_classes > settings.draws:
            count //= 2
        drawn = self._normal.get(count)
        known = 0 if drawn is None else drawn.shape[1]
        if drawn is None or known < n_models:
            strata = _strata(count)
            more = [np.random.default_rng([_SEED, model]).permutation(strata) for model in range(known, n_models)]
            drawn = self._normal[count] = np.column_stack([*([] if drawn is None else [drawn]), *more])
        return drawn[:, :n_models]

    # -- rebuilding ------------------------------------------------------------------------------------------------

    def state(self) -> PacerState:
        """Return what a later pacer of the same budget can go on from."""
        bills = [(m, self._billed[m], self._predicted[m], n) for m, n in sorted(self._bills.items())]
        mix = self.mix() if self._mix else []
        return PacerState(self.bank / self.budget, self.price, self.requests, mix, bills, self.lower_share)

    def restore(self, state: PacerState) -> None:
        """Go on from what `state` returned."""
        self.bank = min(state.bank, self.settings.full) * self.budget
        self.price, self.requests, self.lower_share = state.price, state.requests, state.lower_share
        self._scale = 1.0
        total = min(1.0 / self.settings.memory, float(max(self.requests, 1)))  # requests that the shares stand for
        self._mix = {task_class: share * total for task_class, share in state.mix}
        self._billed = {m: billed for m, billed, _, _ in state.bills}
        self._predicted = {m: predicted for m, _, predicted, _ in state.bills}
        self._bills = {m: count for m, _, _, count in state.bills}


def _strata(count: int) -> Floats:
    """Return the standard normal quantiles in the middle of so many equal parts, (count,); errors below 1e-4."""
    grid = np.arange(-600, 601) / 100.0
    below = [0.5 * math.erfc(-z / math.sqrt(2.0)) for z in grid.tolist()]
    return np.interp((np.arange(count) + 0.5) / count, below, grid)
