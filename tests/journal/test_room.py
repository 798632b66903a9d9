"""A decision has room for so many attempts and judgements: each report costs time for all that is known of it."""

from __future__ import annotations

import asyncio

import pytest

from naiad.server.errors import NaiadError
from tests.journal.world import state, world
from tests.server.reasons import check


async def test_a_decision_has_room_for_a_hundred_attempts_and_a_thousand_judgements() -> None:
    async with world() as w:
        decision = w.decide()
        await asyncio.gather(*(w.report(decision, attempt=f"a{i}") for i in range(100)))
        await asyncio.gather(*(w.rate(decision, 0.5, rater=f"r{i}") for i in range(1_000)))
        before = state(w.engine)
        for work, field in ((w.report(decision, attempt="new"), "attempt_id"), (w.rate(decision, 1.0), "rater_id")):
            with pytest.raises(NaiadError) as caught:
                await work
            error = caught.value
            assert (error.reason, error.field) == ("TOO_MANY_ITEMS", field)
            check(error.reason, error.code, error.metadata)
        assert state(w.engine) == before
        assert (await w.rate(decision, 0.75, rater="r0")).revised
        await w.report(decision, attempt="a0")  # as before
        assert (await w.rate(w.decide(), 1.0)).effective
