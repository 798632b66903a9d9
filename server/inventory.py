"""Changes of the catalogue: created, updated and deleted entries, each an event in the log; one change at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import msgspec

from naiad.server.composites import check_composite
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError, nearest
from naiad.server.journal import Journal, Request
from naiad.server.money import listed_prices
from naiad.server.objectives import check_listed
from naiad.server.records import ModelPut, ObjectiveSpec, TaskClassPut
from naiad.server.turns import Turns

UNCLASSIFIED = "unclassified"  # the task class of requests that name none
FROM_CONFIGURATION, FROM_API, FROM_FIRST_USE = 1, 2, 3  # numbered as Origin in the API
Entry = TypeVar("Entry", ModelPut, TaskClassPut)
ModelChanges = Callable[[ModelPut], dict[str, Any]]  # from the entry as it is to the fields that change
TaskClassChanges = Callable[[TaskClassPut], dict[str, Any]]


class Deleted(msgspec.Struct, frozen=True):
    """The reply kept for a deletion."""

    name: str


class Inventory:
    """The only way to change models and task classes."""

    def __init__(self, journal: Journal, engine: Engine, now_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._catalog = engine.catalog
        self._eligibility = engine.eligibility
        self._now_ms = now_ms
        self._alone = Turns().take  # two changes must not both start from the same entry

    # -- models ----------------------------------------------------------------------------------------------------

    async def create_model(self, wanted: ModelPut, request: Request) -> ModelPut:
        """Add a model, or bring a deleted one back with what was learned of it; raises MODEL_ALREADY_EXISTS."""

        async def change() -> ModelPut:
            earlier = await self._journal.earlier(request, ModelPut)
            if earlier is not None:
                return earlier
            known = self._catalog.find_model(wanted.name)
            if known is not None and not known.deleted:
                raise NaiadError(
                    "MODEL_ALREADY_EXISTS",
                    f"model {wanted.name!r} exists at revision {known.revision}; change it with UpdateModel",
                    code="ALREADY_EXISTS",
                    metadata={"model": wanted.name, "revision": known.revision},
                )
            self._eligibility.governance.check_zones(wanted, "model.data_zone")
            check_composite(wanted, self._part("model"))
            self._check_callback(wanted)
            now = self._now_ms()
            entry = msgspec.structs.replace(
                completed(wanted),
                model=known.model if known else len(self._catalog.models),
                revision=known.revision + 1 if known else 1,
                created_ms=now,
                at_ms=now,
                config_digest=known.config_digest if known else "",
            )
            await self._journal.append(entry, request=request, reply=entry)
            return entry

        return await self._alone(change)

    async def update_model(self, name: str, changes: ModelChanges, revision: int, request: Request) -> ModelPut:
        """Change fields of a model; a revision other than 0 must be the present one.

        `changes` sees the entry as it is when its turn comes, so that of two changes at a time none is lost.
        """

        async def change() -> ModelPut:
            earlier = await self._journal.earlier(request, ModelPut)
            if earlier is not None:
                return earlier
            known = self._catalog.model(name, "model.name")
            check_revision("model " + name, revision, known.revision)
            changed = changes(known)
            entry = completed(
                msgspec.structs.replace(known, **changed, revision=known.revision + 1, at_ms=self._now_ms())
            )
            if "data_zone" in changed:
                self._eligibility.governance.check_zones(entry, "model.data_zone")
            if bool(entry.composite) != bool(known.composite):
                raise _made_otherwise(entry)
            check_composite(entry, self._part("model"))
            self._check_callback(entry)
            await self._journal.append(entry, request=request, reply=entry)
            return entry

        return await self._alone(change)

    def _part(self, field: str) -> Callable[[str], ModelPut]:
        """Return what finds a part of a composite; it raises NaiadError for one that is not there."""
        return lambda name: self._catalog.model(name, field)

    def _check_callback(self, model: ModelPut) -> None:
        """Raise UNKNOWN_CALLBACK for a cascade whose check is a callback that is not configured."""
        check = None if model.composite is None else model.composite.check
        known = self._eligibility.callbacks
        if check is not None and check.callback and check.callback not in known:
            near = nearest(check.callback, known)
            hint = f"did you mean {near!r}?" if near else f"add [callbacks.{check.callback}] to the configuration"
            raise NaiadError(
                "UNKNOWN_CALLBACK",
                f"model.cascade.check.callback is {check.callback!r}, which is not configured; {hint}",
                code="NOT_FOUND",
                metadata={"callback": check.callback, "nearest": near},
                field="model.cascade.check.callback",
            )

    async def delete_model(self, name: str, revision: int, request: Request) -> None:
        """Take a model out of the catalogue; what was learned of it is kept."""

        async def change() -> None:
            if await self._journal.earlier(request, Deleted) is not None:
                return
            known = self._catalog.model(name)
            check_revision("model " + name, revision, known.revision)
            entry = msgspec.structs.replace(known, deleted=True, revision=known.revision + 1, at_ms=self._now_ms())
            await self._journal.append(entry, request=request, reply=Deleted(name))

        await self._alone(change)

    # -- task classes ----------------------------------------------------------------------------------------------

    async def create_task_class(self, wanted: TaskClassPut, request: Request) -> TaskClassPut:
        """Add a task class, or bring a deleted one back; raises TASK_CLASS_ALREADY_EXISTS."""

        async def change() -> TaskClassPut:
            earlier = await self._journal.earlier(request, TaskClassPut)
            if earlier is not None:
                return earlier
            self._check_objective(wanted.objective)
            known = self._catalog.find_task_class(wanted.name)
            if known is not None and not known.deleted:
                raise NaiadError(
                    "TASK_CLASS_ALREADY_EXISTS",
                    f"task class {wanted.name!r} exists at revision {known.revision}; change it with UpdateTaskClass",
                    code="ALREADY_EXISTS",
                    metadata={"task_class": wanted.name, "revision": known.revision},
                )
            self._eligibility.governance.check_class(wanted.data_class, "task_class.default_data_class")
            return await self._add_task_class(wanted, known, request)

        return await self._alone(change)

    def _check_objective(self, objective: ObjectiveSpec | None) -> None:
        """Raise NaiadError where a task class's objective lists models that are not there, or lacks its list."""
        if objective is None:
            return
        field = "task_class.default_objective"
        check_listed(objective, field)
        for model in objective.models or ():
            self._catalog.model(model, f"{field}.models")

    async def ensure_task_class(self, name: str) -> bool:
        """Create a task class on its first use; return whether this call did. Committed before it returns."""

        async def change() -> bool:
            known = self._catalog.find_task_class(name)
            if known is not None:
                return False
            await self._add_task_class(
                TaskClassPut(task_class=0, name=name, origin=FROM_FIRST_USE), None, Request("ensure")
            )
            return True

        return await self._alone(change)

    async def _add_task_class(self, wanted: TaskClassPut, known: TaskClassPut | None, request: Request) -> TaskClassPut:
        now = self._now_ms()
        entry = msgspec.structs.replace(
            wanted,
            task_class=known.task_class if known else len(self._catalog.task_classes),
            revision=known.revision + 1 if known else 1,
            created_ms=now,
            at_ms=now,
            config_digest=known.config_digest if known else "",
        )
        await self._journal.append(entry, request=request, reply=entry)
        return entry

    async def update_task_class(
        self, name: str, changes: TaskClassChanges, revision: int, request: Request
    ) -> TaskClassPut:
        """Change fields of a task class; see `update_model` and `create_task_class`."""

        async def change() -> TaskClassPut:
            earlier = await self._journal.earlier(request, TaskClassPut)
            if earlier is not None:
                return earlier
            known = self._catalog.task_class(name)
            check_revision("task class " + name, revision, known.revision)
            changed = changes(known)
            self._check_objective(changed.get("objective"))
            if "data_class" in changed:
                field = "task_class.default_data_class"
                self._eligibility.governance.check_class(changed["data_class"], field)
            entry = msgspec.structs.replace(known, **changed, revision=known.revision + 1, at_ms=self._now_ms())
            await self._journal.append(entry, request=request, reply=entry)
            return entry

        return await self._alone(change)

    async def delete_task_class(self, name: str, revision: int, request: Request) -> None:
        """Take a task class out of use; what was learned is kept. Raises TASK_CLASS_IN_USE for the built-in one."""
        if name == UNCLASSIFIED:
            raise NaiadError(
                "TASK_CLASS_IN_USE",
                f"task class {UNCLASSIFIED!r} is built in: requests that name no task class are decided in it; "
                "it cannot be deleted, so name a task class in every request if it is not to be used",
                code="FAILED_PRECONDITION",
                metadata={"task_class": UNCLASSIFIED, "used_by": "requests that name no task class"},
            )

        async def change() -> None:
            if await self._journal.earlier(request, Deleted) is not None:
                return
            known = self._catalog.task_class(name)
            check_revision("task class " + name, revision, known.revision)
            entry = msgspec.structs.replace(known, deleted=True, revision=known.revision + 1, at_ms=self._now_ms())
            await self._journal.append(entry, request=request, reply=Deleted(name))

        await self._alone(change)

    # -- configuration ---------------------------------------------------------------------------------------------

    async def apply_configuration(self, models: Collection[ModelPut], classes: Collection[TaskClassPut]) -> None:
        """Bring the catalogue to what the configuration says; entries it did not change since last time are left alone.

        A change made by RPC thus holds until the configuration's own entry changes.
        """
        for model in models:
            await self._configure(model, self._catalog.find_model(model.name), len(self._catalog.models), "model")
        for task_class in classes:
            known = self._catalog.find_task_class(task_class.name)
            await self._configure(task_class, known, len(self._catalog.task_classes), "task_class")

    async def _configure(self, wanted: Entry, known: Entry | None, next_id: int, id_field: str) -> None:
        if known is not None and known.config_digest == wanted.config_digest:
            return
        now = self._now_ms()
        entry = msgspec.structs.replace(
            wanted,
            **{id_field: getattr(known, id_field) if known else next_id},
            revision=known.revision + 1 if known else 1,
            origin=FROM_CONFIGURATION,
            created_ms=known.created_ms if known else now,
            at_ms=now,
        )
        await self._journal.append(entry)


