"""Acknowledged means on disk: nothing is answered and nothing is learned before the commit returned."""

from __future__ import annotations

import asyncio

import pytest

from naiad.server import journal
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.records import Event
from tests.journal.world import PATIENCE_S, HeldStore, settled, state, world


async def test_nothing_is_answered_before_the_commit_returned() -> None:
    store = HeldStore()
    async with world(store) as w:
        decision = w.decide()
        await w.journal.probe(lambda: None)
        before, events = state(w.engine), await w.kinds()
        store.gate.clear()
        store.entered.clear()
        calls = [asyncio.create_task(w.report(decision)), asyncio.create_task(w.rate(decision, 1.0))]
        await asyncio.wait_for(store.entered.wait(), PATIENCE_S)
        await settled()
        assert not any(call.done() for call in calls)
        assert state(w.engine) == before
        assert await w.kinds() == events
        store.gate.set()
        await asyncio.wait_for(asyncio.gather(*calls), PATIENCE_S)
        assert state(w.engine) != before
        assert await w.kinds() == [*events, "outcome", "feedback"]


async def test_an_answer_finds_the_engine_beyond_its_event() -> None:
    async with world() as w:
        for score in (0.0, 0.5, 1.0):
            receipt = await w.rate(w.decide(), score)
            assert w.engine.sequence >= receipt.sequence
            assert await w.store.last_sequence() >= receipt.sequence


async def test_events_are_numbered_and_folded_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[int] = []
    apply = Engine.apply

    def watched(self: Engine, sequence: int, event: Event) -> None:
        folded.append(sequence)
        apply(self, sequence, event)

    monkeypatch.setattr(Engine, "apply", watched)
    async with world() as w:
        decisions = [w.decide() for _ in range(20)]
        receipts = await asyncio.gather(*(w.rate(d, i / 20) for i, d in enumerate(decisions)))
        rows = await w.store.events(0, 1_000)
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        assert folded == [row.sequence for row in rows]
        assert sorted(r.sequence for r in receipts) == [row.sequence for row in rows if row.kind == "feedback"]


async def test_what_waits_is_committed_together() -> None:
    store = HeldStore()
    async with world(store) as w:
        decisions = [w.decide() for _ in range(8)]
        await w.journal.probe(lambda: None)
        store.gate.clear()
        first = asyncio.create_task(w.rate(decisions[0], 1.0))
        await settled()
        others = [asyncio.create_task(w.rate(d, 1.0)) for d in decisions[1:]]
        await settled()
        count = len(store.batches)
        store.gate.set()
        await asyncio.gather(first, *others)
        sizes = [len(batch.events) for batch in store.batches[count:]]
        assert sum(sizes) == 8
        assert len(sizes) <= 2


async def test_what_comes_alone_is_committed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision and its outcome, as a single caller has them, are not held up for company."""
    async with world() as w:
        monkeypatch.setattr(journal, "_GATHER_S", 3_600.0)
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(3):
                await w.report(w.decide())


async def test_many_who_come_at_a_time_wait_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HeldStore()
    async with world(store) as w:
        decisions = [w.decide() for _ in range(8)]
        await w.journal.written()
        monkeypatch.setattr(journal, "_GATHER_S", 0.2)
        count = len(store.batches)
        first = [asyncio.create_task(w.rate(d, 1.0)) for d in decisions[:4]]
        await settled()
        assert len(store.batches) == count
        await asyncio.gather(*first, *(w.rate(d, 1.0) for d in decisions[4:]))
        assert [len(batch.events) for batch in store.batches[count:]] == [8]


async def test_a_decision_does_not_wait_but_is_written_before_its_feedback() -> None:
    store = HeldStore()
    async with world(store) as w:
        store.gate.clear()
        decision = w.decide()
        rating = asyncio.create_task(w.rate(decision, 1.0))
        store.gate.set()
        await rating
        assert await w.kinds() == ["decided", "feedback"]


async def test_a_cancelled_waiter_hurts_nobody() -> None:
    """Its work was under way and is kept; those beside it get their own answers."""
    store = HeldStore()
    async with world(store) as w:
        decisions = [w.decide() for _ in range(3)]
        await w.journal.probe(lambda: None)
        store.gate.clear()
        calls = [asyncio.create_task(w.rate(d, 0.5, rater=f"r{i}")) for i, d in enumerate(decisions)]
        await settled()
        calls[1].cancel()
        await settled()
        store.gate.set()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(done[1], asyncio.CancelledError)
        assert [type(d).__name__ for d in done] == ["FeedbackReceipt", "CancelledError", "FeedbackReceipt"]
        assert len({d.feedback_id for d in done if not isinstance(d, BaseException)}) == 2
        assert (await w.kinds()).count("feedback") == 3
        await w.rate(decisions[1], 0.5, rater="later")  # and the journal goes on


async def test_a_refused_piece_of_work_writes_nothing_and_its_neighbours_go_through() -> None:
    store = HeldStore()
    async with world(store) as w:
        decision = w.decide()
        await w.report(decision, attempt="1", tokens=10)
        before, events = state(w.engine), await w.kinds()
        store.gate.clear()
        first = asyncio.create_task(w.rate(decision, 1.0, rater="first"))
        await settled()
        refused = asyncio.create_task(w.report(decision, attempt="1", tokens=99, request_id="again"))
        beside = asyncio.create_task(w.rate(decision, 0.0, rater="second"))
        await settled()
        store.gate.set()
        await asyncio.gather(first, beside)
        with pytest.raises(NaiadError) as caught:
            await refused
        assert caught.value.reason == "ATTEMPT_ALREADY_REPORTED"
        assert await w.kinds() == [*events, "feedback", "feedback"]
        assert await w.store.replies(["again"]) == {}  # a refusal may be tried again under the same id
        assert state(w.engine)["sequence"] == before["sequence"] + 2


async def test_a_probe_sees_the_engine_between_two_transactions() -> None:
    store = HeldStore()
    async with world(store) as w:
        decision = w.decide()
        calls = [w.rate(decision, i / 10, rater=f"r{i}") for i in range(10)]
        looks = [w.journal.probe(lambda: w.engine.sequence) for _ in range(3)]
        found = await asyncio.gather(*calls, *looks)
        ends = {batch.events[-1].sequence for batch in store.batches if batch.events}
        assert set(found[10:]) <= ends
