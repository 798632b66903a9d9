"""The breakers of a server: which errors count, what eligibility and the egress make of them, and what the log says."""

from __future__ import annotations

import asyncio
import operator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from naiad.adapters import errors as provider
from naiad.adapters.base import Request, TextDelta, user
from naiad.adapters.errors import ProviderError, Timeout, TimeoutKind
from naiad.server.breaker import State
from naiad.server.breakers import LONGEST_COOLDOWN_S, LONGEST_WAIT_S, Breakers
from naiad.server.catalog import Catalog
from naiad.server.egress import Egress, Kind, NotPermitted
from naiad.server.eligibility import Eligibility, Needs, Permit, Reason, refusal
from naiad.server.errors import NaiadError
from naiad.server.governance import Claims, Governance
from naiad.server.records import TaskClassPut
from tests.adapters.scripted import Fail, Reply, Scripted, Step, reply
from tests.server.builders import model

WHO: dict[str, Any] = {"provider": "echo", "model": "m0"}
DOWN = provider.ServerError("down", **WHO)
NEEDS = Needs(1_000, 100)
ENDPOINTS = frozenset({"echo"})
NONE: frozenset[str] = frozenset()
ASKED = Request("unset", (user("hello"),))


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def trip(breakers: Breakers, index: int = 0, error: ProviderError = DOWN, times: int = 5) -> None:
    """Let calls of a model fail."""
    for _ in range(times):
        breakers.failed(breakers.begin(model(index)), error)


def timeout(kind: TimeoutKind, after_s: float = 1.0) -> Timeout:
    return Timeout("late", kind=kind, after_s=after_s, **WHO)


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (provider.ServerError("x", **WHO), True),
        (provider.Overloaded("x", **WHO), True),
        (provider.RateLimited("x", **WHO), True),
        (provider.ConnectionFailed("x", **WHO), True),
        (provider.EgressRefused("x", **WHO), True),
        (provider.Truncated("x", **WHO), True),
        (provider.MalformedAnswer("x", **WHO), True),
        (timeout(TimeoutKind.CONNECT), True),
        (timeout(TimeoutKind.FIRST_BYTE), True),
        (timeout(TimeoutKind.IDLE), True),
        (timeout(TimeoutKind.TOTAL, 9.0), True),
        (timeout(TimeoutKind.TOTAL, 1.0), False),  # less than it may well take
        (provider.AuthenticationFailed("x", **WHO), True),  # every request would meet it
        (provider.ModelNotFound("x", **WHO), True),
        (provider.InvalidRequest("x", **WHO), False),  # callers could do it to each other
        (provider.ContextTooLong("x", **WHO), False),
        (provider.AdapterClosed("x", **WHO), False),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Exception) else str(value),
)
def test_what_counts_as_a_failure(error: ProviderError, opens: bool) -> None:
    breakers = Breakers(Clock())
    for _ in range(5):
        breakers.failed(breakers.begin(model(0)), error, fair_s=5.0)
    assert (breakers.state(model(0)).state is State.OPEN) == opens
    assert breakers.troubled == opens


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (provider.RateLimited("x", retry_after_s=2.5, **WHO), 2.5),
        (provider.Overloaded("x", retry_after_s=0.0, **WHO), 0.0),
        (provider.RateLimited("x", retry_after_s=1e12, **WHO), LONGEST_WAIT_S),
        (provider.RateLimited("x", retry_after_s=float("nan"), **WHO), LONGEST_WAIT_S),
        (provider.RateLimited("x", retry_after_s=-5.0, **WHO), 0.0),
        (provider.QuotaExhausted("x", retry_after_s=22.0, **WHO), 3_600.0),
        (provider.QuotaExhausted("x", cooldown_s=1e12, **WHO), LONGEST_COOLDOWN_S),
    ],
)
def test_one_word_of_the_provider_is_enough(error: ProviderError, wait_s: float) -> None:
    breakers = Breakers(Clock())
    trip(breakers, error=error, times=1)
    assert breakers.state(model(0)).state is State.OPEN
    assert breakers.ready_in_s(model(0)) == wait_s


def test_a_breaker_is_of_one_model_at_one_endpoint() -> None:
    breakers = Breakers(Clock())
    trip(breakers)
    assert breakers.objection(model(0))
    assert not breakers.objection(model(1))
    assert not breakers.objection(model(0, endpoint="other"))
    assert breakers.objection(model(7, upstream_model="m0")), "the same model under another name"


def test_the_log_tells_of_every_change() -> None:
    clock = Clock()
    breakers = Breakers(clock)
    with capture_logs() as logs:
        trip(breakers)
        clock.now_s = 1.0
        breakers.failed(breakers.begin(model(0)), DOWN)
        clock.now_s = 3.0
        breakers.succeeded(breakers.begin(model(0)))
    assert [(e["event"], e.get("wait_s")) for e in logs] == [
        ("breaker_opened", 1.0), ("breaker_half_open", None), ("breaker_opened", 2.0),
        ("breaker_half_open", None), ("breaker_closed", None),
    ]  # fmt: skip
    assert all((e["endpoint"], e["model"]) == ("echo", "m0") for e in logs)
    assert breakers.troubled == 0