def completed(model: ModelPut) -> ModelPut:
    """Return a model with what its name and the price list say where it says nothing itself."""
    if model.composite is not None:
        return model  # its parts have all that
    upstream = model.upstream_model or model.name.partition("/")[2]
    prices, window = model.prices, model.context_window
    if prices is None:
        listed = listed_prices(model.name, upstream)
        if listed is not None:
            prices, listed_window = listed
            window = window if window is not None else listed_window
    return msgspec.structs.replace(
        model,
        upstream_model=upstream,
        endpoint=model.endpoint or model.name.partition("/")[0],
        prices=prices,
        context_window=window,
    )


def _made_otherwise(entry: ModelPut) -> NaiadError:
    """Return the error for making a provider's model of others, or the reverse: the arm would be another one."""
    rule = "what a model is, a provider's or made of others, is fixed"
    return NaiadError(
        "INVALID_COMBINATION", f"model {entry.name!r}: {rule}; create one of another name",
        metadata={"rule": rule}, field="update_mask",
    )  # fmt: skip


def check_revision(resource: str, expected: int, actual: int) -> None:
    """Raise REVISION_MISMATCH where a change expects another revision than the present one; 0 takes any."""
    if expected not in (0, actual):
        raise NaiadError(
            "REVISION_MISMATCH",
            f"{resource} is at revision {actual}, not {expected}; read it again and apply the change to what was read",
            code="ABORTED",
            metadata={"resource": resource, "expected": expected, "actual": actual},
        )
