"""A failed commit stops the journal: every waiter is told, nothing is folded, nothing more is taken."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
import pytest

from naiad.server import journal as journal_module
from naiad.server.errors import NaiadError
from naiad.server.feedback import Judgement, OutcomeReceipt
from naiad.server.folding import fold
from naiad.server.journal import Amended, Request
from naiad.server.ledger import Entry, take_outcome
from naiad.server.records import Decided, Outcome
from naiad.server.store.base import StoreError
from tests.journal.world import PATIENCE_S, SETUP, HeldStore, new_engine, settled, state, world


async def test_a_failed_commit_tells_every_waiter_and_folds_nothing() -> None:
    store = HeldStore()
    async with world(store) as w:
        decisions = [w.decide() for _ in range(4)]
        await w.journal.probe(lambda: None)
        before = state(w.engine)
        store.gate.clear()
        calls = [asyncio.create_task(w.rate(d, 1.0)) for d in decisions[:2]]
        await settled()
        calls += [asyncio.create_task(w.rate(d, 1.0)) for d in decisions[2:]]  # queued behind the failing batch
        calls.append(asyncio.create_task(w.journal.probe(lambda: None)))
        await settled()
        store.fault = StoreError("the disk is gone")
        store.gate.set()
        done = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PATIENCE_S)
        assert [type(error) for error in done] == [NaiadError] * 5
        assert {error.reason for error in done if isinstance(error, NaiadError)} == {"STORAGE_FAILED"}
        assert w.journal.failed.is_set()
        assert state(w.engine) == before
        assert w.journal.backlog == 0


async def test_after_a_failure_nothing_is_taken() -> None:
    store = HeldStore()
    async with world(store) as w:
        decision = w.decide()
        await w.journal.probe(lambda: None)
        store.fault = OSError(28, "No space left on device")
        with pytest.raises(NaiadError):
            await w.rate(decision, 1.0)
        store.fault = None  # even if the disk were well again: what the failed commit left is not known
        written = await store.last_sequence()
        for call in (w.rate(decision, 1.0), w.report(decision), w.journal.append(SETUP[0])):
            with pytest.raises(NaiadError) as caught:
                await call
            assert (caught.value.reason, caught.value.code) == ("STORAGE_FAILED", "UNAVAILABLE")
        with pytest.raises(NaiadError):
            w.decide()
        assert await store.last_sequence() == written
        await w.journal.close()
        assert await store.snapshots() == []  # no snapshot of a state that may differ from the log


async def test_a_log_that_cannot_be_written_does_not_keep_a_failed_journal_going(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> None:
            raise OSError(28, "No space left on device")

    store, stopped = HeldStore(), False
    with suppress(OSError):  # of the broken log: it ends the journal's task, after everything else is done
        async with world(store) as w:
            decision = w.decide()
            await w.journal.probe(lambda: None)
            monkeypatch.setattr(journal_module, "log", Broken())
            store.fault = StoreError("the disk is gone")
            with pytest.raises(NaiadError, match="the server stops"):
                await asyncio.wait_for(w.rate(decision, 1.0), PATIENCE_S)
            stopped = w.journal.failed.is_set()
    assert stopped


async def test_work_that_breaks_hurts_only_its_caller() -> None:
    """Work is pure: what it raises, nothing was written. A defect in one call must not stop the server."""

    def broken(entry: Entry, decided: Decided | None, sequence: int) -> Amended:
        raise LookupError("a defect")

    async with world() as w:
        decision = w.decide()
        beside = asyncio.create_task(w.rate(decision, 1.0))
        with pytest.raises(LookupError, match="a defect"):
            await w.journal.amend(w.ticket(decision), Request("Any"), type(await beside), broken)
        assert not w.journal.failed.is_set()
        await w.rate(decision, 0.0)
        assert await w.kinds() == ["decided", "feedback", "feedback"]


async def test_a_retraction_of_an_impossible_decision_is_refused() -> None:
    async with world() as w:
        with pytest.raises(NaiadError) as caught:
            await w.feedback.retract("f" + "f" * 16 + "-" + "0" * 16, "", Request("Retract"))
        assert caught.value.reason == "UNKNOWN_FEEDBACK"
        assert await w.kinds() == []


async def test_a_failed_snapshot_does_not_stop_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is a cache: without it the next start folds more, and that is all."""
    monkeypatch.setattr(journal_module, "_SNAPSHOT_EVERY", 3)
    store = HeldStore()
    async with world(store) as w:
        store.snapshot_fault = StoreError("no room for a snapshot")
        decision = w.decide()
        for i in range(10):
            async with asyncio.timeout(PATIENCE_S):
                await w.rate(decision, 1.0, rater=f"r{i}")
        assert not w.journal.failed.is_set()
        store.snapshot_fault = None
    assert (await store.snapshots())[0][0] == await store.last_sequence()


