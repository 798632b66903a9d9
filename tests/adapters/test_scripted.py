"""The scripted fake does what the script says, without waiting, and keeps a record."""

from __future__ import annotations

import pytest

from naiad.adapters.base import Answer, Finished, Request, StreamEvent, TextDelta, user
from naiad.adapters.errors import Overloaded, Timeout, Truncated
from tests.adapters.scripted import Fail, Reply, Scripted, ScriptExhausted, reply


class Sleeps:
    """A sleep that returns at once and remembers."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def question(text: str = "hi") -> Request:
    return Request("m", (user(text),))


async def read(scripted: Scripted, timeout_s: float, *, into: list[StreamEvent]) -> None:
    async for event in scripted.stream(question(), timeout_s=timeout_s):
        into.append(event)


async def test_steps_are_played_in_order_and_calls_recorded() -> None:
    error = Overloaded("529", provider="scripted", model="m", status=529)
    scripted = Scripted([reply("one"), Fail(error), lambda request: reply(request.last_user_text.upper())])
    assert (await scripted.complete(question("a"), timeout_s=1)).text == "one"
    with pytest.raises(Overloaded) as caught:
        await scripted.complete(question("b"), timeout_s=1)
    assert caught.value is error
    assert (await scripted.complete(question("c"), timeout_s=1)).text == "C"
    assert [request.last_user_text for request in scripted.calls] == ["a", "b", "c"]
    with pytest.raises(ScriptExhausted, match="call 4 of a script with 3 steps"):
        await scripted.complete(question(), timeout_s=1)


async def test_a_looping_script_keeps_its_last_step() -> None:
    scripted = Scripted([reply("first"), reply("then")], loop=True)
    texts = [(await scripted.complete(question(), timeout_s=1)).text for _ in range(4)]
    assert texts == ["first", "then", "then", "then"]


async def test_delays_are_slept_and_longer_ones_time_out() -> None:
    sleeps = Sleeps()
    scripted = Scripted([reply("late", delay_s=2.0)], loop=True, sleep=sleeps)
    assert (await scripted.complete(question(), timeout_s=2.0)).text == "late"
    with pytest.raises(Timeout) as caught:
        await scripted.complete(question(), timeout_s=1.5)
    assert caught.value.after_s == 1.5
    assert sleeps.slept == [2.0, 1.5]


async def test_a_streams_delays_share_one_timeout() -> None:
    sleeps = Sleeps()
    scripted = Scripted([reply("a b c d", delay_s=1.0, delta_delay_s=1.0)], loop=True, sleep=sleeps)
    seen: list[StreamEvent] = []
    with pytest.raises(Timeout):
        await read(scripted, 3.5, into=seen)
    assert seen == [TextDelta("a "), TextDelta("b "), TextDelta("c ")]
    assert sleeps.slept == [1.0, 1.0, 1.0, 0.5]
    events = [event async for event in scripted.stream(question(), timeout_s=4.0)]
    assert isinstance(events[-1], Finished)


async def test_a_cut_stream_yields_its_beginning_and_no_finish() -> None:
    error = Truncated("cut", provider="scripted", model="m")
    scripted = Scripted([Fail(error, deltas=(TextDelta("half an "),))])
    seen: list[StreamEvent] = []
    with pytest.raises(Truncated):
        await read(scripted, 1.0, into=seen)
    assert seen == [TextDelta("half an ")]
    assert scripted.open_calls == 0


async def test_an_answer_keeps_its_model_or_takes_the_requests() -> None:
    step = reply("x")
    named = Reply(Answer(step.answer.parts, step.answer.finish, step.answer.usage, "m-2026-01"))
    scripted = Scripted([step, named])
    models = [(await scripted.complete(question(), timeout_s=1)).model for _ in range(2)]
    assert models == ["m", "m-2026-01"]


async def test_a_repeated_error_does_not_grow() -> None:
    scripted = Scripted([Fail(Overloaded("529", provider="p", model="m"))], loop=True)
    depths = []
    for _ in range(5):
        with pytest.raises(Overloaded) as caught:
            await scripted.complete(question(), timeout_s=1)
        trace, depth = caught.value.__traceback__, 0
        while trace is not None:
            trace, depth = trace.tb_next, depth + 1
        depths.append(depth)
    assert len(set(depths)) == 1


def test_an_empty_script_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Scripted([])
