"""Simulated failures around any adapter: what the callers of a real one see, at the calls that the faults befall.

The errors are made by what makes the real ones: a status by the wire format's own reading of a reply, silence by the
limits of time of an exchange, garbage by the decoder. A status, a refusal, and whatever befalls a call before its first
piece, reach no provider; what breaks a stream off later lets the provider work, who bills it.

Every answer says in a notice that failures are simulated here, also one that no fault befell.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any, NoReturn

import msgspec

from naiad.adapters.base import Adapter, Answer, Finished, Request, StreamEvent
from naiad.adapters.deadline import Deadline
from naiad.adapters.departure import depart
from naiad.adapters.endpoint import Patience
from naiad.adapters.errors import AdapterClosed, ConnectionFailed, ProviderError, TimeoutKind, Truncated
from naiad.adapters.exchange import Asked, Reply, decoded
from naiad.adapters.failures import failure_of
from naiad.adapters.faults import Fault, FaultKind
from naiad.adapters.streams import check_timeout, timed_out

Failure = Callable[[Reply], ProviderError]
"""What makes the error of a reply that is no success."""


def _failure(reply: Reply) -> ProviderError:
    return failure_of(reply, now=datetime.now(UTC))


class Chaos:
    """An adapter whose calls meet with faults; the first of them that a call meets is the one that befalls it.

    endpoint: the adapter's name, in errors and for patterns. rng: for probabilities. clock: seconds since the start.
    failure: the wrapped adapter's own, so that codes mean what they mean there. patience: how long silence lasts.
    on_fault: told of each fault that befalls a call, with the model, before it does.
    """

    def __init__(
        self,
        inner: Adapter,
        faults: Sequence[Fault],
        *,
        endpoint: str,
        rng: Random,
        clock: Callable[[], float],
        failure: Failure = _failure,
        patience: Patience | None = None,
        on_fault: Callable[[Fault, str], None] = lambda fault, model: None,
    ) -> None:
        self._inner = inner
        self._faults = tuple(faults)
        self._met = [0] * len(faults)  # calls that matched each fault
        self._endpoint = endpoint
        self._rng = rng
        self._clock = clock
        self._failure = failure
        self._patience = patience or Patience()
        self._on_fault = on_fault
        self._closed = False

    def __repr__(self) -> str:
        return f"Chaos({self._inner!r}, faults={len(self._faults)})"

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Ask, and wait for the answer or for what befalls the call; raises as `base.Adapter` says."""
        asked, deadline, fault = self._begin(request, timeout_s)
        if fault is not None and fault.kind is not FaultKind.DELAY:
            await self._befall(fault, asked, deadline, pieces=0)
        left_s = await self._delayed(fault, asked, timeout_s)
        return self._noted(await self._inner.complete(request, timeout_s=left_s), fault)

    async def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the answer until its end or until what befalls the call; raises as `base.Adapter` says."""
        asked, deadline, fault = self._begin(request, timeout_s)
        breaks = fault is not None and fault.kind is not FaultKind.DELAY
        if fault is not None and breaks and not fault.deltas:
            await self._befall(fault, asked, deadline, pieces=0)
        left_s = await self._delayed(fault, asked, timeout_s)
        pieces = 0
        async with aclosing(self._inner.stream(request, timeout_s=left_s)) as events:
            async for event in events:
                if fault is not None and breaks and (pieces == fault.deltas or isinstance(event, Finished)):
                    await self._befall(fault, asked, deadline, pieces=pieces)
                pieces += 1
                yield Finished(self._noted(event.answer, fault)) if isinstance(event, Finished) else event

    async def aclose(self) -> None:
        """Close the adapter."""
        self._closed = True
        await self._inner.aclose()

    def _begin(self, request: Request, timeout_s: float) -> tuple[Asked, Deadline, Fault | None]:
        """Say what befalls a call; all that changes by a call changes here, at once."""
        asked = Asked(self._endpoint, request.model)
        check_timeout(timeout_s, provider=asked.provider, model=asked.model)
        if self._closed:
            raise asked.error(AdapterClosed, f"the endpoint {self._endpoint!r} is closed")
        fault = self._drawn(request.model)
        if fault is not None:
            self._on_fault(fault, request.model)
        return asked, Deadline(asked, timeout_s), fault

    def _drawn(self, model: str) -> Fault | None:
        at_s = self._clock()
        found: Fault | None = None
        for n, fault in enumerate(self._faults):
            if not fault.matches(self._endpoint, model, at_s):
                continue
            self._met[n] += 1
            if fault.probability is not None:
                befalls = self._rng.random() < fault.probability  # drawn also where another came first
            else:
                befalls = self._met[n] % (fault.every or 1) == 0
            found = found or (fault if befalls else None)
        return found

    async def _befall(self, fault: Fault, asked: Asked, deadline: Deadline, *, pieces: int) -> NoReturn:
        """Let a call fail; pieces: those that came before."""
        match fault.kind:
            case FaultKind.STATUS:
                raise self._failure(_reply(fault, asked))
            case FaultKind.REFUSE:
                raise asked.error(ConnectionFailed, "the connection was refused (simulated)")
            case FaultKind.CUT:
                raise asked.error(Truncated, "the reply ended before its end (simulated)", status=200)
            case FaultKind.STALL:
                await self._silence(deadline, pieces)
        decoded(b"<html>simulated</html>", dict[str, Any], asked)
        raise AssertionError(f"no fault: {fault!r}")

    async def _silence(self, deadline: Deadline, pieces: int) -> NoReturn:
        """Wait until somebody's patience is over."""
        kind, limit_s = TimeoutKind.IDLE, self._patience.idle_s
        if not pieces:
            kind, limit_s = TimeoutKind.FIRST_BYTE, self._patience.first_byte_s
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline.next(limit_s)):
                await asyncio.Event().wait()
        raise deadline.passed(kind, limit_s)

    async def _delayed(self, fault: Fault | None, asked: Asked, timeout_s: float) -> float:
        """Wait as the fault says, and return what is left of the caller's time, seconds."""
        delay_s = fault.delay_s if fault is not None else None
        if delay_s is None:
            return timeout_s
        await asyncio.sleep(min(delay_s, timeout_s))
        if delay_s >= timeout_s:
            raise timed_out(timeout_s, timeout_s, provider=asked.provider, model=asked.model)
        depart()  # it was let go before it waited
        return timeout_s - delay_s

    def _noted(self, answer: Answer, fault: Fault | None) -> Answer:
        """Return an answer that says how it came about."""
        notices: tuple[str, ...] = (f"Simulated failures are on at the endpoint {self._endpoint!r}.",)
        delay_s = fault.delay_s if fault is not None else None
        if delay_s is None:
            return replace(answer, notices=(*answer.notices, *notices))
        latency_s = None if answer.latency_s is None else answer.latency_s + delay_s
        notices += (f"This answer was held back for {delay_s:g} s.",)
        return replace(answer, notices=(*answer.notices, *notices), latency_s=latency_s)


def _reply(fault: Fault, asked: Asked) -> Reply:
    """Return the reply of a status, in the shape that the providers' errors have in common."""
    said: dict[str, Any] = {"message": "simulated"}
    if fault.code:
        said |= {"type": fault.code, "code": fault.code, "status": fault.code}
    headers = {} if fault.retry_after_s is None else {"retry-after": f"{fault.retry_after_s:g}"}
    return Reply(asked, fault.status or 500, headers, msgspec.json.encode({"error": said}))
