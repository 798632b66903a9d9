"""The adapter for every provider that is reached over the network: a wire format carried by a transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from naiad.adapters.base import Answer, Delta, Finished, Request, Spent, StreamEvent
from naiad.adapters.endpoint import MEBIBYTE
from naiad.adapters.errors import (
    Blocked,
    MalformedAnswer,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerError,
    Timeout,
    Truncated,
)
from naiad.adapters.exchange import Asked, Exchange, Reply
from naiad.adapters.failures import ERROR_BYTES
from naiad.adapters.json_text import check_calls
from naiad.adapters.limits import pause_s, retry_after_s
from naiad.adapters.listing import ListedModel
from naiad.adapters.secret import Secret, scrub
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import Growing, check_timeout, size_of, timed_out
from naiad.adapters.transport import Transport
from naiad.adapters.wire_format import Framing, Listing, Sending, StreamReader, WireFormat, blocked_answer

MOST_PAGES, MOST_MODELS = 1_000, 20_000
"""Of a provider's list of models; one that goes on is no list."""

PAGE_BYTES = 4 * MEBIBYTE
"""Of a page of that list: JSON is read at one go, at some 100 MiB a second."""
GRACE_S = 2.0
"""How long a stream whose answer is whole may be silent before it is taken as ended, s: usage may still come."""

_REST_S = 0.05  # for what follows the end of an answer, so that the connection can be used again


def _utc() -> datetime:
    return datetime.now(UTC)