@given(st.sets(st.integers(0, 3)), st.booleans())
def test_split_says_what_the_one_function_says(out: set[int], twice: bool) -> None:
    catalog = Catalog()
    for index in range(4):
        catalog.put_model(model(index, disabled=index == 3))
    eligibility = Eligibility(catalog, ENDPOINTS)
    breakers = eligibility.breakers = Breakers(Clock())
    if twice:
        eligibility.split(NEEDS, NONE)
    for index in out:
        trip(breakers, index)
    each = [refusal(m, NEEDS, NONE, ENDPOINTS, Governance(), breakers) for m in catalog.live]
    expected = [m.model for m, found in zip(catalog.live, each, strict=True) if found is None]
    assert eligibility.split(NEEDS, NONE, at_present=False)[0] == [0, 1, 2]
    if not expected:
        with pytest.raises(NaiadError) as caught:
            eligibility.split(NEEDS, NONE)
        assert (caught.value.reason, caught.value.code) == ("MODELS_UNAVAILABLE", "UNAVAILABLE")
        assert caught.value.retry_after_s == 1.0
        assert caught.value.metadata["reasons"] == "DISABLED x 1, UNAVAILABLE x 3"
        return
    eligible, excluded = eligibility.split(NEEDS, NONE)
    assert eligible == expected
    by_model = operator.attrgetter("model")
    assert sorted(excluded, key=by_model) == [found for found in each if found is not None]
    assert eligibility.split(NEEDS, NONE)[0] is eligible, "beliefs are kept by the list, as long as it is the same"


# -- the egress --------------------------------------------------------------------------------------------------------


class World:
    """An egress over one scripted model."""

    def __init__(self, *steps: Step) -> None:
        self.clock = Clock()
        catalog = Catalog()
        catalog.put_model(model(0))
        catalog.put_task_class(TaskClassPut(task_class=0, name="a"))
        self.eligibility = Eligibility(catalog, ENDPOINTS)
        self.adapter = Scripted(steps, loop=True)
        self.egress = Egress(catalog, self.eligibility, {"echo": self.adapter}, Breakers(self.clock))
        self.permit: Permit = self.eligibility.permit([0], NEEDS, Claims("", "", "", "", ""), 0)

    @property
    def state(self) -> State:
        return self.egress.breakers.state(model(0)).state

    async def call(self, stream: bool = False) -> None:
        """Call the model."""
        if not stream:
            await self.egress.call(self.permit, Kind.PRIMARY, 0, ASKED, timeout_s=9.0)
            return
        async for _ in self.egress.stream(self.permit, Kind.PRIMARY, 0, ASKED, timeout_s=9.0):
            pass


@pytest.mark.parametrize("stream", [False, True])
async def test_the_egress_lets_no_call_to_an_open_breaker_out(stream: bool) -> None:
    world = World(*[Fail(DOWN, deltas=(TextDelta("a"),))] * 5, reply("well again"))
    for _ in range(5):
        with pytest.raises(ProviderError):
            await world.call(stream)
    with pytest.raises(NotPermitted) as caught:
        await world.call(stream)
    assert caught.value.exclusion.reason == Reason.UNAVAILABLE
    assert (len(world.adapter.calls), world.egress.on_wire()) == (5, [])
    world.clock.now_s = 1.0
    await world.call(stream)
    assert world.state is State.CLOSED


@pytest.mark.parametrize("stream", [False, True])
async def test_a_probe_is_alone_and_one_that_is_cancelled_leaves_its_place(stream: bool) -> None:
    world = World(*[Fail(DOWN)] * 5, reply("slow", delay_s=5.0), reply("quick"))
    for _ in range(5):
        with pytest.raises(ProviderError):
            await world.call()
    world.clock.now_s = 1.0
    probe = asyncio.ensure_future(world.call(stream))
    await asyncio.sleep(0)
    assert world.state.value == "half_open"
    with pytest.raises(NotPermitted, match="waits for one call"):
        await world.call()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    await world.call(stream)
    assert world.state is State.CLOSED


async def test_a_stream_that_ends_in_silence_is_a_failure() -> None:
    class Silent(Scripted):
        async def stream(self, request: Request, *, timeout_s: float) -> Any:
            yield TextDelta("half an ans")

    world = World(reply("x"))
    world.adapter = Silent([reply("x")])
    world.egress = Egress(world.eligibility._catalog, world.eligibility, {"echo": world.adapter}, Breakers(world.clock))
    for _ in range(5):
        with pytest.raises(provider.Truncated):
            await world.call(stream=True)
    assert world.state is State.OPEN


@pytest.mark.parametrize("stream", [False, True])
async def test_an_allowance_that_is_used_up_pauses_the_model(stream: bool) -> None:
    answer = reply("the last one").answer
    world = World(Reply(replace(answer, pause_s=2.5)), reply("more"))
    await world.call(stream)
    assert world.state is State.OPEN
    assert world.egress.breakers.ready_in_s(model(0)) == 2.5
    with pytest.raises(NotPermitted, match="allowance is used up"):
        await world.call(stream)
    world.clock.now_s = 2.5
    await world.call(stream)
    assert world.egress.breakers.troubled == 0
