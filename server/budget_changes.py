"""Changes of hard budgets: created, updated and deleted, each an event in the log; one change at a time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.inventory import FROM_CONFIGURATION, Deleted, check_revision
from naiad.server.journal import Journal, Request
from naiad.server.records import BudgetPut
from naiad.server.turns import Turns

MOST_BUDGETS = 1_000
_FIXED = ("workflow", "task_class", "key", "period")  # what is counted: another count is another budget


class BudgetChanges:
    """The only way to change budgets.

    knows_key: whether a public id is that of a key; a budget for a key that nobody holds would never bind.
    """

    def __init__(
        self, journal: Journal, engine: Engine, now_ms: Callable[[], int], knows_key: Callable[[str], bool]
    ) -> None:
        self._journal = journal
        self._catalog = engine.catalog
        self._ceilings = engine.ceilings
        self._now_ms = now_ms
        self._knows_key = knows_key
        self._alone = Turns().take

    def known(self, budget_id: str) -> BudgetPut:
        """Return a budget in force; raises UNKNOWN_BUDGET."""
        found = self._ceilings.find(budget_id)
        if found is None or found.deleted:
            raise NaiadError(
                "UNKNOWN_BUDGET",
                f"there is no budget {budget_id!r}; list the budgets with ListBudgets, or create it with CreateBudget",
                code="NOT_FOUND",
                metadata={"budget_id": budget_id},
            )
        return found

    async def create(self, wanted: BudgetPut, request: Request) -> BudgetPut:
        """Add a budget, which counts from now on; raises BUDGET_ALREADY_EXISTS and what its scope is refused with."""

        async def change() -> BudgetPut:
            earlier = await self._journal.earlier(request, BudgetPut)
            if earlier is not None:
                return earlier
            budget_id = wanted.budget_id or f"budget-{uuid.uuid4().hex[:12]}"
            known = self._ceilings.find(budget_id)
            if known is not None and not known.deleted:
                raise NaiadError(
                    "BUDGET_ALREADY_EXISTS",
                    f"budget {budget_id!r} exists at revision {known.revision}; change it with UpdateBudget",
                    code="ALREADY_EXISTS",
                    metadata={"budget_id": budget_id, "revision": known.revision},
                )
            self._check_scope(wanted)
            self._check_room()
            entry = self._new(msgspec.structs.replace(wanted, budget_id=budget_id), known)
            await self._journal.append(entry, request=request, reply=entry)
            return entry

        return await self._alone(change)

    def _new(self, wanted: BudgetPut, known: BudgetPut | None) -> BudgetPut:
        """Return a budget under a number of its own: nothing is spent of it yet."""
        now = self._now_ms()
        return msgspec.structs.replace(
            wanted,
            budget=self._ceilings.next_number,
            revision=known.revision + 1 if known else 1,
            created_ms=now,
            at_ms=now,
            config_digest=wanted.config_digest or (known.config_digest if known else ""),
        )

    async def update(self, wanted: BudgetPut, changed: Collection[str], revision: int, request: Request) -> BudgetPut:
        """Change the name or the limit; a limit below what is spent stops further calls until the next period.

        changed: fields of `wanted` to take over; those that say what is counted must be as they are. Raises
        UNKNOWN_BUDGET, REVISION_MISMATCH, INVALID_COMBINATION.
        """

        async def change() -> BudgetPut:
            earlier = await self._journal.earlier(request, BudgetPut)
            if earlier is not None:
                return earlier
            known = self.known(wanted.budget_id)
            check_revision(f"budget {known.budget_id}", revision, known.revision)
            for field in _FIXED:
                if field in changed and getattr(wanted, field) != getattr(known, field):
                    rule = "what a budget counts cannot change"
                    raise NaiadError(
                        "INVALID_COMBINATION",
                        f"budget {known.budget_id!r} counts by another {field}; {rule}: create another budget, and "
                        "delete this one",
                        metadata={"rule": rule},
                        field=f"budget.{'key_id' if field == 'key' else field}",
                    )
            fields: dict[str, Any] = {field: getattr(wanted, field) for field in changed}
            entry = msgspec.structs.replace(known, **fields, revision=known.revision + 1, at_ms=self._now_ms())
            await self._journal.append(entry, request=request, reply=entry)
            return entry

        return await self._alone(change)

    async def delete(self, budget_id: str, revision: int, request: Request) -> None:
        """Remove a budget; what is held of it for calls under way is forgotten, what was spent stays in the log."""

        async def change() -> None:
            if await self._journal.earlier(request, Deleted) is not None:
                return
            known = self.known(budget_id)
            check_revision(f"budget {budget_id}", revision, known.revision)
            entry = msgspec.structs.replace(known, deleted=True, revision=known.revision + 1, at_ms=self._now_ms())
            await self._journal.append(entry, request=request, reply=Deleted(budget_id))

        await self._alone(change)

    async def apply_configuration(self, budgets: Collection[BudgetPut]) -> None:
        """Bring the budgets to what the configuration says; entries that it did not change since are left alone.

        An entry whose scope or period changed begins to count anew.
        """
        for wanted in budgets:
            known = self._ceilings.find(wanted.budget_id)
            if known is not None and known.config_digest == wanted.config_digest:
                continue
            entry = msgspec.structs.replace(wanted, origin=FROM_CONFIGURATION)
            if known is None or known.deleted:
                await self._journal.append(self._new(entry, known))
            elif any(getattr(known, field) != getattr(entry, field) for field in _FIXED):
                gone = msgspec.structs.replace(known, deleted=True, at_ms=self._now_ms())
                await self._journal.append(gone, self._new(entry, known))
            else:
                now, revision = self._now_ms(), known.revision + 1
                await self._journal.append(
                    msgspec.structs.replace(
                        entry, budget=known.budget, revision=revision, created_ms=known.created_ms, at_ms=now
                    )
                )

    def _check_scope(self, wanted: BudgetPut) -> None:
        """Raise for a task class or key that is not there; any text may be a workflow."""
        if wanted.task_class:
            self._catalog.task_class(wanted.task_class)
        if wanted.key and not self._knows_key(wanted.key):
            raise NaiadError(
                "UNKNOWN_KEY",
                f"budget.key_id is {wanted.key!r}, which is not the id of a key; list the keys with ListKeys",
                code="NOT_FOUND",
                metadata={"key_id": wanted.key},
            )

    def _check_room(self) -> None:
        count = len(self._ceilings.entries()) + 1
        if count > MOST_BUDGETS:
            raise NaiadError(
                "TOO_MANY_ITEMS",
                f"there would be {count} budgets; the limit is {MOST_BUDGETS}: delete those that are not needed",
                metadata={"count": count, "maximum": MOST_BUDGETS},
                field="budget",
            )
