"""Between events and rows of the log, and from the log to an engine."""

from __future__ import annotations

import asyncio

import msgspec

from naiad.server.engine import Engine
from naiad.server.records import (
    BudgetPut,
    Decided,
    DriftAlarmed,
    Event,
    FeedbackReported,
    ModelPut,
    OutcomeReported,
    Reserved,
    TaskClassPut,
    decode,
    encode,
)
from naiad.server.store.base import EventRow, Store, StoreCorrupt


def row_of(sequence: int, event: Event) -> EventRow:
    """Return the row that keeps an event."""
    kind = str(type(event).__struct_config__.tag)
    if isinstance(event, Decided):
        return EventRow(
            sequence, kind, event.at_ms, encode(event), event.uid, event.task_class, event.model, event.workflow,
            event.session,
        )  # fmt: skip
    return EventRow(sequence, kind, event.at_ms, encode(event), getattr(event, "uid", None))


def event_of(row: EventRow) -> Event:
    """Return the event that a row keeps; raises StoreCorrupt for one that this version cannot read."""
    try:
        return decode(row.payload)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(
            f"event {row.sequence} ({row.kind}) cannot be read: {error}; restore a backup, or start the version of "
            "Naiad that wrote it"
        ) from error


def check_foldable(engine: Engine, event: Event) -> None:
    """Raise LookupError for an event that cannot be folded, because it names what the engine does not hold."""
    catalog = engine.catalog
    classes, models, budgets = len(catalog.task_classes), len(catalog.models), engine.ceilings.next_number
    named: list[tuple[int, int]] = []
    match event:
        case Decided():
            named = [(event.task_class, event.model)]
        case OutcomeReported() | FeedbackReported():
            named = [(event.task_class, event.first_model), *((c.task_class, c.model) for c in event.changes)]
            if isinstance(event, OutcomeReported):
                named.append((event.task_class, event.outcome.model))
        case DriftAlarmed():
            named = [(-1, event.model)]
        case ModelPut():
            models += 1  # its own number may be the next one
            named = [(-1, event.model)]
        case TaskClassPut():
            classes += 1
            named = [(event.task_class, -1)]
        case BudgetPut():
            budgets += 1
    for number in _budgets_of(event):
        if number >= budgets:
            raise LookupError(f"it names budget {number}; there is none")
    for task_class, model in named:
        if task_class >= classes or model >= models:
            raise LookupError(f"it names task class {task_class} and model {model}; the catalogue does not")


def _budgets_of(event: Event) -> list[int]:
    if isinstance(event, BudgetPut):
        return [event.budget]
    hold = event.hold if isinstance(event, Decided | Reserved | OutcomeReported) else None
    return [] if hold is None else [number for number, _ in hold.windows]


async def fold(store: Store, engine: Engine, *, after: int = 0, step: int = 2_000) -> int:
    """Fold the log into an engine from a sequence on; return how many events there were. Raises StoreCorrupt."""
    count = 0
    while rows := await store.events(engine.sequence if count else after, step):
        for row in rows:
            if row.sequence != engine.sequence + 1:
                raise StoreCorrupt(
                    f"event {row.sequence} stands where event {engine.sequence + 1} should: the log has a gap; "
                    "restore a backup"
                )
            event = event_of(row)
            try:
                check_foldable(engine, event)
            except LookupError as error:
                raise StoreCorrupt(f"event {row.sequence} cannot be folded: {error}; restore a backup") from error
            engine.apply(row.sequence, event)
        count += len(rows)
        await asyncio.sleep(0)
    return count
