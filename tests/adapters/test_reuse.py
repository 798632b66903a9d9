"""A connection is used again only where nothing but answers came over it, over real sockets and on both event loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any

import pytest
import uvloop

from naiad.adapters.errors import MalformedAnswer
from naiad.adapters.transport import Transport
from tests.adapters.peer import CHUNKED, PATIENCE_S, Peer, Talk, chunk, peer, peer_elsewhere, response, transport

SSE = "content-type: text/event-stream"
STALE = response(b'"stale"')
SURPLUS = {
    "a whole answer": STALE,
    "a stream": response(b"", headers=[SSE, CHUNKED], length=False) + chunk(b"data: stale\n\n") + chunk(b""),
    "a head": STALE[:-7],
    "half a head": STALE[:20],
    "two answers": STALE * 2,
    "a timeout": response(b"", status="408 Request Timeout", headers=["connection: close"]),
    "an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "garbage": b"\x16\x03\x01 garbage",
    "one byte": b"H",
}
PAUSES_S = {"in one piece": None, "at once": 0.0, "50 ms later": 0.05}


def whole(text: str) -> bytes:
    """Return an answer with its length."""
    return response(b'"' + text.encode() + b'"')


def stream(text: str) -> bytes:
    """Return an answer as a stream of one event."""
    head = response(b"", headers=[SSE, CHUNKED], length=False)
    return head + chunk(b"data: " + text.encode() + b"\n\n") + b"0\r\n\r\n"


async def asked_whole(out: Transport, text: str) -> str:
    """Ask, and read the answer at once."""
    answer = await out.fetch("POST", "/chat", model=text, timeout_s=PATIENCE_S, content=text.encode())
    return str(answer.json())


async def asked_stream(out: Transport, text: str) -> str:
    """Ask, and read the answer as it comes."""
    asked = out.open("POST", "/chat", model=text, timeout_s=PATIENCE_S, content=text.encode())
    async with asked as exchange, aclosing(exchange.events()) as events:
        return "".join([event.data async for event in events])


KINDS: dict[str, tuple[Callable[[str], bytes], Callable[[Transport, str], Awaitable[str]]]] = {
    "whole": (whole, asked_whole),
    "stream": (stream, asked_stream),
}


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a test on an event loop."""
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.mark.parametrize("pause", PAUSES_S)
@pytest.mark.parametrize("surplus", SURPLUS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_asked_for_is_nobody_s_answer(
    kind: str, surplus: str, pause: str, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    written, ask = KINDS[kind]
    pause_s, more = PAUSES_S[pause], SURPLUS[surplus]

    async def test() -> None:
        sent = asyncio.Event()

        async def script(talk: Talk) -> None:
            while True:
                text = (await talk.request()).rpartition(b"\r\n\r\n")[2].decode()
                if text != "first":
                    await talk.send(written(text))
                elif pause_s is None:
                    await talk.send(written(text) + more)
                else:
                    await talk.send(written(text))
                    await asyncio.sleep(pause_s)
                    await talk.send(more)
                sent.set()

        async with peer(script) as there, transport(there.url()) as out:
            with suppress(*((MalformedAnswer,) if surplus == "garbage" else ())):  # it may fail what it comes with
                assert await ask(out, "first") == "first"
            await sent.wait()
            await asyncio.sleep(0.01)
            if pause == "50 ms later":
                await there.idle.wait()  # it is closed as soon as a byte comes, not when it is wanted
            for text in ("second", "third"):  # of other models
                assert await ask(out, text) == text
            assert there.accepted == 2, "the second connection is quiet, and used again"
        for request in there.requests:
            assert request.startswith(b"POST ")

    run(test())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", [STALE, b"HTTP/1.1 2", b""], ids=["an answer", "a byte or two", "an end"])
def test_what_lies_unread_in_the_socket_is_seen(
    end: bytes, kind: str, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    written, ask = KINDS[kind]
    go, sent = threading.Event(), threading.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(written("first"))
        await asyncio.to_thread(go.wait, PATIENCE_S)
        if end:
            await talk.send(end)
        else:
            talk.writer.close()
            await talk.writer.wait_closed()
        sent.set()
        await talk.gone()

    async def second(talk: Talk) -> None:
        while True:
            await talk.request()
            await talk.send(written("second"))

    async def either(talk: Talk) -> None:
        await (second(talk) if go.is_set() else script(talk))

    async def test(there: Peer) -> None:
        async with transport(there.url()) as out:
            assert await ask(out, "first") == "first"
            go.set()
            assert sent.wait(PATIENCE_S), "the event loop stands still meanwhile: it reads nothing"
            assert await ask(out, "second") == "second"
        assert len(there.requests) == 2

    with peer_elsewhere(either) as there:
        run(test(there))


@pytest.mark.parametrize("kind", KINDS)
def test_a_quiet_connection_is_used_again(kind: str, run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    written, ask = KINDS[kind]

    async def script(talk: Talk) -> None:
        while True:
            text = (await talk.request()).rpartition(b"\r\n\r\n")[2].decode()
            await talk.send(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", written(text))

    async def test() -> None:
        async with peer(script) as there, transport(there.url()) as out:
            for text in ("first", "second", "third"):
                assert await ask(out, text) == text
                await asyncio.sleep(0)
            assert there.accepted == 1

    run(test())
