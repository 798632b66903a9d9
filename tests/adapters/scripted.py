"""An adapter that plays a script: the fake of the provider boundary.

    adapter = Scripted([reply("Paris"), Fail(Overloaded(...)), reply("Rome", delay_s=0.2)])

Each call takes the next step. Delays go through an injected `sleep`, so a test need not wait; a delay longer
than the call's `timeout_s` sleeps for `timeout_s` and raises `Timeout`, as a real provider would.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import TypeAlias

from naiad.adapters.base import (
    Answer,
    Delta,
    Finished,
    FinishReason,
    Request,
    StreamEvent,
    TextPart,
    Usage,
)
from naiad.adapters.errors import AdapterClosed, ProviderError
from naiad.adapters.streams import check_timeout, deltas_of, timed_out
from naiad.adapters.tokens import tokens_of_bytes

Sleep: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer after `delay_s` seconds; in a stream each further delta comes `delta_delay_s` after the last.

    An answer whose `model` is empty gets the model of the request.
    """

    answer: Answer
    delay_s: float = 0.0
    delta_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise `error` after `delay_s` seconds; a stream yields `deltas` first (a stream that is cut)."""

    error: ProviderError
    delay_s: float = 0.0
    deltas: tuple[Delta, ...] = ()


Step: TypeAlias = Reply | Fail | Callable[[Request], Reply | Fail]


class ScriptExhausted(RuntimeError):
    """More calls came than the script has steps: the test, not the provider, is wrong."""


def reply(
    text: str,
    *,
    input_tokens: int = 10,
    output_tokens: int | None = None,
    finish: FinishReason = FinishReason.STOP,
    delay_s: float = 0.0,
    delta_delay_s: float = 0.0,
) -> Reply:
    """Make a step that answers with plain text; `output_tokens` None estimates them from the text."""
    if output_tokens is None:
        output_tokens = tokens_of_bytes(len(text.encode()))
    answer = Answer(
        parts=(TextPart(text),) if text else (),
        finish=finish,
        usage=Usage(input_tokens, output_tokens),
        model="",
    )
    return Reply(answer, delay_s, delta_delay_s)


class Scripted:
    """Plays its steps one call at a time, in the order of the calls; with `loop=True` the last step stays.

    `calls` holds the requests seen, `open_calls` how many are under way (0 after a cancelled call, too).
    """

    def __init__(
        self,
        steps: Iterable[Step],
        *,
        provider: str = "scripted",
        loop: bool = False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        script = tuple(steps)
        if not script:
            raise ValueError("the script is empty; give at least one step")
        self.provider = provider
        self.calls: list[Request] = []
        self.open_calls = 0
        self.closed = False
        self._n_steps = len(script)
        self._loop = loop
        self._steps: Iterator[Step] = chain(script, repeat(script[-1])) if loop else iter(script)
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"Scripted(provider={self.provider!r}, steps={self._n_steps}, loop={self._loop})"

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Play the next step; raise its error, or `Timeout` if the step takes longer than `timeout_s`."""
        step = self._next(request, timeout_s)
        self.open_calls += 1
        try:
            await self._wait(step.delay_s, timeout_s, timeout_s, request)
            if isinstance(step, Fail):
                raise step.error.with_traceback(None)  # or the traceback grows with each call
            return _named(step.answer, request)
        finally:
            self.open_calls -= 1

    async def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Play the next step piece by piece; a `Fail` yields its deltas before it raises."""
        step = self._next(request, timeout_s)
        self.open_calls += 1
        try:
            left_s = await self._wait(step.delay_s, timeout_s, timeout_s, request)
            if isinstance(step, Fail):
                for delta in step.deltas:
                    yield delta
                raise step.error.with_traceback(None)  # or the traceback grows with each call
            for position, delta in enumerate(deltas_of(step.answer.parts)):
                if position:
                    left_s = await self._wait(step.delta_delay_s, left_s, timeout_s, request)
                yield delta
            yield Finished(_named(step.answer, request))
        finally:
            self.open_calls -= 1

    async def aclose(self) -> None:
        """Refuse calls from now on."""
        self.closed = True

    def _next(self, request: Request, timeout_s: float) -> Reply | Fail:
        check_timeout(timeout_s, provider=self.provider, model=request.model)
        if self.closed:
            raise AdapterClosed("the script is closed", provider=self.provider, model=request.model)
        step = next(self._steps, None)
        if step is None:
            raise ScriptExhausted(
                f"call {len(self.calls) + 1} of a script with {self._n_steps} steps; add a step or loop=True"
            )
        self.calls.append(request)
        return step if isinstance(step, Reply | Fail) else step(request)

    async def _wait(self, delay_s: float, left_s: float, timeout_s: float, request: Request) -> float:
        """Sleep for `delay_s` and return what is left of the time, or raise `Timeout` when none is."""
        if delay_s > left_s:
            await self._sleep(left_s)
            raise timed_out(timeout_s, timeout_s, provider=self.provider, model=request.model)
        if delay_s > 0:
            await self._sleep(delay_s)
        return left_s - delay_s


def _named(answer: Answer, request: Request) -> Answer:
    return answer if answer.model else replace(answer, model=request.model)
