"""A request id stands for one request: the same again gets the same reply and one event, another one is refused."""

from __future__ import annotations

import asyncio

import pytest

from naiad.server.errors import NaiadError
from naiad.server.feedback import Feedback, FeedbackReceipt
from naiad.server.folding import fold
from naiad.server.journal import Journal, Request
from tests.journal.world import HeldStore, World, new_engine, settled, world


async def test_the_same_request_gets_the_same_reply_and_one_event() -> None:
    async with world() as w:
        decision = w.decide()
        first = await w.rate(decision, 0.25, request_id="one")
        await w.rate(decision, 0.75, rater="other")
        assert await w.rate(decision, 0.25, request_id="one") == first
        assert (await w.kinds()).count("feedback") == 2


async def test_the_same_request_in_one_batch() -> None:
    store = HeldStore()
    async with world(store) as w:
        decision = w.decide()
        await w.journal.probe(lambda: None)
        store.gate.clear()
        blocker = asyncio.create_task(w.rate(decision, 1.0, rater="blocker"))
        await settled()
        same = [asyncio.create_task(w.rate(decision, 0.25, request_id="one")) for _ in range(3)]
        other = asyncio.create_task(w.rate(decision, 0.5, request_id="one"))
        outcome = asyncio.create_task(w.report(decision, request_id="one"))
        await settled()
        store.gate.set()
        await blocker
        receipts = await asyncio.gather(*same)
        assert receipts[0] == receipts[1] == receipts[2]
        for call in (other, outcome):
            with pytest.raises(NaiadError) as caught:
                await call
            assert (caught.value.reason, caught.value.code) == ("REQUEST_ID_REUSED", "ALREADY_EXISTS")
        assert (await w.kinds()).count("feedback") == 2
        assert (await w.kinds()).count("outcome") == 0


@pytest.mark.parametrize("change", ["body", "method"])
async def test_another_request_under_the_same_id_is_refused(change: str) -> None:
    async with world() as w:
        decision = w.decide()
        await w.rate(decision, 0.25, request_id="one")
        sequence = w.engine.sequence
        with pytest.raises(NaiadError) as caught:
            if change == "body":
                await w.rate(decision, 0.5, request_id="one")
            else:
                await w.report(decision, request_id="one")
        assert caught.value.reason == "REQUEST_ID_REUSED"
        await w.journal.probe(lambda: None)
        assert w.engine.sequence == sequence


async def test_a_refused_request_may_come_again_under_its_id() -> None:
    async with world() as w:
        decision = w.decide()
        await w.report(decision, attempt="1", tokens=10)
        for _ in range(2):
            with pytest.raises(NaiadError, match="differs"):
                await w.report(decision, attempt="1", tokens=20, request_id="one")
        assert (await w.rate(decision, 1.0, request_id="one")).score == 1.0


async def test_request_ids_outlive_the_process() -> None:
    store = HeldStore()
    async with world(store) as w:
        decision = w.decide()
        first = await w.rate(decision, 0.25, request_id="one")
    again = World(store, new_engine())
    await fold(store, again.engine)
    again.journal = Journal(store, again.engine, again.now)
    again.feedback = Feedback(again.journal, again.engine, again.now)
    again.journal.start()
    assert await again.rate(decision, 0.25, request_id="one") == first
    assert await again.journal.earlier(Request("ReportFeedback", "one", "0.25"), FeedbackReceipt) == first
    with pytest.raises(NaiadError):
        await again.journal.earlier(Request("ReportFeedback", "one", "0.5"), FeedbackReceipt)
    with pytest.raises(NaiadError):
        await again.journal.earlier(Request("ReportOutcome", "one", "0.25"), FeedbackReceipt)
    await again.journal.close()


async def test_the_same_outcome_again_without_a_request_id_changes_nothing() -> None:
    async with world() as w:
        decision = w.decide()
        first = await w.report(decision, attempt="x")
        second = await w.report(decision, attempt="x")
        assert (first.attempt, first.cost) == (second.attempt, second.cost)
        assert (await w.kinds()).count("outcome") == 1


async def test_a_cancelled_request_repeated_counts_once() -> None:
    store = HeldStore()
    async with world(store) as w:
        decision = w.decide()
        await w.journal.probe(lambda: None)
        store.gate.clear()
        call = asyncio.create_task(w.rate(decision, 0.5, request_id="one"))
        await settled()
        call.cancel()
        again = asyncio.create_task(w.rate(decision, 0.5, request_id="one"))
        await settled()
        store.gate.set()
        assert (await again).revised is False
        assert (await w.kinds()).count("feedback") == 1
