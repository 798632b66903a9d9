"""Hard budgets at work: what may still be spent, what is held for calls under way, what they came to.

Checking and holding are one synchronous step, so that of any number of callers racing for what is left none gets more
than there is. What is held counts in the period in which it was held, and so does the bill that takes its place: a
period's spend never exceeds its limit as long as no call costs more than was held for it. A hold whose time has passed
without a bill is taken for spent in full, since its call may have been made; a bill that comes later corrects that.

Two layers: the accounts, a pure function of the folded log, and beside them `pending`, holds whose events are still on
their way to the disk. Amounts are integer nano-USD, times ms since 1970.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import msgspec

from naiad.server.bills import bill_of, uncertain_of
from naiad.server.catalog import Catalog, Members
from naiad.server.eligibility import Needs, Reason
from naiad.server.errors import NaiadError
from naiad.server.judging import JUDGE_TOKENS
from naiad.server.money import most_of
from naiad.server.periods import bounds_ms, iso
from naiad.server.records import BudgetPut, Exclusion, Hold, ModelPut, Outcome

NANO = 1e9
_INSTRUCTIONS = 400  # tokens that a judge is told besides the task and the answers
UNKNOWN_OUTPUT_TOKENS = 4_096  # written at most by a model of which nothing else is known
_SOON_MS = 60_000  # a period that ends so soon is worth waiting for
_PERIODS = 16  # kept of a budget: bills come late, and clocks are set back
_MOST_OPEN = 100_000  # holds; the oldest beyond are taken for spent
_MOST_MATCHES = 4_000

Key = tuple[int, str]  # (decision, attempt); the attempt of a decision's own hold is ""


class State(NamedTuple):
    """The accounts as a snapshot keeps them."""

    budgets: list[BudgetPut]  # by number
    periods: list[tuple[int, int, int]]  # (budget, beginning, spent)
    open: list[tuple[int, str, Hold]]
    uncertain: tuple[tuple[int, int, int], ...] = ()  # (budget, beginning, of what was spent: see `bills`)


class Standing(NamedTuple):
    """How a budget stands in the period of a moment."""

    spent: int
    reserved: int
    reset_ms: int | None
    uncertain: int = 0  # of what is spent: counted for calls whose bill nobody knows


@dataclass(slots=True)
class _Account:
    entry: BudgetPut
    spent: OrderedDict[int, int] = field(default_factory=OrderedDict)  # by beginning of the period
    uncertain: dict[int, int] = field(default_factory=dict)  # of what was spent, see `bills`
    held: dict[int, int] = field(default_factory=dict)
    pending: dict[int, int] = field(default_factory=dict)
    start: int = 0
    end: int | None = 0

    def period(self, at_ms: int) -> int:
        """Return the beginning of the period that a moment lies in."""
        if self.end is None or not self.start <= at_ms < self.end:
            self.start, self.end = bounds_ms(self.entry.period, at_ms)
        return self.start

    def left(self, at_ms: int) -> int:
        """Return what may still be held; below 0 where calls cost more than was held for them."""
        start = self.period(at_ms)
        used = self.spent.get(start, 0) + self.held.get(start, 0) + self.pending.get(start, 0)
        return self.entry.limit_nano_usd - used

    def spend(self, start: int, amount: int, uncertain: int) -> None:
        """Count what was spent in a period; the oldest periods are forgotten in time.

        uncertain: of the amount, for calls whose bill nobody knows; below 0 where a bill has come.
        """
        if min(amount, uncertain) < 0 and start not in self.spent:  # corrects a period that is forgotten
            amount, uncertain = max(amount, 0), 0
        if amount:
            self.spent[start] = self.spent.get(start, 0) + amount
        _add(self.uncertain, start, uncertain)
        while len(self.spent) > _PERIODS:
            oldest, _ = self.spent.popitem(last=False)
            self.uncertain.pop(oldest, None)

    def hold(self, start: int, amount: int) -> None:
        """Count what is held in a period, or no longer."""
        _add(self.held, start, amount)


@dataclass(frozen=True, slots=True)
class Shortage:
    """A budget that has too little left for a call."""

    entry: BudgetPut
    left: int
    reset_ms: int | None
    need: int
    reserved: int

    def exclusion(self, model: int) -> Exclusion:
        """Return the reason for which a model may not be called."""
        return Exclusion(
            model,
            Reason.BUDGET,
            f"may cost ${self.need / NANO:.4g}; budget {self.entry.budget_id!r} has ${max(self.left, 0) / NANO:.4g} "
            f"left of ${self.entry.limit_nano_usd / NANO:.4g}",
        )


class Ceilings:
    """The hard budgets of one tenant."""

    def __init__(self, catalog: Catalog, default_output_tokens: int | None = None, hold_ms: int = 600_000) -> None:
        self._catalog = catalog
        self._default_output = default_output_tokens
        self.hold_ms = hold_ms
        self._accounts: list[_Account] = []  # by number
        self._numbers: dict[str, int] = {}  # the latest of each id
        self._live: tuple[_Account, ...] = ()
        self._matches: dict[tuple[str, int, str], tuple[_Account, ...]] = {}
        self._open: OrderedDict[Key, Hold] = OrderedDict()
        self._due: list[tuple[int, Key]] = []
        self._pending: dict[Key, Hold] = {}
        self.active = False  # whether any budget is in force

    def __repr__(self) -> str:
        return f"Ceilings(budgets={len(self._live)}, open={len(self._open)}, pending={len(self._pending)})"

    # -- what there is -----------------------------------------------------------------------------------------------

    def entries(self) -> list[BudgetPut]:
        """Return the budgets in force, by id."""
        return sorted((account.entry for account in self._live), key=lambda entry: entry.budget_id)

    def find(self, budget_id: str) -> BudgetPut | None:
        """Return the latest entry of an id, deleted or not, or None."""
        number = self._numbers.get(budget_id)
        return None if number is None else self._accounts[number].entry

    @property
    def next_number(self) -> int:
        """The number of the next budget that is created."""
        return len(self._accounts)

    def standings(self, entries: Iterable[BudgetPut], at_ms: int) -> list[Standing]:
        """Return how budgets stand; holds whose time has passed count as spent. Costs O(holds)."""
        overdue: dict[tuple[int, int], int] = {}
        for hold in self._open.values():
            if hold.until_ms <= at_ms:
                for window in hold.windows:
                    overdue[window] = overdue.get(window, 0) + hold.nano_usd
        found = []
        for entry in entries:
            account = self._accounts[entry.budget]
            start = account.period(at_ms)
            late = overdue.get((entry.budget, start), 0)
            reserved = account.held.get(start, 0) + account.pending.get(start, 0) - late
            spent, uncertain = account.spent.get(start, 0) + late, account.uncertain.get(start, 0) + late
            found.append(Standing(spent, reserved, account.end, uncertain))
        return found

    # -- deciding and reserving --------------------------------------------------------------------------------------

    def output_bound(self, model: ModelPut, needs: Needs) -> int:
        """Return how many tokens a call under a hard budget may write.

        What the caller says; else the configured default, at most what the model can write; never more than its
        context window has room for.
        """
        if needs.explicit_output:
            bound = needs.max_output_tokens
        elif self._default_output is not None:
            bound = self._default_output
        else:
            bound = model.max_output_tokens or UNKNOWN_OUTPUT_TOKENS
        if model.max_output_tokens is not None:
            bound = min(bound, model.max_output_tokens)
        if model.context_window is not None:
            bound = min(bound, max(1, model.context_window - needs.input_tokens))
        return bound

    def _most(self, model: ModelPut, needs: Needs) -> int:
        members = self._catalog.members.get(model.model)
        if members is not None:  # each member may be called, and all may be asked about together
            return sum(self._most(self._catalog.models[m], needs) for m in members.models) + self._most_judged(
                members, needs
            )
        prices = model.prices
        return 0 if prices is None else most_of(prices, needs.input_tokens, self.output_bound(model, needs))

    def _most_judged(self, members: Members, needs: Needs) -> int:
        """Return the most that asking a judge about the members' answers may cost."""
        if members.judge is None:
            return 0
        models = self._catalog.models
        judge, written = models[members.judge], [self.output_bound(models[m], needs) for m in members.models]
        if judge.prices is None:
            return 0
        read = needs.input_tokens + _INSTRUCTIONS
        if members.in_turn:
            return sum(most_of(judge.prices, read + each, JUDGE_TOKENS) for each in written[:-1])
        return most_of(judge.prices, read + sum(written), JUDGE_TOKENS)

    def _matching(self, workflow: str, task_class: int, key: str) -> tuple[_Account, ...]:
        """Return the budgets that hold for a request."""
        scope = (workflow, task_class, key)
        found = self._matches.get(scope)
        if found is None:
            name = self._catalog.task_classes[task_class].name
            found = tuple(
                account
                for account in self._live
                if account.entry.workflow in ("", workflow)
                and account.entry.task_class in ("", name)
                and account.entry.key in ("", key)
            )
            if len(self._matches) >= _MOST_MATCHES:
                self._matches.clear()
            self._matches[scope] = found
        return found

    def permitted(
        self, workflow: str, task_class: int, key: str, needs: Needs, models: list[int], at_ms: int
    ) -> tuple[list[int], list[Exclusion]]:
        """Return the models whose call every budget can pay, and a reason for each other.

        Raises BUDGET_EXHAUSTED when that leaves none.
        """
        accounts = self._matching(workflow, task_class, key)
        if not accounts:
            return models, []
        tightest = min(account.left(at_ms) for account in accounts)
        most = [self._most(self._catalog.models[number], needs) for number in models]
        if max(most) <= tightest:
            return models, []
        fitting: list[int] = []
        short: list[tuple[int, Shortage]] = []
        for number, need in zip(models, most, strict=True):
            shortage = self._shortage(accounts, need, at_ms) if need > tightest else None
            if shortage is None:
                fitting.append(number)
            else:
                short.append((number, shortage))
        if not fitting:
            raise exhausted(min((shortage for _, shortage in short), key=lambda s: s.need), at_ms)
        if not short:
            return models, []
        return fitting, [shortage.exclusion(number) for number, shortage in short]

    def _shortage(self, accounts: tuple[_Account, ...], need: int, at_ms: int) -> Shortage | None:
        """Return the budget that cannot pay for a call, of several the one that renews last.

        A call that costs nothing may always be made.
        """
        found: Shortage | None = None
        for account in accounts if need else ():
            left = account.left(at_ms)
            if need > left:
                reserved = account.held.get(account.start, 0) + account.pending.get(account.start, 0)
                short = Shortage(account.entry, left, account.end, need, reserved)
                if found is None or (found.reset_ms is not None and _later(short.reset_ms, found.reset_ms)):
                    found = short
        return found

    def reserve(
        self, key: Key, scope: tuple[str, int, str], model: ModelPut, needs: Needs, at_ms: int, until_ms: int
    ) -> Hold | Shortage | None:
        """Hold the most that a call may cost, in one step with the check; None where no budget holds for it.

        scope: workflow, number of the task class, public id of the key. The hold counts at once; its event must follow.
        """
        accounts = self._matching(*scope)
        if not accounts:
            return None
        need = self._most(model, needs)
        shortage = self._shortage(accounts, need, at_ms)
        if shortage is not None:
            return shortage
        windows = tuple((account.entry.budget, account.period(at_ms)) for account in accounts)
        hold = Hold(nano_usd=need, until_ms=until_ms, windows=windows)
        self._pending[key] = hold
        for account, (_, start) in zip(accounts, windows, strict=True):
            _add(account.pending, start, need)
        return hold

    # -- folding -----------------------------------------------------------------------------------------------------

    def put(self, entry: BudgetPut) -> None:
        """Take over a budget; a new number must be the next one."""
        if entry.budget == len(self._accounts):
            self._accounts.append(_Account(entry))
        else:
            self._accounts[entry.budget].entry = entry
        self._numbers[entry.budget_id] = entry.budget
        self._live = tuple(account for account in self._accounts if not account.entry.deleted)
        self._matches.clear()
        self.active = bool(self._live)

    def held(self, key: Key, hold: Hold) -> None:
        """Take over a hold from the log."""
        pending = self._pending.pop(key, None)
        if pending is not None:
            for number, start in pending.windows:
                _add(self._accounts[number].pending, start, -pending.nano_usd)
        for number, start in hold.windows:
            self._accounts[number].hold(start, hold.nano_usd)
        self._open[key] = hold
        heappush(self._due, (hold.until_ms, key))
        if len(self._open) > _MOST_OPEN:
            self._charge(next(iter(self._open)))

    def settled(self, uid: int, attempt: str, outcome: Outcome, hold: Hold | None) -> None:
        """Put the bill of an attempt in the place of what was held for it, or was taken for spent already."""
        own = (uid, attempt)
        key = own if own in self._open else (uid, "")
        found = self._open.get(key)
        if found is not None:
            self._close(key, bill_of(outcome, found.nano_usd), uncertain_of(outcome, found.nano_usd) or 0)
        elif hold is not None:  # all of it was spent, and uncertain
            bill, uncertain = bill_of(outcome, hold.nano_usd), uncertain_of(outcome, hold.nano_usd) or 0
            for number, start in hold.windows:
                self._accounts[number].spend(start, bill - hold.nano_usd, uncertain - hold.nano_usd)

    def released(self, key: Key) -> None:
        """Give back what was held for a call that was never made."""
        if key in self._open:
            self._close(key, 0, 0)

    def expire(self, at_ms: int) -> None:
        """Take what is overdue at the time of an event for spent."""
        while self._due and self._due[0][0] <= at_ms:
            until_ms, key = heappop(self._due)
            hold = self._open.get(key)
            if hold is not None and hold.until_ms == until_ms:
                self._charge(key)

    def _charge(self, key: Key) -> None:
        held = self._open[key].nano_usd
        self._close(key, held, held)

    def _close(self, key: Key, spent: int, uncertain: int) -> None:
        hold = self._open.pop(key)
        for number, start in hold.windows:
            account = self._accounts[number]
            account.hold(start, -hold.nano_usd)
            account.spend(start, spent, uncertain)

    # -- snapshots and proof -----------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return what the log folded to, as plain values."""
        return State(
            [account.entry for account in self._accounts],
            [(account.entry.budget, *item) for account in self._accounts for item in account.spent.items()],
            [(*key, hold) for key, hold in self._open.items()],
            tuple((account.entry.budget, *item) for account in self._accounts for item in account.uncertain.items()),
        )

    def restore(self, state: State) -> None:
        """Take over what `state` returned, into accounts that are empty."""
        for entry in state.budgets:
            self.put(entry)
        for number, start, spent in state.periods:
            self._accounts[number].spent[start] = spent
        for number, start, uncertain in state.uncertain:
            self._accounts[number].uncertain[start] = uncertain
        for uid, attempt, hold in state.open:
            for number, start in hold.windows:
                self._accounts[number].hold(start, hold.nano_usd)
            self._open[uid, attempt] = hold
        self._due = [(hold.until_ms, key) for key, hold in self._open.items()]
        heapify(self._due)

    def digest(self) -> str:
        """Return a digest of what the log folded to: equal exactly when that is."""
        return hashlib.sha256(msgspec.json.encode(self.state())).hexdigest()


