"""What stands in the log and cannot be folded is damage, and is said as such."""

from __future__ import annotations

import io

import pytest

from naiad.server.engine import Engine, EngineSettings
from naiad.server.folding import event_of, fold, row_of
from naiad.server.ledger import Entry, take_outcome
from naiad.server.records import Decided, Event, ModelPut, Outcome, TaskClassPut
from naiad.server.replay import LogMismatch, fold_stream, frame
from naiad.server.store.base import Batch, EventRow, StoreCorrupt
from naiad.server.store.memory import MemoryStore
from tests.server.builders import SIGNER

CLASS = TaskClassPut(task_class=0, name="a")
MODEL = ModelPut(model=0, name="echo/a", upstream_model="a")
DECIDED = Decided(uid=7, task_class=0, model=0, ordinal=0, propensity=1.0, uniform=0.5, policy=0)
ENTRY = Entry(uid=7, task_class=0, model=0, ordinal=0)


def outcome(model: int) -> Event:
    """Return the event of an outcome of a model."""
    return take_outcome(ENTRY, "1", Outcome(model=model, ordinal=0, latency_s=1.0), 1)[1]


async def folded(*rows: EventRow) -> Engine:
    """Fold these rows."""
    store, engine = MemoryStore(), Engine(EngineSettings(), SIGNER)
    await store.commit(Batch(list(rows)))
    await fold(store, engine)
    return engine


async def test_rows_keep_events() -> None:
    events: list[Event] = [CLASS, MODEL, DECIDED, outcome(0)]
    rows = [row_of(sequence, event) for sequence, event in enumerate(events, 1)]
    assert [event_of(row) for row in rows] == events
    assert (rows[2].uid, rows[2].task_class, rows[2].model) == (7, 0, 0)
    assert (await folded(*rows)).sequence == 4


@pytest.mark.parametrize(
    "event",
    [
        TaskClassPut(task_class=2, name="b"),
        ModelPut(model=2, name="echo/b", upstream_model="b"),
        Decided(uid=8, task_class=1, model=0, ordinal=0, propensity=1.0, uniform=0.5, policy=0),
        Decided(uid=8, task_class=0, model=1, ordinal=0, propensity=1.0, uniform=0.5, policy=0),
        outcome(1),
    ],
)
async def test_what_names_things_that_do_not_exist(event: Event) -> None:
    rows = [row_of(1, CLASS), row_of(2, MODEL), row_of(3, event)]
    with pytest.raises(StoreCorrupt, match=r"event 3 .* restore a backup"):
        await folded(*rows)
    stream = io.BytesIO(frame(0, b"{}") + b"".join(frame(row.sequence, row.payload) for row in rows))
    with pytest.raises(LogMismatch, match=r"event 3 .* restore a backup"):
        fold_stream(stream)


@pytest.mark.parametrize("payload", [b'{"kind":"nonsense"}', b"{", b'{"kind":"model"}', b"\xff"])
async def test_what_is_no_event(payload: bytes) -> None:
    with pytest.raises(StoreCorrupt, match=r"event 1 .* restore a backup"):
        await folded(EventRow(1, "nonsense", 0, payload))
    with pytest.raises(LogMismatch, match=r"event 1 .* restore a backup"):
        fold_stream(io.BytesIO(frame(0, b"{}") + frame(1, payload)))
