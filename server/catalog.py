"""The inventory as the engine sees it: models and task classes by name and by id, and the rates that predicting needs.

Entries are the records of the log themselves; ids are dense small integers that are never reused, so that they can
index the beliefs. A deleted entry stays, marked, so that what was learned of it keeps its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from naiad.server.composites import Kind, judges
from naiad.server.errors import NaiadError, unknown_model, unknown_task_class
from naiad.server.records import Composite, ModelPut, TaskClassPut

UNLIMITED_TOKENS = 1e12


class Rate(NamedTuple):
    """What predicting a model's cost needs; prices in nano-USD per token, `request` in nano-USD."""

    input: float
    output: float
    request: float
    output_limit: float  # tokens


class Members(NamedTuple):
    """What a composite is made of: models of the catalogue, by id."""

    models: tuple[int, ...]
    judge: int | None  # who is asked about their answers
    in_turn: bool  # as a cascade does

    @property
    def all(self) -> tuple[int, ...]:
        """Every model that may be called."""
        return self.models if self.judge is None else (*self.models, self.judge)


def _rate(model: ModelPut) -> Rate:
    limit = float(model.max_output_tokens or UNLIMITED_TOKENS)
    prices = model.prices
    if prices is None:
        return Rate(0.0, 0.0, 0.0, limit)
    return Rate(prices.input * 1e-6, prices.output * 1e-6, float(prices.request), limit)


class Catalog:
    """Models and task classes of one tenant."""

    def __init__(self) -> None:
        self.models: list[ModelPut] = []  # by id
        self.task_classes: list[TaskClassPut] = []  # by id
        self._model_ids: dict[str, int] = {}
        self._class_ids: dict[str, int] = {}
        self.version = 0  # grows with every change
        self._class_tags: list[int] = []
        self._rebuild()

    def put_model(self, model: ModelPut) -> None:
        """Take over an entry; a new id must be the next one."""
        if model.model == len(self.models):
            self.models.append(model)
        else:
            self.models[model.model] = model
        self._model_ids[model.name] = model.model
        self.version += 1
        self._rebuild()

    def put_task_class(self, task_class: TaskClassPut) -> None:
        """Take over an entry; a new id must be the next one."""
        if task_class.task_class == len(self.task_classes):
            self.task_classes.append(task_class)
            self._class_tags.append(crc32(task_class.name.encode()))
        else:
            self.task_classes[task_class.task_class] = task_class  # its name is fixed
        self._class_ids[task_class.name] = task_class.task_class
        self.version += 1

    def _rebuild(self) -> None:
        self.rates = [_rate(model) for model in self.models]
        self.price_in = [0 if m.prices is None else m.prices.input for m in self.models]
        self.price_out = [0 if m.prices is None else m.prices.output for m in self.models]
        self.price_request = [0 if m.prices is None else m.prices.request for m in self.models]
        self.price_version = ["" if m.prices is None else m.prices.version for m in self.models]
        self.request_prices = any(self.price_request)
        self.model_names = [model.name for model in self.models]
        self._model_tags = [crc32(b"model " + model.name.encode()) for model in self.models]
        self.live = tuple(m for m in self.models if not m.deleted)
        self.members = {m.model: self._members(m.composite) for m in self.live if m.composite is not None}

    def _members(self, composite: Composite) -> Members:
        """Return what a composite is made of; names that the catalogue does not have yet are left out."""
        found = [self._model_ids[name] for name in composite.members if name in self._model_ids]
        asked = [self._model_ids[name] for name in judges(composite) if name in self._model_ids]
        return Members(tuple(found), asked[0] if asked else None, composite.kind == Kind.CASCADE)

    def tag(self, task_class: int, model: int) -> int:
        """Return 32 bits that tell the names behind two numbers; raises IndexError for a number never given out."""
        return self._class_tags[task_class] ^ self._model_tags[model]

    def find_model(self, name: str) -> ModelPut | None:
        """Return the entry of this name, deleted or not, or None."""
        found = self._model_ids.get(name)
        return None if found is None else self.models[found]

    def find_task_class(self, name: str) -> TaskClassPut | None:
        """Return the entry of this name, deleted or not, or None."""
        found = self._class_ids.get(name)
        return None if found is None else self.task_classes[found]

    def known_model(self, name: str, field: str = "model") -> ModelPut:
        """Return a model, deleted or not; raises NaiadError UNKNOWN_MODEL."""
        found = self.find_model(name)
        if found is None:
            raise unknown_model(name, (m.name for m in self.live), field)
        return found

    def known_task_class(self, name: str, *, deciding: bool = False) -> TaskClassPut:
        """Return a task class, deleted or not; raises NaiadError UNKNOWN_TASK_CLASS.

        deciding: the call would create the task class, did the configuration permit it.
        """
        found = self.find_task_class(name)
        if found is None:
            raise unknown_task_class(name, (c.name for c in self.live_task_classes()), deciding=deciding)
        return found

    def model(self, name: str, field: str = "model") -> ModelPut:
        """Return a live model; raises NaiadError UNKNOWN_MODEL or MODEL_DELETED."""
        found = self.known_model(name, field)
        if found.deleted:
            raise NaiadError(
                "MODEL_DELETED",
                f"{field} names {name!r}, which was deleted; CreateModel brings it back, what was learned is kept",
                code="FAILED_PRECONDITION",
                metadata={"model": name},
            )
        return found

    def task_class(self, name: str, *, deciding: bool = False) -> TaskClassPut:
        """Return a live task class; raises NaiadError UNKNOWN_TASK_CLASS or TASK_CLASS_DELETED."""
        found = self.known_task_class(name, deciding=deciding)
        if found.deleted:
            raise NaiadError(
                "TASK_CLASS_DELETED",
                f"task_class {name!r} was deleted; create it again with CreateTaskClass, what was learned is kept",
                code="FAILED_PRECONDITION",
                metadata={"task_class": name},
            )
        return found

    def live_task_classes(self) -> Iterator[TaskClassPut]:
        """Yield the task classes that are not deleted, oldest first."""
        return (c for c in self.task_classes if not c.deleted)
