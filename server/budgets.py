"""Budgets at work: which pacer holds for a decision, what it permits, what it costs, and the bills that come back.

A scope is the level that set the budget: the policy, a workflow or a task class. Its state is advisory: a fold of the
log builds it up again from the decisions and bills that it sees, beliefs and statistics never depend on it.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from naiad.bandit.objective import (
    NANO,
    Exploration,
    Objective,
    Pace,
    Predictions,
    Serving,
    Strategy,
    serve_paced,
    utilities,
    worth_of_quality,
)
from naiad.bandit.pacing import Pacer, PacerState, Priced
from naiad.server.catalog import Catalog
from naiad.server.eligibility import Eligibility, Needs, Reason
from naiad.server.errors import NaiadError
from naiad.server.objectives import Level
from naiad.server.prediction import Predictor
from naiad.server.records import Budget, Decided, Exclusion, Outcome

_PENDING = 20_000  # decisions whose bills are waited for; older ones stay counted at their prediction
_REFRESH = 64  # requests after which every class of the mix is looked at anew
_TYPICAL = 1 / 32  # weight of one request in the typical size of a class's requests, once there were so many

Calls = Callable[[int], int]  # model -> decisions for it so far


class Steered(NamedTuple):
    """What a budget makes of a request; the lists run over the models that it permits."""

    models: list[int]
    excluded: list[Exclusion]
    seen: Predictions  # costs corrected by the bills before
    serving: Serving
    budget: Budget
    pace: Pace


class State(NamedTuple):
    """A scope as a snapshot keeps it."""

    scope: str
    key: int | str
    usd_per_request: float
    uid: int  # of the latest decision that is booked
    pacer: PacerState


@dataclass(slots=True)
class _Typical:
    """What the latest requests of a class in a scope asked for."""

    objective: Objective
    needs: Needs
    count: int = 0
    input_tokens: float = 0.0
    output_tokens: float = 0.0

    def take(self, objective: Objective, needs: Needs) -> None:
        """Take over a request."""
        self.objective, self.needs = objective, needs
        self.count += 1
        weight = max(1.0 / self.count, _TYPICAL)
        self.input_tokens += weight * (needs.input_tokens - self.input_tokens)
        self.output_tokens += weight * (needs.max_output_tokens - self.output_tokens)

    def request(self) -> Needs:
        """Return the needs of a request of typical size."""
        return self.needs._replace(
            input_tokens=round(self.input_tokens), max_output_tokens=max(1, round(self.output_tokens))
        )


class _Row(NamedTuple):
    """What was believed of a class's typical request when the class was last asked for; over all eligible models."""

    models: list[int]
    quality: list[float]  # utility over the worth of a unit of quality
    sd: list[float]
    cost: list[float]  # USD
    cost_sd: list[float]


@dataclass(slots=True)
class _Scope:
    level: Level
    pacer: Pacer
    uid: int = 0  # of the latest decision that is booked
    version: int = -1  # of the catalogue that was last priced
    typical: dict[int, _Typical] = field(default_factory=dict)
    rows: dict[int, _Row | None] = field(default_factory=dict)

    def take(self, task_class: int, objective: Objective, needs: Needs) -> bool:
        """Count a request; return whether the pacer's price is due."""
        typical = self.typical.get(task_class)
        if typical is None:
            typical = self.typical[task_class] = _Typical(objective, needs)
        typical.take(objective, needs)
        return self.pacer.seen(task_class)


@dataclass(slots=True)
class _Pending:
    """A decision whose bills may still come; amounts in USD."""

    scope: _Scope
    model: int
    predicted: float  # what of the prediction still stands for bills
    raw: float  # the prediction before its correction; 0 once it was compared with a bill
    bills: dict[str, float] = field(default_factory=dict)  # by attempt


