"""The one way out: every request to a provider leaves through a `Transport`, and only here is httpx imported.

A transport belongs to one endpoint of the configuration and reaches nothing else. It speaks httpx's transport API over
aiohttp (`benchmarks/transport.py` has the measurement), and never makes an httpx client: so there are no redirects, no
cookies, no proxies and no .netrc to be turned off.

The address that is checked is the address that is connected to: names are resolved here, every address is checked, the
connector gets addresses and no name, and each socket is made by a function that checks the address once more. TLS still
asks for, and checks, the name.

A request asks once more whether it may leave (`departure`) when there is a connection for it, and before each piece of
a large body.

Errors are raised outside of the handlers that caught what they come from. So they carry no context, and no traceback
in which a variable holds a key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from importlib.metadata import version
from typing import cast
from urllib.parse import urlencode

import httpx
from httpx_aiohttp import AiohttpTransport

from naiad.adapters.causes import BELOW, explained
from naiad.adapters.deadline import Deadline
from naiad.adapters.decoding import ACCEPTED
from naiad.adapters.departure import Withheld, checked, checking, depart
from naiad.adapters.dialling import new_session, tls_context
from naiad.adapters.endpoint import RESERVED_HEADERS, Endpoint
from naiad.adapters.errors import AdapterClosed, MalformedAnswer, ProviderError, TimeoutKind
from naiad.adapters.exchange import Asked, Exchange, Reply
from naiad.adapters.resolving import Resolve, system_resolve
from naiad.adapters.secret import Secret
from naiad.adapters.streams import check_timeout

_url = lru_cache(256)(httpx.URL)  # there are few, and taking one apart is a third of making a request
_FAILURES = (httpx.HTTPError, *BELOW)
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~:!$&'()*+,;=-]|%[0-9A-F]{2})+)+")
_PIECE = 262_144  # bytes of a request written at a time
_BREATH_S = 0.001  # of reading what one provider sends, before others run


class Transport:
    """Sends requests to one endpoint, over a pool of connections of its own.

    resolve: how names become addresses; for tests of liars.
    """

    def __init__(self, endpoint: Endpoint, *, resolve: Resolve = system_resolve) -> None:
        self.endpoint = endpoint
        self.open_exchanges = 0
        self._resolve = resolve
        self._tls = tls_context(endpoint)
        self._carrier: AiohttpTransport | None = None
        self._closed = False
        self._agent = f"naiad/{version('naiad')}"

    def __repr__(self) -> str:
        return f"Transport({self.endpoint.name!r}, {self.endpoint.place.url!r})"

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        model: str,
        timeout_s: float,
        headers: Mapping[str, str | Secret] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> Reply:
        """Send a request and return the whole reply, whatever its status; raises ProviderError.

        timeout_s bounds all of it. The rest is as for `open`.
        """
        async with self.open(
            method, path, model=model, timeout_s=timeout_s, headers=headers, params=params, content=content
        ) as exchange:
            return await exchange.reply()

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        model: str,
        timeout_s: float,
        headers: Mapping[str, str | Secret] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> AsyncIterator[Exchange]:
        """Send a request and hand over the reply as soon as its head is there, whatever its status.

        path: below the endpoint's own, begins with a slash, names put in by `segment`. model: for errors. timeout_s:
        seconds until the last byte must have been read; time that the reader takes between counts. headers: keys as
        `Secret`. Raises ProviderError, and so does reading; Withheld where the call may not leave any more. On leaving,
        the connection is given back if all was read and closed if not. Raises ValueError for a path or header that no
        adapter should make.
        """
        asked = Asked(self.endpoint.name, model)
        check_timeout(timeout_s, provider=asked.provider, model=model)
        if self._closed:
            raise asked.error(AdapterClosed, f"the endpoint {self.endpoint.name!r} is closed")
        deadline = Deadline(asked, timeout_s)
        self.open_exchanges += 1
        try:
            response = await self._send(self._request(method, path, headers, params, content), deadline)
            body = _Body(response, deadline, self)
            try:
                self._check_head(response, asked)
                yield Exchange(asked, response.status_code, dict(response.headers), body, self.endpoint.caps)
            finally:
                await body.aclose()
        finally:
            self.open_exchanges -= 1

    async def aclose(self) -> None:
        """Close all connections; calls that are under way fail with `AdapterClosed`, and so do later ones."""
        self._closed = True
        if self._carrier is not None:
            await self._carrier.aclose()

    def failure(self, error: BaseException, asked: Asked, *, in_body: bool) -> ProviderError:
        """Return the error that says what went wrong, without a word of what was sent."""
        if self._closed:
            return asked.error(AdapterClosed, f"the endpoint {self.endpoint.name!r} was closed during the call")
        return explained(error, asked, self.endpoint, in_body=in_body)

    async def _send(self, request: httpx.Request, deadline: Deadline) -> httpx.Response:
        """Return the reply's head; raises ProviderError."""
        patience = self.endpoint.patience
        failed: ProviderError | None = None
        outer, waiting = checking(), asyncio.timeout_at(deadline.next(patience.connect_s + patience.first_byte_s))
        connected = False

        def leaving() -> None:
            """Let the time of the first byte run from when there is a connection."""
            nonlocal connected
            if outer is not None:
                outer()
            if not connected and not waiting.expired():
                connected = True
                waiting.reschedule(deadline.next(patience.first_byte_s))

        try:
            with checked(leaving):
                async with waiting:
                    return await self._transport().handle_async_request(request)
        except TimeoutError:
            failed = deadline.passed(TimeoutKind.FIRST_BYTE, patience.first_byte_s)
        except _FAILURES as error:
            failed = self.failure(error, deadline.asked, in_body=False)
        except (asyncio.CancelledError, Withheld) as error:
            raise error.with_traceback(None) from None  # the frames below have the headers in their variables
        raise failed

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str | Secret] | None,
        params: Mapping[str, str] | None,
        content: bytes,
    ) -> httpx.Request:
        if not _PATH.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
            raise ValueError(f"{path!r} is not a path below an endpoint; begin it with '/' and use segment()")
        if wrong := RESERVED_HEADERS & {name.lower() for name in headers or ()}:
            raise ValueError(f"the header {min(wrong)!r} is the transport's own; leave it out")
        patience = self.endpoint.patience
        return httpx.Request(
            method,
            _url(self.endpoint.place.url + path + (f"?{urlencode(params)}" if params else "")),
            headers=[
                ("accept", "*/*"),
                ("accept-encoding", ACCEPTED),
                ("user-agent", self._agent),
                *((name, _revealed(value)) for name, value in (headers or {}).items()),
                *([("content-length", str(len(content)))] if len(content) > _PIECE else ()),
            ],
            content=content if len(content) <= _PIECE else _pieces(content),
            extensions={"timeout": {
                "pool": patience.connect_s,  # aiohttp: until there is a connection
                "connect": patience.connect_s,  # to one address
                "read": max(patience.first_byte_s, patience.idle_s),
            }},
        )  # fmt: skip

    def _check_head(self, response: httpx.Response, asked: Asked) -> None:
        raw, caps = response.headers.raw, self.endpoint.caps
        if len(raw) > caps.headers or sum(len(name) + len(value) for name, value in raw) > caps.all_header_bytes:
            raise asked.error(
                MalformedAnswer,
                f"the reply's head has more than {caps.headers} fields, or more than {caps.all_header_bytes} bytes",
                status=response.status_code,
            )

    def _transport(self) -> AiohttpTransport:
        """Return the pool; made at the first call, for it belongs to the event loop that runs."""
        if self._carrier is None:
            session = new_session(self.endpoint, self._resolve, self._tls)
            self._carrier = AiohttpTransport(verify=self._tls, trust_env=False, client=session)
        return self._carrier


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    """Yield a large body bit by bit: written at once it would block the event loop, and aiohttp would warn."""
    for start in range(0, len(content), _PIECE):
        depart()
        yield content[start : start + _PIECE]


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