def exhausted(short: Shortage, at_ms: int) -> NaiadError:
    """Build the error for a request that a hard budget has too little left for."""
    left, reset = max(short.left, 0), short.reset_ms
    wait_ms = None if reset is None else max(reset - at_ms, 0)
    when = "it never renews" if wait_ms is None else f"it renews in {wait_ms / 1000:.0f} s"
    under_way = f", ${short.reserved / NANO:.4g} is held for calls under way" if short.reserved else ""
    return NaiadError(
        "BUDGET_EXHAUSTED",
        f"budget {short.entry.budget_id!r} has ${left / NANO:.4g} left of ${short.entry.limit_nano_usd / NANO:.4g}"
        f"{under_way}, and the cheapest call permitted may cost ${short.need / NANO:.4g}; {when}: wait, ask for fewer "
        "output tokens, or raise the budget with UpdateBudget",
        code="RESOURCE_EXHAUSTED",
        metadata={
            "budget_id": short.entry.budget_id,
            "limit_nano_usd": short.entry.limit_nano_usd,
            "left_nano_usd": left,
            "reset_time": "" if reset is None else iso(reset),
        },
        retry_after_s=wait_ms / 1000 if wait_ms is not None and wait_ms <= _SOON_MS else None,
    )


def _later(reset_ms: int | None, other_ms: int) -> bool:
    return reset_ms is None or reset_ms > other_ms


def _add(amounts: dict[int, int], start: int, amount: int) -> None:
    """Add to one of some amounts; those that come to nothing are left out, so that equal states look alike."""
    left = amounts.get(start, 0) + amount
    if left:
        amounts[start] = left
    else:
        amounts.pop(start, None)
