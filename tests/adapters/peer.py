"""A provider on 127.0.0.1 that does as it is told: raw sockets, so that it can also do what no server may."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from naiad.adapters.endpoint import Endpoint, parse_url
from naiad.adapters.secret import Secret
from naiad.adapters.transport import Transport

KEY = "sk-canary-0123456789abcdefGHIJ"
PATIENCE_S = 30.0
"""Bounds a test that would hang; no law depends on how long anything takes."""


class Talk:
    """One connection as the peer sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one request, head and body; raises IncompleteReadError at the end of the connection."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
        return head + await self.reader.readexactly(int(length))

    async def send(self, *pieces: bytes) -> None:
        """Write pieces, each flushed."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the other side hangs up."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65_536):
                pass


Script = Callable[[Talk], Awaitable[None]]


def response(body: bytes = b"{}", *, status: str = "200 OK", headers: Sequence[str] = (), length: bool = True) -> bytes:
    """Return a whole reply."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """Return a chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


CHUNKED = "transfer-encoding: chunked"


def saying(*pieces: bytes, close: bool = True) -> Script:
    """Answer each request with these bytes; then hang up, or wait for the other side to do so."""

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(*pieces)
        if not close:
            await talk.gone()

    return script


def serving(reply: bytes) -> Script:
    """Answer every request of a connection with one reply."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.request()
            await talk.send(reply)

    return script


class Peer:
    """A listening peer: what it got, and how many connections it holds."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self.accepted = 0
        self.open = 0
        self.idle = asyncio.Event()  # no connection is open
        self.busy = asyncio.Event()  # a connection was accepted

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """Return its base URL."""
        return f"{scheme}://{host}:{self.port}/v1"


@asynccontextmanager
async def peer(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", patience_s: float = PATIENCE_S
) -> AsyncIterator[Peer]:
    """Listen, and treat each connection by the script; patience_s bounds the whole block."""
    found = Peer()

    class Recorded(Talk):
        async def request(self) -> bytes:
            got = await super().request()
            found.requests.append(got)
            return got

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.accepted += 1
        found.open += 1
        found.idle.clear()
        found.busy.set()
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                await script(Recorded(reader, writer))
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
            found.open -= 1
            if not found.open:
                found.idle.set()

    server = await asyncio.start_server(talk, host, 0, ssl=tls, limit=1 << 20)
    found.port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(patience_s):
            yield found
            for listening in server.sockets:  # no more is accepted; close() would leave what just was without its end
                asyncio.get_running_loop().remove_reader(listening.fileno())
            for _ in range(10):  # what was accepted a moment ago gets its script
                await asyncio.sleep(0)
            server.close()
            if found.open:
                await found.idle.wait()
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def peer_elsewhere(script: Script, *, patience_s: float = PATIENCE_S) -> Iterator[Peer]:
    """Listen as `peer` does, in an event loop and thread of its own, so that its tasks are not among the caller's."""
    ready: queue.SimpleQueue[tuple[Peer, asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def run() -> None:
        done = asyncio.Event()
        async with peer(script, patience_s=patience_s) as there:
            ready.put((there, asyncio.get_running_loop(), done))
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    there, loop, done = ready.get(timeout=PATIENCE_S)
    try:
        yield there
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "a connection was left open"


def endpoint(url: str, **changes: Any) -> Endpoint:
    """Return a private endpoint with a key."""
    changes = {"private": True, "key": Secret(KEY), **changes}
    return Endpoint(name="peer", place=parse_url(url, private=changes["private"]), **changes)


@asynccontextmanager
async def transport(url: str, *, addresses: Sequence[str] | None = None, **changes: Any) -> AsyncIterator[Transport]:
    """Open a transport to a URL; addresses: what its name resolves to, in place of the system's word."""

    async def told(host: str, port: int) -> Sequence[str]:
        return addresses or ()

    made = Transport(endpoint(url, **changes), **({} if addresses is None else {"resolve": told}))
    try:
        yield made
    finally:
        await made.aclose()
