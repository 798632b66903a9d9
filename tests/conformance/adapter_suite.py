"""One suite for the Adapter protocol: subclass it, say how to build the adapter, and every law is tested.

An implementation that cannot fail or cannot be slow says so in `cannot_fail` or `cannot_be_slow`; the tests
concerned are then skipped with that reason, so that exceptions are named and visible.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from contextlib import aclosing
from dataclasses import replace

import pytest

from naiad.adapters.base import Adapter, Answer, Finished, Request, StreamEvent, text_of
from naiad.adapters.errors import AdapterClosed, ProviderError, Timeout, TimeoutKind
from naiad.adapters.streams import collect, parts_of

PATIENCE_S = 30.0
"""Bounds a test that would hang; no law depends on how long anything takes."""


class AdapterSuite(ABC):
    """The laws of `naiad.adapters.base.Adapter`."""

    cannot_fail = ""
    cannot_be_slow = ""
    secrets: tuple[str, ...] = ()

    @abstractmethod
    def make(self) -> Adapter:
        """Build an adapter that answers `request()` at once, any number of times, always the same."""

    @abstractmethod
    def request(self) -> Request:
        """Make a request that succeeds with an answer of more than one word."""

    def slow(self) -> tuple[Adapter, Request]:
        """Build an adapter and a request that takes far longer than 50 ms."""
        pytest.skip(self.cannot_be_slow or "slow() is missing")

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        """Build an adapter and a request that fails, and name the error."""
        pytest.skip(self.cannot_fail or "failing() is missing")

    def open_calls(self, adapter: Adapter) -> int:
        """Count what calls still hold in this adapter: connections, permits, buffers."""
        return 0

    async def events(self, adapter: Adapter, request: Request, timeout_s: float = PATIENCE_S) -> list[StreamEvent]:
        """Read a whole stream."""
        async with aclosing(adapter.stream(request, timeout_s=timeout_s)) as stream:
            return [event async for event in stream]

    async def ask(self, how: str, adapter: Adapter, request: Request, timeout_s: float = PATIENCE_S) -> Answer:
        """Ask by `complete` or by `stream`, whose answer is that of its last event."""
        if how == "complete":
            return await adapter.complete(request, timeout_s=timeout_s)
        async with aclosing(adapter.stream(request, timeout_s=timeout_s)) as stream:
            return await collect(stream, provider="suite", model=request.model)

    # --- answers ---

    async def test_is_an_adapter(self) -> None:
        assert isinstance(self.make(), Adapter)

    async def test_answer_has_its_facts(self) -> None:
        request = self.request()
        answer = await self.make().complete(request, timeout_s=PATIENCE_S)
        assert answer.parts
        assert answer.model
        assert answer.text == text_of(answer.parts)
        self.assert_sane(answer)

    async def test_stream_ends_with_exactly_one_finished(self) -> None:
        events = await self.events(self.make(), self.request())
        assert [isinstance(event, Finished) for event in events].count(True) == 1
        assert isinstance(events[-1], Finished)
        assert len(events) > 2, "an answer of several words comes in several pieces"

    async def test_finished_answer_is_the_deltas_put_together(self) -> None:
        events = await self.events(self.make(), self.request())
        assert isinstance(events[-1], Finished)
        answer = events[-1].answer
        assert parts_of(event for event in events if not isinstance(event, Finished)) == answer.parts
        self.assert_sane(answer)

    async def test_stream_and_complete_agree(self) -> None:
        request = self.request()
        whole = await self.ask("complete", self.make(), request)
        streamed = await self.ask("stream", self.make(), request)
        assert replace(streamed, latency_s=None) == replace(whole, latency_s=None)

    async def test_concurrent_calls_do_not_mix(self) -> None:
        adapter, request = self.make(), self.request()
        alone = await self.make().complete(request, timeout_s=PATIENCE_S)
        calls = [self.ask(how, adapter, request) for how in ("complete", "stream") * 8]
        for answer in await asyncio.gather(*calls):
            assert answer.parts == alone.parts
            assert answer.usage == alone.usage
        assert self.open_calls(adapter) == 0

    # --- time ---

    @pytest.mark.parametrize("timeout_s", [0.0, -1.0, -math.inf])
    async def test_no_time_left_is_a_timeout(self, timeout_s: float) -> None:
        adapter, request = self.make(), self.request()
        with pytest.raises(Timeout) as completed:
            await adapter.complete(request, timeout_s=timeout_s)
        with pytest.raises(Timeout) as streamed:
            await self.events(adapter, request, timeout_s)
        for caught in (completed.value, streamed.value):
            assert caught.kind is TimeoutKind.TOTAL
            self.assert_facts(caught, request)
        assert self.open_calls(adapter) == 0

    async def test_a_timeout_that_is_no_number_is_a_programming_error(self) -> None:
        with pytest.raises(ValueError, match="NaN"):
            await self.make().complete(self.request(), timeout_s=math.nan)

    @pytest.mark.parametrize("how", ["complete", "stream"])
    async def test_slow_answer_times_out(self, how: str) -> None:
        adapter, request = self.slow()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Timeout) as caught:
                await self.ask(how, adapter, request, timeout_s=0.05)
        assert caught.value.kind is TimeoutKind.TOTAL
        assert caught.value.after_s > 0
        self.assert_facts(caught.value, request)
        assert self.open_calls(adapter) == 0

    # --- cancellation ---

    @pytest.mark.parametrize("how", ["complete", "stream"])
    async def test_cancelled_call_leaves_nothing_behind(self, how: str) -> None:
        adapter, request = self.slow()
        before = asyncio.all_tasks()
        call = asyncio.ensure_future(self.ask(how, adapter, request))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not call.done()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert self.open_calls(adapter) == 0
        assert asyncio.all_tasks() == before
        await adapter.aclose()

    async def test_stream_closed_early_leaves_nothing_behind(self) -> None:
        adapter, request = self.make(), self.request()
        before = asyncio.all_tasks()
        async with aclosing(adapter.stream(request, timeout_s=PATIENCE_S)) as stream:
            first = await anext(stream)
        assert not isinstance(first, Finished)
        assert self.open_calls(adapter) == 0
        assert asyncio.all_tasks() == before
        assert (await adapter.complete(request, timeout_s=PATIENCE_S)).parts, "still of use"

    # --- errors ---

    async def test_failure_is_a_provider_error_with_facts(self) -> None:
        adapter, request, kind = self.failing()
        with pytest.raises(kind) as completed:
            await adapter.complete(request, timeout_s=PATIENCE_S)
        with pytest.raises(kind) as streamed:
            await self.events(adapter, request)
        for caught in (completed.value, streamed.value):
            self.assert_facts(caught, request)
        assert self.open_calls(adapter) == 0

    # --- identity and end ---

    async def test_repr_is_stable_and_holds_no_secret(self) -> None:
        adapter = self.make()
        before = repr(adapter)
        await adapter.complete(self.request(), timeout_s=PATIENCE_S)
        assert repr(adapter) == before == repr(self.make())
        assert before.startswith(type(adapter).__name__)
        for secret in self.secrets:
            assert secret not in before

    async def test_closing_twice_is_fine_and_later_calls_are_refused(self) -> None:
        adapter, request = self.make(), self.request()
        await adapter.complete(request, timeout_s=PATIENCE_S)
        await adapter.aclose()
        await adapter.aclose()
        with pytest.raises(AdapterClosed) as completed:
            await adapter.complete(request, timeout_s=PATIENCE_S)
        with pytest.raises(AdapterClosed):
            await self.events(adapter, request)
        self.assert_facts(completed.value, request)

    # --- helpers ---

    def assert_sane(self, answer: Answer) -> None:
        usage = answer.usage
        assert 0 <= usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens
        assert usage.output_tokens > 0 or not answer.parts
        assert answer.latency_s is None or (math.isfinite(answer.latency_s) and answer.latency_s > 0)
        assert all(notice.strip() for notice in answer.notices)

    def assert_facts(self, error: ProviderError, request: Request) -> None:
        assert error.provider
        assert error.model == request.model
        assert str(error), "says what happened"
        assert request.last_user_text not in str(error), "an error never quotes the prompt"
        assert {type(error.retryable), type(error.fallback_worthy), type(error.blames_provider)} == {bool}
        for secret in self.secrets:
            assert secret not in str(error) + repr(error)
