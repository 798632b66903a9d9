"""What was spent, and what calls in flight may still come to, for limits in dollars.

An account belongs to a model (all that its calls ever cost) or to a day (what exploring below the quality floor cost in
it). A call that a limit bears on is held at the most that it may cost until its bill is known, so that a limit is kept
also while many calls are in flight. Amounts are integer nano-USD.

The state is advisory, as budgets' is: a fold of the log builds it up from the decisions and bills that it sees, and no
belief depends on it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from naiad.server.records import Decided, Outcome

_PENDING = 20_000  # calls whose bills are waited for; older ones are booked at their prediction
DAY_MS = 86_400_000


class Held(NamedTuple):
    """A call whose bill may still come."""

    uid: int
    model: int
    most: int  # what it may cost
    predicted: int
    day: int  # whose allowance it uses, -1 for none


class State(NamedTuple):
    """The accounts as a snapshot keeps them."""

    spent: list[tuple[int, int]]  # (model, nano-USD)
    day: int
    explored: int
    held: list[Held]


class Spending:
    """The accounts of one tenant."""

    def __init__(self) -> None:
        self._spent: dict[int, int] = {}
        self._held: dict[int, int] = {}
        self._day = -1
        self._explored = self._exploring = 0  # of the day: spent, and held
        self._calls: OrderedDict[int, Held] = OrderedDict()

    def of_model(self, model: int) -> int:
        """Return what a model has cost, calls in flight at the most that they may come to."""
        return self._spent.get(model, 0) + self._held.get(model, 0)

    def of_day(self, day: int) -> int:
        """Return what exploring below the floor cost in a day, in the same way; an earlier day counts as the latest."""
        return 0 if day > self._day else self._explored + self._exploring

    def hold(self, call: Held) -> None:
        """Hold what a call may cost; one that is held already stays as it is."""
        if call.uid in self._calls:
            return
        if call.day > self._day:
            self._day, self._explored, self._exploring = call.day, 0, 0
        elif call.day >= 0:
            call = call._replace(day=self._day)
        self._calls[call.uid] = call
        self._held[call.model] = self._held.get(call.model, 0) + call.most
        if call.day == self._day:
            self._exploring += call.most
        if len(self._calls) > _PENDING:
            oldest = next(iter(self._calls.values()))
            self._release(oldest, oldest.predicted)

    def folded(self, record: Decided) -> None:
        """Take over a decision from the log."""
        limits = record.limits
        if limits is not None and limits.most:
            predicted = round(record.cost[record.models.index(record.model)])
            day = record.at_ms // DAY_MS if limits.outside else -1
            self.hold(Held(record.uid, record.model, limits.most, predicted, day))

    def billed(self, uid: int, outcome: Outcome) -> None:
        """Book what an attempt cost, in the place of what was held for it.

        A success whose cost is not known costs what was predicted of a call held, a failure without a cost nothing.
        """
        call = self._calls.get(uid)
        cost = None if outcome.cost is None else outcome.cost.total
        if call is not None and call.model == outcome.model:
            self._release(call, (0 if outcome.failed else call.predicted) if cost is None else cost)
        elif cost is not None:
            self._spent[outcome.model] = self._spent.get(outcome.model, 0) + cost

    def _release(self, call: Held, cost: int) -> None:
        """Book the cost of a call that was held."""
        del self._calls[call.uid]
        self._held[call.model] -= call.most
        self._spent[call.model] = self._spent.get(call.model, 0) + cost
        if call.day >= 0 and call.day == self._day:
            self._exploring -= call.most
            self._explored += cost

    def state(self) -> State:
        """Return the accounts as plain values."""
        return State(sorted(self._spent.items()), self._day, self._explored, list(self._calls.values()))

    def restore(self, state: State) -> None:
        """Take over what `state` returned, into accounts that are empty."""
        self._spent.update(state.spent)
        self._day, self._explored = state.day, state.explored
        for call in state.held:
            self.hold(call)
