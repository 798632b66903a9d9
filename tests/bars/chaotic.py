"""Providers on 127.0.0.1 that speak OpenAI's chat completions, and twenty ways in which they fail, for bar B6."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tests.adapters.peer import CHUNKED, Talk, chunk, response

TEXT = "The whole answer: alpha beta gamma delta epsilon zeta eta theta."
_WORDS = [word + " " for word in TEXT.split()[:-1]] + [TEXT.split()[-1]]
_EVENTS = ["content-type: text/event-stream", CHUNKED]
_MEBIBYTE = 1 << 20
_LONGEST_S = 30.0  # of any fault: a test's peers end


def _body(text: str = TEXT, finish: str | None = "stop", **usage: int) -> bytes:
    counted = {"prompt_tokens": 9, "completion_tokens": 15, "total_tokens": 24} | usage
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return msgspec.json.encode(
        {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": counted}
    )


def _event(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _pieces(words: list[str] = _WORDS, finish: str | None = "stop", **usage: int) -> list[bytes]:
    """Return the events of a stream; without a finish it has neither count nor end."""
    head = {"id": "c1", "object": "chat.completion.chunk", "model": "m"}
    found = [_event(head | {"choices": [{"index": 0, "delta": {"content": word}}]}) for word in words]
    if finish is not None:
        counted = {"prompt_tokens": 9, "completion_tokens": 15, "total_tokens": 24} | usage
        found.append(_event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
        found.append(_event(head | {"choices": [], "usage": counted}))
        found.append(b"data: [DONE]\n\n")
    return found


async def _stream(talk: Talk, pieces: list[bytes], *, ends: bool = True) -> None:
    await talk.send(response(headers=_EVENTS, length=False, body=b""), b"".join(chunk(piece) for piece in pieces))
    if ends:
        await talk.send(b"0\r\n\r\n")


async def _well(talk: Talk, stream: bool) -> None:
    await (_stream(talk, _pieces()) if stream else talk.send(response(_body())))


def _status(line: str, body: bytes = b"{}", *headers: str) -> Fault:
    async def fault(talk: Talk, stream: bool) -> None:
        await talk.send(response(body, status=line, headers=headers))

    return fault


def _error(message: str, kind: str, code: str | None = None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


async def _hang_before(talk: Talk, stream: bool) -> None:
    await talk.gone()


async def _hang_midway(talk: Talk, stream: bool) -> None:
    if stream:
        await _stream(talk, _pieces(_WORDS[:4], None), ends=False)
    else:
        await talk.send(response(_body())[:-40])
    await talk.gone()


async def _drip(talk: Talk, stream: bool) -> None:
    """One byte now and then: never silent for long, never done."""
    if stream:
        whole = response(headers=_EVENTS, length=False, body=b"") + b"".join(chunk(p) for p in _pieces()) + b"0\r\n\r\n"
    else:
        whole = response(_body())
    for at in range(len(whole)):
        await talk.send(whole[at : at + 1])
        await asyncio.sleep(0.03)


async def _hang_up(talk: Talk, stream: bool) -> None:
    talk.writer.transport.abort()


async def _cut(talk: Talk, stream: bool) -> None:
    """The connection ends in the middle of the body."""
    if stream:
        await _stream(talk, _pieces(_WORDS[:4], None), ends=False)
    else:
        await talk.send(response(_body())[:-40])
    talk.writer.close()


async def _no_end(talk: Talk, stream: bool) -> None:
    """The body ends well, but the answer has no finish reason."""
    if stream:
        await _stream(talk, _pieces(_WORDS[:4], None))
    else:
        await talk.send(response(_body(TEXT[:30], None)))


async def _garbage(talk: Talk, stream: bool) -> None:
    if stream:
        await _stream(talk, [*_pieces(_WORDS[:2], None), b'data: {"choices": [{"del\n\n'])
    else:
        await talk.send(response(_body()[:60] + b"\xff\x00}{"))


async def _html(talk: Talk, stream: bool) -> None:
    await talk.send(response(b"<html><body>Welcome to our portal</body></html>", headers=["content-type: text/html"]))


async def _huge(talk: Talk, stream: bool) -> None:
    """A gibibyte: told beforehand, or an event that never ends."""
    if not stream:
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n" + b" " * _MEBIBYTE)
        await talk.gone()
        return
    await talk.send(response(headers=_EVENTS, length=False, body=b""), chunk(b'data: {"choices": "'))
    for _ in range(1024):
        await talk.send(chunk(b"x" * _MEBIBYTE))


_BOMB = gzip.compress(b" " * (64 * _MEBIBYTE), 9)


async def _bomb(talk: Talk, stream: bool) -> None:
    headers = ["content-encoding: gzip", *(["content-type: text/event-stream"] if stream else [])]
    await talk.send(response(_BOMB, headers=headers))


async def _twice(talk: Talk, stream: bool) -> None:
    """The end of the answer comes again, as from a proxy that resends."""
    if stream:
        pieces = _pieces()
        await _stream(talk, [*pieces[:-2], *pieces[-5:-2], *pieces[-2:]])
    else:
        await talk.send(response(_body() + _body()))


_LIE: dict[str, Any] = {"prompt_tokens": -5, "completion_tokens": 1 << 60}


async def _lies(talk: Talk, stream: bool) -> None:
    """A good answer with an impossible count of its tokens."""
    await (_stream(talk, _pieces(**_LIE)) if stream else talk.send(response(_body(**_LIE))))


async def _error_inside(talk: Talk, stream: bool) -> None:
    """Status 200, and an error in the place of the answer or in the middle of it."""
    error = _error("the engine died", "server_error")
    await (
        _stream(talk, [*_pieces(_WORDS[:4], None), b"data: " + error + b"\n\n"])
        if stream
        else talk.send(response(error))
    )


Fault = Callable[[Talk, bool], Awaitable[None]]
FAULTS: dict[str, Fault | None] = {
    "429": _status("429 Too Many", _error("slow down", "requests")),
    "429_retry_after": _status("429 Too Many", _error("slow down", "requests"), "retry-after: 1"),
    "500": _status("500 Oops", _error("oops", "server_error")),
    "503": _status("503 Unavailable", b"upstream connect error"),
    "401": _status("401 Unauthorized", _error("no such key", "invalid_request_error", "invalid_api_key")),
    "refused": None,  # nobody listens
    "tls": None,  # a certificate that nobody trusts
    "hang_before": _hang_before,
    "hang_midway": _hang_midway,
    "drip": _drip,
    "hang_up": _hang_up,
    "cut": _cut,
    "no_end": _no_end,
    "garbage": _garbage,
    "html": _html,
    "huge": _huge,
    "bomb": _bomb,
    "twice": _twice,
    "lying_usage": _lies,
    "error_inside": _error_inside,
}


class Chaotic:
    """A provider whose fault can be set and healed; tls: (good, bad) contexts of its server."""

    def __init__(self, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None) -> None:
        self.port = 0
        self.requests = 0
        self._tls = tls
        self._fault = ""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        context = None if self._tls is None else self._tls[self._fault == "tls"]
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port, ssl=context, backlog=1_000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and hang up."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def set(self, fault: str) -> None:
        """Fail like this from now on; "" is well again."""
        moved = {"refused", "tls"} & {fault, self._fault}
        self._fault = fault
        if moved:
            await self.stop()
            if fault != "refused":
                await self.start()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        self._writers.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError, TimeoutError):
                while True:
                    request = await talk.request()
                    self.requests += 1
                    stream = b'"stream":true' in request
                    async with asyncio.timeout(_LONGEST_S):
                        await (FAULTS.get(self._fault) or _well)(talk, stream)
        finally:
            self._writers.discard(writer)
            writer.close()
