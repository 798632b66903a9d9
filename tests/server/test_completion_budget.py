"""Complete under hard budgets: held on disk before the provider is called, each attempt for itself, then settled."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from naiad.adapters.base import Request
from naiad.adapters.errors import Overloaded, Timeout, TimeoutKind
from naiad.server.app import Server
from naiad.server.records import Outcome, OutcomeReported, Released, Reserved, decode
from naiad.v1 import admin_pb2, admin_service_pb2, decision_pb2, router_service_pb2
from naiad.v1.admin_service_pb2_grpc import AdminServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, Reply, Step, reply
from tests.server.test_completion import Running, Start, running, until  # noqa: F401 - running is a fixture

BUSY = Fail(Overloaded("busy", provider="a", model="m"))
SLOW = Fail(Timeout("slow", provider="a", model="m", kind=TimeoutKind.TOTAL, after_s=1.0))


async def budget(now: Running, limit: int, **fields: Any) -> None:
    wanted = admin_pb2.Budget(budget_id="b", limit_nano_usd=limit, period=admin_pb2.BUDGET_PERIOD_ONCE, **fields)
    await AdminServiceStub(now.channel).CreateBudget(admin_service_pb2.CreateBudgetRequest(budget=wanted))


async def standing(now: Running) -> tuple[int, int]:
    """Return (spent, reserved)."""
    found = await AdminServiceStub(now.channel).GetBudget(admin_service_pb2.GetBudgetRequest(budget_id="b"))
    return found.budget.spent_nano_usd, found.budget.reserved_nano_usd


async def logged(server: Server) -> list[Any]:
    return [decode(row.payload) for row in await server.store.events(0, 10_000)]


async def test_a_hold_is_in_the_log_before_the_provider_is_called(running: Start) -> None:  # noqa: F811
    seen: list[list[Any]] = []
    served: list[Server] = []

    def look(request: Request) -> Reply:
        events = served[0].store._events  # type: ignore[attr-defined]  # of the store in memory: what was committed
        seen.append([decode(row.payload) for row in events if row.kind == "reserved"])
        return reply("yes", output_tokens=7)

    async with running([look], [look]) as now:
        served.append(now.server)
        await budget(now, 1_000_000)
        answer = await now.complete(max_output_tokens=100)
        (held,) = seen[0]
        assert isinstance(held, Reserved)
        assert held.hold.nano_usd >= 100_000
        assert await standing(now) == (answer.total_cost_nano_usd, 0) == (17_000, 0)


async def test_every_attempt_holds_for_itself_and_failures_that_bill_nothing_give_it_back(
    running: Start,  # noqa: F811
) -> None:
    async with running([BUSY], [BUSY]) as now:
        await budget(now, 150_000)  # one at a time
        assert (await now.refused(max_output_tokens=100)).reason == "ALL_ATTEMPTS_FAILED"
        assert now.calls() == 3  # one of them asked again
        events = await logged(now.server)
        assert [e.attempt for e in events if isinstance(e, Reserved)] == ["1", "2", "3"]
        assert await standing(now) == (0, 0)


async def test_a_fallback_that_does_not_fit_any_more_is_not_called(running: Start) -> None:  # noqa: F811
    async with running([SLOW], [SLOW]) as now:
        await budget(now, 150_000)
        refusal = await now.refused(max_output_tokens=100)
        assert refusal.reason == "ALL_ATTEMPTS_FAILED"
        assert "Not asked: b/m (BUDGET: " in refusal.message or "Not asked: a/m (BUDGET: " in refusal.message
        assert now.calls() == 1
        spent, reserved = await standing(now)
        assert (spent >= 100_000, reserved) == (True, 0), "a call that timed out may have been billed"
        assert (await now.refused(max_output_tokens=100)).reason == "BUDGET_EXHAUSTED"
        assert now.calls() == 1


async def test_a_call_that_never_left_costs_nothing(running: Start) -> None:  # noqa: F811
    gone = Fail(Timeout("no route", provider="a", model="m", kind=TimeoutKind.CONNECT, after_s=1.0))
    async with running([gone], [gone]) as now:
        await budget(now, 150_000)
        assert (await now.refused(max_output_tokens=100)).reason == "ALL_ATTEMPTS_FAILED"
        assert (now.calls(), await standing(now)) == (3, (0, 0))


async def test_callers_racing_for_the_last_unit(running: Start) -> None:  # noqa: F811
    step = reply("yes", output_tokens=100, delay_s=0.05)
    async with running([step], [step]) as now:
        await budget(now, 350_000)  # three calls
        replies = await asyncio.gather(
            *(now.complete(max_output_tokens=100) for _ in range(40)), return_exceptions=True
        )
        assert sum(not isinstance(r, BaseException) for r in replies) == now.calls() == 3
        spent, reserved = await standing(now)
        assert (spent, reserved) == (3 * 110_000, 0)


async def test_without_a_bound_the_call_gets_the_one_that_was_held(running: Start) -> None:  # noqa: F811
    async with running([reply("yes")], [reply("yes")]) as now:
        await now.complete()
        await budget(now, 100_000_000)
        await now.complete()
        bounds = [r.max_output_tokens for adapter in now.adapters.values() for r in adapter.calls]
        assert sorted(bounds, key=str) == [4_096, None]


GENERATIONS: dict[str, dict[str, Any]] = {
    "tools": {"tools": [{"name": "look", "description": "x" * 4_000, "parameters_json_schema": "{}"}]},
    "parameters": {"tools": [{"name": "look", "parameters_json_schema": f'{{"title": "{"x" * 4_000}"}}'}]},
    "schema": {"response_json_schema": f'{{"title": "{"x" * 4_000}"}}'},
}


@pytest.mark.parametrize("offered", GENERATIONS)
async def test_tools_and_schemas_are_held_for_and_must_fit_the_window(
    running: Start,  # noqa: F811
    offered: str,
) -> None:
    able = {"capabilities": ["tools", "json_schema"]}
    small = able | {"context_window": 1_110}
    generation = GENERATIONS[offered]
    async with running([reply("yes")], [reply("yes")], models=(able, small)) as now:
        await budget(now, 1_600_000)
        made = await now.complete(max_output_tokens=100, generation=generation)
        assert made.model == "a/m"
        (excluded,) = made.excluded
        assert (excluded.model, excluded.reason) == ("b/m", decision_pb2.EXCLUSION_REASON_CONTEXT_WINDOW)
        (held,) = [e.hold for e in await logged(now.server) if isinstance(e, Reserved)]
        assert held.nano_usd >= 1_100_000, "1,000 tokens of schema and 100 of output, at a dollar a million"
        counted = await now.complete(max_output_tokens=100, generation=generation, input_tokens=5)
        assert len(counted.ranking) == 1, "a caller's word does not make it smaller"
        await now.complete(max_output_tokens=100, generation=generation, input_tokens=1_450)
        *_, larger = [e.hold for e in await logged(now.server) if isinstance(e, Reserved)]
        assert larger.nano_usd >= 1_550_000, "but larger"
        await budget_left_below(now, 500_000)
        refusal = await now.refused(max_output_tokens=100, generation=generation)
        assert refusal.reason == "BUDGET_EXHAUSTED"
        assert (await now.complete(max_output_tokens=100)).model


async def budget_left_below(now: Running, left: int) -> None:
    """Lower the budget's limit so that so much is left."""
    spent, reserved = await standing(now)
    wanted = admin_pb2.Budget(budget_id="b", limit_nano_usd=spent + reserved + left)
    await AdminServiceStub(now.channel).UpdateBudget(admin_service_pb2.UpdateBudgetRequest(budget=wanted))


