"""When a connection may carry another request: only where nothing but the answer to the last one ever came over it.

HTTP/1.1 does not say to which request an answer belongs: it is the next one that comes. So an answer that nobody asked
for (a provider that answers twice, a proxy that says 408 before it hangs up) would be the next caller's, and each byte
besides the answers costs the connection:

* bytes after an answer's end, whether they come with it or while the connection waits to be used again, close it;
* before it is used again, its socket is asked whether bytes or an end lie there which the event loop has not read yet,
  and its parser whether it stands between two answers.

What remains is what arrives after the next request was sent: nobody can tell it from an answer to that.
"""

from __future__ import annotations

import select
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

_PROBE = b"HTTP/1.1 204 .\r\n\r\n"  # what a parser takes for a whole message only where it has begun no other


class OneAnswer(ResponseHandler):
    """A connection that closes itself on any byte which belongs to no answer that was asked for."""

    _asked = False  # whether a request was ever sent over it
    _answer: StreamReader | None = None  # the body of the answer to the last one
    _surplus = False

    @property
    def asked(self) -> bool:
        """Whether it has carried a request."""
        return self._asked

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for the answer to a request."""
        self._asked, self._answer = True, None
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of an answer; an interim one (1xx) is none."""
        message, body = data
        if message.code >= 200:
            self._surplus = self._surplus or self._answer is not None
            self._answer = body
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Take bytes, no more than one answer of them; without any, go on with those that were held back."""
        if data and self._answer is not None and self._answer.is_eof():
            self._surplus = True
        else:
            super().data_received(data)
        if self._surplus:
            self.force_close()
            self.close()

    def quiet(self) -> bool:
        """Return whether nothing came over it besides whole answers, nor an end, as far as anybody can know."""
        return not self.should_close and not self._readable() and self._between()

    def _readable(self) -> bool:
        """Return whether something is to be read, bytes or an end; nothing is taken."""
        found = None if self.transport is None else self.transport.get_extra_info("socket")
        if found is None:
            return True
        poll = select.poll()
        poll.register(found.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _between(self) -> bool:
        """Return whether the parser has begun no other message: it is given one, which is its last in any case."""
        if self._parser is None:
            return False
        try:
            messages, _, _ = self._parser.feed_data(_PROBE)
        except Exception:  # of whatever kind: what lies before the probe is no end of a message
            return False
        return [(message.code, message.reason) for message, _ in messages] == [(204, ".")]


class Connector(aiohttp.TCPConnector):
    """A pool that gives out a connection which was used before only where it is quiet."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = cast("partial[ResponseHandler]", partial(OneAnswer, loop=self._loop))

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout  # noqa: ASYNC109 - aiohttp's
    ) -> Connection:  # fmt: skip
        """Return a connection; those that are not quiet are closed."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert isinstance(protocol, OneAnswer)  # noqa: S101 - the factory's
            if not protocol.asked or protocol.quiet():
                return connection
            connection.close()
