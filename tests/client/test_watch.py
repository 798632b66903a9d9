"""Following a watch with both clients: what is sent and read, when it goes on at its cursor, and when it gives up."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import grpc
import pytest

from naiad.client import (
    ArmsUpdate,
    ArmTable,
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NaiadError,
    ResourceExhausted,
    RetryPolicy,
    Unavailable,
)
from naiad.client.operations import insight
from naiad.v1 import insight_pb2
from naiad.v1.insight_service_pb2 import WatchArmsResponse
from tests.client.conftest import Face
from tests.client.fake import Failure, FakeNaiad

DOWN = Failure(grpc.StatusCode.UNAVAILABLE, "down")
DRAINING = Failure(grpc.StatusCode.UNAVAILABLE, "draining", "ERROR_REASON_DRAINING", {"method": "m"}, 1.0)
BAD = Failure(grpc.StatusCode.INVALID_ARGUMENT, "bad cursor", "ERROR_REASON_CURSOR_INVALID", {"field": "cursor"})


def downs(count: int) -> list[list[WatchArmsResponse | Failure]]:
    """Return streams that break before they send anything."""
    return [[DOWN] for _ in range(count)]


def response(cursor: str, *pulls: int, **fields: Any) -> WatchArmsResponse:
    """Return a response with an arm for each number of pulls, of models m0, m1 ..."""
    arms = [insight_pb2.Arm(task_class="t", model=f"acme/m{i}", pulls=n) for i, n in enumerate(pulls)]
    return WatchArmsResponse(cursor=cursor, arms=arms, **fields)


async def follow(naiad: Face, most: int = 100, **arguments: Any) -> tuple[list[ArmsUpdate], NaiadError | None]:
    """Return what a watch yields, up to a number of updates, and how it ends by itself."""
    found: list[ArmsUpdate] = []
    stream = naiad.client.watch_arms(**arguments)

    def pull() -> None:
        for update in stream:
            found.append(update)
            if len(found) == most:
                break
        stream.close()

    try:
        if naiad.kind == "async":
            async for update in stream:
                found.append(update)
                if len(found) == most:
                    break
            await stream.aclose()
        else:
            await asyncio.to_thread(pull)
    except NaiadError as error:
        return found, error
    return found, None


async def test_it_sends_what_it_is_given_and_yields_what_it_gets(naiad: Face, fake: FakeNaiad) -> None:
    removed = [insight_pb2.RemovedArm(task_class="t", model="acme/old")]
    fake.watches = [
        [
            response("c1", 4, 5, restart="WATCH_RESTART_NO_CURSOR", sequence=9),
            response("c2", removed=removed, checkpoint=True),
        ]
    ]
    found, _ = await follow(naiad, 2, task_class="t", model="acme/m", cursor="c0", interval_s=0.25)
    (request,) = fake.requests("WatchArms")
    assert (request.task_class, request.model, request.cursor) == ("t", "acme/m", "c0")
    assert request.interval.ToMilliseconds() == 250
    first, second = found
    assert [(arm.model, arm.pulls) for arm in first.arms] == [("acme/m0", 4), ("acme/m1", 5)]
    assert (first.cursor, first.sequence, first.restart, first.checkpoint) == ("c1", 9, "no_cursor", False)
    assert (second.restart, second.checkpoint, second.removed[0].model) == ("", True, "acme/old")
    assert first.raw == response("c1", 4, 5, restart="WATCH_RESTART_NO_CURSOR", sequence=9)


async def test_without_arguments_nothing_is_set(naiad: Face, fake: FakeNaiad) -> None:
    await follow(naiad, 1)
    (seen,) = fake.seen
    assert seen.request == type(seen.request)()
    assert seen.left_s is None or seen.left_s > 1e9, "it has no deadline"


@pytest.mark.parametrize(
    "broken",
    [[DOWN], [DRAINING], [], [Failure(grpc.StatusCode.CANCELLED, "cut off")]],
    ids=["down", "draining", "ended", "cut off"],
)
async def test_it_goes_on_at_its_cursor(naiad: Face, fake: FakeNaiad, broken: list[Any]) -> None:
    fake.watches = [[response("c1", 1), response("c2"), *broken], [DOWN], [response("c3", 2)]]
    found, error = await follow(naiad, 3)
    assert error is None
    assert [update.cursor for update in found] == ["c1", "c2", "c3"]
    assert [request.cursor for request in fake.requests("WatchArms")] == ["", "c2", "c2"]
    if broken == [DRAINING]:
        assert naiad.time.waits_s[0] >= 1.0


async def test_it_gives_up_when_nothing_comes_for_too_long(naiad: Face, fake: FakeNaiad) -> None:
    fake.watches = [[response("c1", 1), DOWN], *downs(1_000)]
    found, error = await follow(naiad, reconnect_s=20.0)
    assert len(found) == 1
    assert isinstance(error, Unavailable)
    assert 10 < len(fake.requests("WatchArms")) < 1_000
    assert 15.0 < sum(naiad.time.waits_s) < 20.0


async def test_each_response_gives_it_new_patience(naiad: Face, fake: FakeNaiad) -> None:
    for number in range(30):
        fake.watches += [[DOWN], [response(f"c{number}"), DOWN]]
    found, error = await follow(naiad, 30, reconnect_s=5.0)
    assert error is None
    assert sum(naiad.time.waits_s) > 5.0
    assert found[-1].cursor == "c29"


async def test_without_patience_it_ends_with_the_break(naiad: Face, fake: FakeNaiad) -> None:
    fake.watches = [[response("c1"), DOWN]]
    found, error = await follow(naiad, reconnect_s=0)
    assert (len(found), type(error)) == (1, Unavailable)
    assert len(fake.requests("WatchArms")) == 1


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (BAD, InvalidArgument),
        (Failure(grpc.StatusCode.INTERNAL, "defect"), Internal),
        (Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "no word of when"), ResourceExhausted),
        (Failure(grpc.StatusCode.CANCELLED, "told", "ERROR_REASON_CANCELLED"), Cancelled),
    ],
    ids=["argument", "defect", "exhausted", "cancelled"],
)
async def test_what_will_not_pass_is_raised(
    naiad: Face, fake: FakeNaiad, failure: Failure, kind: type[NaiadError]
) -> None:
    fake.watches = [[response("c1"), failure]]
    found, error = await follow(naiad)
    assert (len(found), type(error)) == (1, kind)
    assert error is not None
    assert error.reason == failure.reason
    assert len(fake.requests("WatchArms")) == 1


async def test_a_full_server_is_asked_again_when_it_says(naiad: Face, fake: FakeNaiad) -> None:
    full = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", "ERROR_REASON_OVERLOADED", retry_after_s=0.5)
    fake.watches = [[full], [response("c1")]]
    found, error = await follow(naiad, 1)
    assert (len(found), error) == (1, None)
    assert naiad.time.waits_s[0] >= 0.5


async def test_its_time_is_that_of_the_whole(naiad: Face, fake: FakeNaiad) -> None:
    fake.watches = [[response("c1"), DOWN], *downs(1_000)]
    _, error = await follow(naiad, timeout_s=10.0)
    assert isinstance(error, Unavailable), "the break is the reason, not the time that it would have taken"
    left = [seen.left_s for seen in fake.seen]
    assert all(s is not None and s < 10.5 for s in left)
    assert sum(naiad.time.waits_s) < 10.0
    fake.watches = []
    _, error = await follow(naiad, timeout_s=0.2)
    assert isinstance(error, DeadlineExceeded)
    _, error = await follow(naiad, timeout_s=0)
    assert isinstance(error, DeadlineExceeded)


async def test_leaving_the_loop_hangs_up(naiad: Face, fake: FakeNaiad) -> None:
    """Also where somebody still holds the stream: when nobody does, gRPC hangs up by itself."""
    held: list[Any] = []
    rpc = naiad.client._rpc

    def holding(call: Any, **kind: bool) -> Any:
        def send(*arguments: Any, **options: Any) -> Any:
            held.append(rpc(call, **kind)(*arguments, **options))
            return held[-1]

        return send

    naiad.client._rpc = holding
    found, _ = await follow(naiad, 1)
    assert found[0].cursor == "held"
    assert len(held) == 1
    assert await asyncio.to_thread(fake.hung_up.wait, 10)


@pytest.mark.parametrize(
    "arguments",
    [
        {"reconnect_s": -1},
        {"reconnect_s": math.nan},
        {"timeout_s": math.nan},
        {"timeout_s": -1},
        {"interval_s": math.inf},
        {"interval_s": math.nan},
        {"interval_s": -1},
    ],
)
async def test_times_that_are_none(naiad: Face, arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        naiad.client.watch_arms(**arguments)


def test_the_state_is_a_value() -> None:
    watch = insight.watch_arms(cursor="c0", reconnect_s=10.0, timeout_s=100.0)
    state = watch.begin(RetryPolicy(), now_s=0.0)
    first = state.after(Unavailable("down"), now_s=1.0, uniform=0.5)
    assert first is not None
    assert (first.delay_s, first.then.broken) == (0.05, 1)
    assert state.broken == 0
    assert first.then.after(Unavailable("down"), now_s=9.99, uniform=0.9) is None, "patience ends at 10"
    item = watch.open("c0").parse(response("c1"))
    again = first.then.received(item, now_s=5.0)
    assert (again.cursor, again.broken, again.patience_s) == ("c1", 0, 15.0)
    call, left_s = again.next_call(60.0)
    assert (call.request.cursor, left_s) == ("c1", 40.0)  # type: ignore[attr-defined]
    with pytest.raises(DeadlineExceeded):
        again.next_call(100.0)


def test_a_table_is_what_the_updates_amount_to() -> None:
    parse = insight.watch_arms().open("").parse
    table = ArmTable()
    table.apply(parse(response("1", 1, 2, 3, restart="WATCH_RESTART_NO_CURSOR")))
    assert (len(table.arms), table.sequence) == (3, 0)
    table.apply(parse(response("2", 7, sequence=5, checkpoint=True)))
    gone = insight_pb2.RemovedArm(task_class="t", model="acme/m1")
    table.apply(parse(response("3", removed=[gone, insight_pb2.RemovedArm(task_class="t", model="never/was")])))
    assert [(arm.model, arm.pulls) for arm in table.arms] == [("acme/m0", 7), ("acme/m2", 3)]
    assert table.sequence == 5
    table.apply(parse(response("4", 9, restart="WATCH_RESTART_OTHER_LIFE")))
    assert [(arm.model, arm.pulls) for arm in table.arms] == [("acme/m0", 9)]