async def test_closing_writes_what_is_queued_and_refuses_the_rest() -> None:
    store = HeldStore()
    async with world(store) as w:
        store.gate.clear()
        decision = w.decide()
        rating = asyncio.create_task(w.rate(decision, 1.0))
        await settled()
        w.decide()
        closing = asyncio.create_task(w.journal.close())
        await settled()
        assert not closing.done()
        store.gate.set()
        await asyncio.wait_for(closing, PATIENCE_S)
        await rating
        assert await w.kinds() == ["decided", "feedback", "decided"]
        with pytest.raises(NaiadError):
            await w.rate(decision, 0.0)
        assert (await store.snapshots())[0][0] == await store.last_sequence()


async def test_an_event_that_cannot_be_encoded_leaves_no_gap() -> None:
    """A number that no row stands for would read as a lost event at the next start."""
    async with world() as w:
        good = w.decide()
        with suppress(TypeError, NaiadError):  # it may be refused at once
            w.journal.record(msgspec.structs.replace(w.decide(), uid=5, features={"x": object()}))
        await w.rate(good, 1.0)
        rows = await w.store.events(0, 100)
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        assert w.engine.sequence == len(rows)
        await fold(w.store, new_engine())


async def test_a_reply_that_cannot_be_encoded_leaves_nothing() -> None:
    def broken(entry: Entry, decided: Decided | None, sequence: int) -> Amended:
        outcome = Outcome(model=0, ordinal=0)
        after, event = take_outcome(entry, "1", outcome, 1)
        return Amended(after, event, OutcomeReceipt("1", object(), sequence))  # type: ignore[arg-type]

    async with world() as w:
        decision = w.decide()
        beside = asyncio.create_task(w.rate(decision, 1.0))
        call = w.journal.amend(w.ticket(decision), Request("Any", "one", "d"), OutcomeReceipt, broken)
        done = await asyncio.gather(beside, call, return_exceptions=True)
        assert isinstance(done[1], Exception)
        assert not isinstance(done[0], BaseException)  # and the journal goes on
        rows = await w.store.events(0, 100)
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        assert "outcome" not in [row.kind for row in rows]
        assert await w.store.replies(["one"]) == {}


@pytest.mark.parametrize(("task_class", "model"), [(2, 0), (0, 2)])
async def test_what_cannot_be_folded_is_not_committed(task_class: int, model: int) -> None:
    """An event that names a task class or model which does not exist would end this server and every later start."""
    async with world() as w:
        decision = w.decide()
        elsewhere = w.ticket(decision)._replace(task_class=task_class, model=model, uid=9)
        judgement = Judgement("", 1, "r", value=1.0)
        with pytest.raises(LookupError):
            await w.feedback.report_feedback(elsewhere, "id", judgement, Request("ReportFeedback"))
        assert not w.journal.failed.is_set()
        await w.rate(decision, 0.5)
        assert await w.kinds() == ["decided", "feedback"]