class _Body:
    """The raw body of a response, with the limits of time."""

    def __init__(self, response: httpx.Response, deadline: Deadline, transport: Transport) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101
        self._stream = response.stream
        self._pieces = cast(AsyncGenerator[bytes, None], aiter(self._stream))
        self._deadline = deadline
        self._transport = transport
        self._clock = asyncio.get_running_loop().time
        self._rested = self._clock()

    async def next(self) -> bytes | None:
        """Return the next bytes, None at the good end; raises ProviderError."""
        idle_s = self._transport.endpoint.patience.idle_s
        self._deadline.check()  # what is there already is handed over without a moment at which it could be noticed
        failed: ProviderError | None = None
        try:
            async with asyncio.timeout_at(self._deadline.next(idle_s)):
                return await anext(self._pieces, None)
        except TimeoutError:
            failed = self._deadline.passed(TimeoutKind.IDLE, idle_s)
        except _FAILURES as error:
            failed = self._transport.failure(error, self._deadline.asked, in_body=True)
        raise failed

    async def breathe(self) -> None:
        """Let others run if they could not for a while; raises Timeout where the time is over."""
        if self._clock() - self._rested > _BREATH_S:
            await asyncio.sleep(0)
            self._deadline.check()
            self._rested = self._clock()

    async def aclose(self) -> None:
        """Give the connection back if all was read, else close it."""
        with suppress(*_FAILURES):  # the connection broke: it is closed
            await self._pieces.aclose()
            await self._stream.aclose()