class Remote:
    """Speaks a wire format to one endpoint.

    headers: sent with every request, before those of the format and the key. clock: UTC, to understand dates.
    """

    def __init__(
        self,
        wire: WireFormat,
        out: Transport,
        *,
        headers: Mapping[str, str | Secret] | None = None,
        clock: Callable[[], datetime] = _utc,
    ) -> None:
        self.wire = wire
        self.out = out
        self._headers = dict(headers or {})
        self._clock = clock

    def __repr__(self) -> str:
        return f"Remote({self.wire!r}, {self.out!r})"

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Ask, and wait for the whole answer; raises as `base.Adapter` says."""
        sending = self._sending(request, stream=False)
        reply: Reply | None = None

        def spent() -> Spent | None:
            return None if reply is None else self.wire.spent(reply, sending)

        async with _counting(spent):
            try:
                async with self._open(sending, timeout_s) as exchange:
                    await self._check(exchange)
                    reply = await exchange.reply()
                answer = self._read(reply, sending, exchange)
            except Blocked as block:
                answer = blocked_answer(block, request, spent())
            return self._with_facts(answer, sending, exchange)

    async def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the answer piece by piece; raises as `base.Adapter` says."""
        sending = self._sending(request, stream=True)
        said, size = Growing(), 0
        heard: list[tuple[StreamReader, Exchange]] = []

        def spent() -> Spent | None:
            for reader, exchange in heard:
                whole = exchange.unstreamed
                return reader.spent() if whole is None else self.wire.spent(whole, sending)
            return None

        async with _counting(spent), self._open(sending, timeout_s) as exchange:
            answer: Answer | None
            try:
                await self._check(exchange)
                reader = self.wire.reader(exchange.asked, exchange.headers, sending)
                heard.append((reader, exchange))
                failed: ProviderError | None = None
                try:
                    async with aclosing(self._events(exchange)) as events, aclosing(_until_end(events, reader)) as left:
                        async for event in left:
                            for delta in self._fed(reader, event, exchange):
                                size += size_of(delta)
                                self._check_size(size, exchange.asked)
                                said.add(delta)
                                yield delta
                except MalformedAnswer as error:
                    failed = error
                if failed is not None:
                    if exchange.unstreamed is not None:
                        self._read(exchange.unstreamed, sending, exchange)  # says what it is, if it is an error
                    raise failed
                answer = reader.answer()
            except Blocked as block:
                answer = blocked_answer(block, request, spent(), said.parts())
            if answer is None:
                raise exchange.asked.error(
                    Truncated, "the stream ended without a finish reason", status=exchange.status
                )
            yield Finished(self._with_facts(answer, sending, exchange))

    async def list_models(self, timeout_s: float) -> tuple[ListedModel, ...]:
        """Ask for the models, page by page; raises as `listing.ModelLister` says."""
        asked = Asked(self.out.endpoint.name, "")
        check_timeout(timeout_s, provider=asked.provider, model=asked.model)
        found: dict[str, ListedModel] = {}
        page, clock = "", asyncio.get_running_loop().time
        began = clock()
        for _ in range(MOST_PAGES):
            left_s = timeout_s - (clock() - began)
            if left_s <= 0:
                raise timed_out(timeout_s, clock() - began, provider=asked.provider, model=asked.model)
            async with self._open_listing(self.wire.listing(page), left_s) as exchange:
                await self._check(exchange)
                reply = await exchange.reply(min(PAGE_BYTES, self.out.endpoint.caps.response_bytes))
            models, page = await asyncio.to_thread(self.wire.listed, reply, page)  # a second for 100,000 models
            for model in models:
                found.setdefault(model.name, model)
            if not page:
                return tuple(found.values())
            if len(found) > MOST_MODELS:
                break
        raise asked.error(
            MalformedAnswer, f"the list of models does not end within {MOST_PAGES} pages and {MOST_MODELS} models"
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self.out.aclose()

    def _sending(self, request: Request, *, stream: bool) -> Sending:
        return self.wire.sending(request, Asked(self.out.endpoint.name, request.model), stream=stream)

    def _open(self, sending: Sending, timeout_s: float) -> AbstractAsyncContextManager[Exchange]:
        return self.out.open(
            "POST",
            sending.path,
            model=sending.request.model,
            timeout_s=timeout_s,
            headers=self._all_headers(sending.headers),
            params=sending.params,
            content=msgspec.json.encode(sending.body),
        )

    def _open_listing(self, listing: Listing, timeout_s: float) -> AbstractAsyncContextManager[Exchange]:
        return self.out.open(
            "GET" if listing.body is None else "POST",
            listing.path,
            model="",
            timeout_s=timeout_s,
            headers=self._all_headers(listing.headers),
            params=listing.params,
            content=b"" if listing.body is None else msgspec.json.encode(listing.body),
        )

    def _all_headers(self, headers: Mapping[str, str]) -> dict[str, str | Secret]:
        key = self.out.endpoint.key
        return {
            **self._headers,
            "content-type": "application/json",
            **headers,
            **(self.wire.key_headers(key) if key else {}),
        }

    async def _check(self, exchange: Exchange) -> None:
        """Raise the error of a reply that is no success."""
        if exchange.status == 200:
            return
        key, now = self.out.endpoint.key, self._clock()
        reply = await exchange.reply(ERROR_BYTES)
        error = self.wire.failure(reply, *((key,) if key else ()), now=now)
        if isinstance(error, RateLimited) and error.retry_after_s is None:
            error.retry_after_s = pause_s(exchange.headers, now)
        raise error

    async def _events(self, exchange: Exchange) -> AsyncGenerator[ServerEvent, None]:
        if self.wire.framing is Framing.EVENTS:
            async with aclosing(exchange.events()) as events:
                async for event in events:
                    yield event
        else:
            async with aclosing(exchange.lines()) as lines:
                async for line in lines:
                    yield ServerEvent(_text(line, exchange))

    def _read(self, reply: Reply, sending: Sending, exchange: Exchange) -> Answer:
        """Read a whole answer; raises ProviderError, with the wait that the reply's head asks for."""
        try:
            return self.wire.answer(reply, sending)
        except ProviderError as error:
            self._say_wait(error, exchange)
            raise

    def _fed(self, reader: StreamReader, event: ServerEvent, exchange: Exchange) -> Iterable[Delta]:
        """Take an event; raises ProviderError, with the wait that the reply's head asks for."""
        try:
            return reader.feed(event)
        except ProviderError as error:
            self._say_wait(error, exchange)
            raise

    def _say_wait(self, error: ProviderError, exchange: Exchange) -> None:
        """Put in when to come back after an error of status 200, as `_check` does for others."""
        if not isinstance(error, RateLimited | Overloaded | ServerError) or error.retry_after_s is not None:
            return
        now = self._clock()
        error.retry_after_s = retry_after_s(exchange.headers, now)
        if isinstance(error, RateLimited) and error.retry_after_s is None:
            error.retry_after_s = pause_s(exchange.headers, now)

    def _check_size(self, size: int, asked: Asked) -> None:
        if size > (most := self.out.endpoint.caps.answer_bytes):
            raise asked.error(MalformedAnswer, f"the answer is longer than {most} bytes", status=200)

    def _with_facts(self, answer: Answer, sending: Sending, exchange: Exchange) -> Answer:
        """Return a whole answer with what the exchange tells; raises MalformedAnswer for broken calls."""
        check_calls(answer, exchange.asked)
        self._check_size(sum(map(size_of, answer.parts)), exchange.asked)
        key = self.out.endpoint.key
        return replace(
            answer,
            model=shown(answer.model, key) or sending.request.model,
            provider_request_id=shown(answer.provider_request_id, key),
            notices=(*sending.notices, *answer.notices),
            dropped=sending.notices,
            pause_s=pause_s(exchange.headers, self._clock()),
        )


@asynccontextmanager
async def _counting(spent: Callable[[], Spent | None]) -> AsyncIterator[None]:
    """Let a failure carry what the provider counted of the call."""
    try:
        yield
    except ProviderError as error:
        error.spent = spent()
        raise


def shown(text: str, key: Secret | None) -> str:
    """Return what a provider said of an answer, "" where it holds a part of the key: a provider may echo it."""
    return "" if key is not None and scrub(text, key) != text else text


async def _until_end(
    events: AsyncGenerator[ServerEvent, None], reader: StreamReader
) -> AsyncGenerator[ServerEvent, None]:
    """Yield events, which the reader takes, until the last one.

    Once its answer is whole, a stream that breaks, or that is waited for longer than GRACE_S, has ended too. Raises
    ProviderError.
    """
    clock = asyncio.get_running_loop().time
    left_s = GRACE_S
    while not reader.done:
        broken: ProviderError | None = None
        event: ServerEvent | None = None
        began = clock()
        try:
            async with asyncio.timeout(max(0.0, left_s) if reader.settled else None):
                event = await anext(events, None)
        except (Truncated, Timeout) as error:
            broken = error
        except TimeoutError:  # the grace is over
            return
        left_s = left_s - (clock() - began) if reader.settled else GRACE_S
        if broken is not None and not reader.settled:
            raise broken
        if event is None:
            return
        yield event
    await _rest(events)


async def _rest(events: AsyncIterator[ServerEvent]) -> None:
    """Read what follows the end of an answer, if it comes at once; whatever it is, it changes nothing."""
    with suppress(TimeoutError, ProviderError):
        async with asyncio.timeout(_REST_S):
            async for _ in events:
                pass


def _text(line: bytes, exchange: Exchange) -> str:
    with suppress(UnicodeDecodeError):  # whose context would show the line
        return line.decode()
    raise exchange.asked.error(MalformedAnswer, "the stream is not UTF-8", status=exchange.status)