class Budgets:
    """The pacers of one tenant."""

    def __init__(self, catalog: Catalog, eligibility: Eligibility, predictor: Predictor, calls: Calls) -> None:
        self._catalog = catalog
        self._eligibility = eligibility
        self._predictor = predictor
        self._calls = calls
        self._scopes: dict[tuple[str, int | str], _Scope] = {}
        self._pending: OrderedDict[int, _Pending] = OrderedDict()

    def _scope(self, level: Level) -> _Scope:
        """Return the scope of a level; another budget than before begins anew."""
        found = self._scopes.get(level[:2])
        if found is None or found.level != level:
            found = self._scopes[level[:2]] = _Scope(level, Pacer(level.usd_per_request))
        return found

    def pacer(self, level: Level) -> Pacer:
        """Return the pacer of a level."""
        return self._scope(level).pacer

    def reprice(self) -> None:
        """Find every price anew at its next decision: the policy changed."""
        for scope in self._scopes.values():
            scope.version = -1

    # -- deciding --------------------------------------------------------------------------------------------------

    def steer(
        self, level: Level, objective: Objective, exploration: Exploration, task_class: int, needs: Needs,
        policy_models: frozenset[str], models: list[int], excluded: list[Exclusion], seen: Predictions,
    ) -> Steered:  # fmt: skip
        """Return the models that the budget permits, and their serving probabilities; counts the request."""
        scope = self._scope(level)
        pacer = scope.pacer
        due = scope.take(task_class, objective, needs)
        changed = scope.version != self._catalog.version
        if changed or pacer.requests <= pacer.settings.eager or pacer.requests % _REFRESH == 0:
            scope.rows.clear()
            due, scope.version = True, self._catalog.version
        scope.rows[task_class] = self._row(scope, task_class, policy_models, exploration)
        if due:
            self._solve(scope, policy_models, exploration)
        models, dear, seen = self._affordable(pacer, models, seen)
        costs = [cost / NANO for cost in seen.cost]
        pace = Pace(
            pacer.price, self._tempers(pacer, models, exploration), pacer.floor(costs, exploration.floor),
            pacer.lower_price, pacer.lower_share,
        )  # fmt: skip
        serving = serve_paced(objective, seen, pace)
        budget = Budget(
            scope=level.scope, usd_per_request=level.usd_per_request, price=pacer.price,
            lower_share=pacer.lower_share, bank=pacer.bank,
            short=pacer.short and pacer.requests > pacer.settings.eager,
        )  # fmt: skip
        return Steered(models, excluded + dear if dear else excluded, seen, serving, budget, pace)

    def preview(self, level: Level, *asked: Any) -> Steered:
        """Return what `steer` would, and count nothing."""
        kept = self._scopes.get(level[:2])
        try:
            if kept is not None:
                self._scopes[level[:2]] = copy.deepcopy(kept)
            return self.steer(level, *asked)
        finally:
            if kept is None:
                del self._scopes[level[:2]]
            else:
                self._scopes[level[:2]] = kept

    def _tempers(self, pacer: Pacer, models: list[int], exploration: Exploration) -> list[float]:
        return [exploration.temper + pacer.boost(self._calls(model)) for model in models]

    def _affordable(
        self, pacer: Pacer, models: list[int], seen: Predictions
    ) -> tuple[list[int], list[Exclusion], Predictions]:
        """Correct the costs, and leave out what one request cannot be paid with."""
        factors = [pacer.correction(model) for model in models]
        cost = [c * f for c, f in zip(seen.cost, factors, strict=True)]
        sd = [s * f for s, f in zip(seen.cost_sd, factors, strict=True)]
        seen = seen._replace(cost=cost, cost_sd=sd)
        permitted = pacer.permitted([c / NANO for c in cost], [s / NANO for s in sd])
        if all(permitted):
            return models, [], seen
        left = pacer.bank + pacer.settings.lending * pacer.budget
        dear = [
            Exclusion(
                model,
                Reason.BUDGET,
                f"is expected to cost ${c / NANO:.3g}; the budget of ${pacer.budget:.3g} a request leaves at most "
                f"${max(left, 0.0):.3g} for one at present",
            )
            for model, c, fits in zip(models, cost, permitted, strict=True)
            if not fits
        ]
        at = [i for i, fits in enumerate(permitted) if fits]
        return [models[i] for i in at], dear, Predictions(*([values[i] for i in at] for values in seen))

    def _row(
        self, scope: _Scope, task_class: int, policy_models: frozenset[str], exploration: Exploration
    ) -> _Row | None:
        """Return what is believed and priced at this moment; None when nobody can serve such a request any more."""
        typical = scope.typical.get(task_class)
        if typical is None:  # of a snapshot: the class's next request will tell
            return None
        needs = typical.request()
        try:
            models, _ = self._eligibility.split(needs, policy_models, at_present=False)
        except NaiadError:
            return None
        seen = self._predictor.predict(task_class, models, needs.input_tokens, needs.max_output_tokens)
        factors = [scope.pacer.correction(model) for model in models]
        seen = seen._replace(cost=[c * f for c, f in zip(seen.cost, factors, strict=True)])
        value, scale = utilities(typical.objective, seen)
        unit = worth_of_quality(typical.objective)
        scale /= unit
        tempers = self._tempers(scope.pacer, models, exploration)
        return _Row(
            models,
            [v / unit for v in value],
            [scale * t * s for t, s in zip(tempers, seen.contrast_sd, strict=True)],
            [c / NANO for c in seen.cost],
            [s * f / NANO for s, f in zip(seen.cost_sd, factors, strict=True)],
        )  # fmt: skip

    def _solve(self, scope: _Scope, policy_models: frozenset[str], exploration: Exploration) -> None:
        """Find the price anew; rows of classes that were not asked for lately are a little old, which spares work."""
        shares, rows = [], []
        for task_class, share in scope.pacer.mix():
            if task_class not in scope.rows:
                scope.rows[task_class] = self._row(scope, task_class, policy_models, exploration)
            row = scope.rows[task_class]
            if row is not None:
                shares.append(share)
                rows.append(row)
        if not rows:
            return
        tables = np.zeros((4, len(rows), len(self._catalog.models)))
        eligible = np.zeros(tables.shape[1:], dtype=np.bool_)
        for at, (models, *values) in enumerate(rows):
            eligible[at, models] = True
            tables[:, at, models] = values
        share_of = np.array(shares)
        quality, sd, cost, cost_sd = tables
        scope.pacer.solve(Priced(share_of / share_of.sum(), quality, sd, cost, cost_sd, eligible, exploration.floor))

    # -- bills -----------------------------------------------------------------------------------------------------

    def decided(self, level: Level, record: Decided) -> None:
        """Book a decision that was just made at its prediction."""
        self._book(self._scope(level), record)

    def _book(self, scope: _Scope, record: Decided) -> None:
        predicted = record.cost[record.models.index(record.model)] / NANO
        if record.uid > scope.uid:
            scope.uid = record.uid
            scope.pacer.reserve(predicted)
        raw = predicted / scope.pacer.correction(record.model)
        self._pending[record.uid] = _Pending(scope, record.model, predicted, raw)
        if len(self._pending) > _PENDING:
            self._pending.popitem(last=False)

    def folded(self, record: Decided) -> None:
        """Take over a decision from the log, unless this process made it."""
        if record.budget is None or record.uid in self._pending:
            return
        keys: dict[str, int | str] = {"task_class": record.task_class, "workflow": record.workflow, "policy": ""}
        scope_name = record.budget.scope
        level = Level(scope_name, keys[scope_name], record.budget.usd_per_request)
        scope = self._scope(level)
        if record.uid > scope.uid:
            if scope.uid == 0:
                scope.pacer.bank = record.budget.bank
            strategy, *parameters = record.objective
            needs = Needs(record.input_tokens, record.max_output_tokens, data_class=record.data_class)
            scope.take(record.task_class, Objective(Strategy(int(strategy)), *parameters), needs)
            scope.pacer.price, scope.pacer.lower_share = record.budget.price, record.budget.lower_share
        self._book(scope, record)

    def billed(self, uid: int, attempt: str, outcome: Outcome) -> None:
        """Put the bill of an attempt in the place of its decision's prediction; another one for it replaces the first.

        A success whose cost is not known stays at its prediction, a failure without one cost nothing.
        """
        pending = self._pending.get(uid)
        if pending is None or (outcome.cost is None and not outcome.failed):
            return
        bill = 0.0 if outcome.cost is None else outcome.cost.total / NANO
        pacer = pending.scope.pacer
        pacer.settle(pending.predicted + pending.bills.get(attempt, 0.0), bill)
        pending.predicted = 0.0
        pending.bills[attempt] = bill
        if not outcome.failed and outcome.model == pending.model and outcome.usage.claim is None:
            pacer.compare(pending.model, pending.raw, bill)
            pending.raw = 0.0

    # -- snapshots -------------------------------------------------------------------------------------------------

    def state(self) -> list[State]:
        """Return every scope as plain values."""
        return [
            State(*scope.level, scope.uid, scope.pacer.state())
            for _, scope in sorted(self._scopes.items(), key=lambda item: (item[0][0], str(item[0][1])))
        ]

    def restore(self, states: list[State]) -> None:
        """Take over what `state` returned."""
        for state in states:
            scope = self._scope(Level(*state[:3]))
            scope.uid = state.uid
            scope.pacer.restore(state.pacer)