async def test_a_caller_who_leaves_pays_what_the_provider_may_bill(running: Start) -> None:  # noqa: F811
    never: Step = reply("late", delay_s=30.0)
    async with running([never], [never]) as now:
        await budget(now, 1_000_000)
        leaving = asyncio.ensure_future(now.complete(max_output_tokens=100))
        await until(lambda: now.calls() == 1)
        leaving.cancel()

        async def charged() -> bool:
            return (await standing(now))[1] == 0

        await until(charged)
        assert (await standing(now))[0] >= 100_000
        (gone,) = [e for e in await logged(now.server) if isinstance(e, OutcomeReported)]
        assert isinstance(gone.outcome, Outcome)
        assert gone.outcome.failed


async def test_a_model_disabled_while_its_hold_is_written_is_not_called(
    running: Start,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running([reply("a")], [reply("b")]) as now:
        await budget(now, 1_000_000)
        append = now.server.journal.append

        async def meanwhile(*events: Any, **fields: Any) -> int:
            sequence: int = await append(*events, **fields)
            if isinstance(events[0], Reserved):
                monkeypatch.setattr(now.server.journal, "append", append)
                model = now.server.engine.catalog.models[events[0].model]
                await append(msgspec.structs.replace(model, disabled=True, revision=model.revision + 1))
            return sequence

        monkeypatch.setattr(now.server.journal, "append", meanwhile)
        answer = await now.complete(max_output_tokens=100)
        assert answer.attempt_id == "1"
        assert now.calls() == 1
        events = await logged(now.server)
        assert len([e for e in events if isinstance(e, Reserved)]) == 2
        assert len([e for e in events if isinstance(e, Released)]) == 1
        assert await standing(now) == (answer.total_cost_nano_usd, 0)


async def test_a_decide_whose_caller_is_gone_gives_back_its_hold(running: Start) -> None:  # noqa: F811
    async with running([reply("a")], [reply("b")]) as now:
        await budget(now, 1_000_000)
        journal = now.server.journal
        recorded = journal.recorded
        entered, gate = asyncio.Event(), asyncio.Event()

        async def held(decided: Any) -> None:
            await recorded(decided)
            entered.set()
            await gate.wait()

        journal.recorded = held
        call = RouterServiceStub(now.channel).Decide(
            router_service_pb2.DecideRequest(task_class="t", input_tokens=10, max_output_tokens=100)
        )
        await entered.wait()
        assert (await standing(now))[1] >= 100_000
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        async def free() -> bool:
            return await standing(now) == (0, 0)

        await until(free)
