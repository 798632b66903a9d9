"""Reading what a provider sends, with a bound on everything: bytes on the wire, bytes unpacked, events, and time.

Nothing here opens a connection. `Pieces` are the raw bytes of one body as the transport hands them over; whatever goes
wrong while they come is a `ProviderError` already.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, overload

import msgspec

from naiad.adapters.decoding import Corrupt, Decoder, NotAsked
from naiad.adapters.endpoint import Caps
from naiad.adapters.errors import MalformedAnswer, ProviderError, Truncated
from naiad.adapters.sse import EventParser, EventTooLong, NotText, ServerEvent, TooVoid

T = TypeVar("T")

_MARK = b"\xef\xbb\xbf"  # some put it before JSON too
_UNTOLD = ("", "text/plain", "application/octet-stream")
"""Content types that say nothing of a stream."""
_BLANK_BYTES = 1_024  # that may stand before a reply's first character
_STEP = 8_192  # bytes of a stream that are read at a time, at most about 5 ms
_WELL_KNOWN = frozenset({
    "application/json", "application/x-ndjson", "text/html", "text/plain", "br", "zstd", "compress",
})  # fmt: skip


class Pieces(Protocol):
    """The raw body of a reply."""

    async def next(self) -> bytes | None:
        """Return the next bytes, None at the good end; raises ProviderError."""
        ...

    async def breathe(self) -> None:
        """Let others run where what came took long to read; raises Timeout where the time is over."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked for what: the facts that every error names."""

    provider: str
    model: str

    def error(self, kind: type[ProviderError], message: str, **facts: Any) -> ProviderError:
        """Make an error with these facts."""
        return kind(message, provider=self.provider, model=self.model, **facts)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply. `repr` leaves the body out."""

    asked: Asked
    status: int
    headers: Mapping[str, str] = field(repr=False)  # lower-case names
    body: bytes = field(repr=False)  # unpacked

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, kind: type[T]) -> T: ...

    def json(self, kind: Any = Any) -> Any:
        """Return the body as JSON of this type, by msgspec; raises MalformedAnswer."""
        return decoded(self.body, kind, self.asked)


def decoded(text: bytes | str, kind: Any, asked: Asked) -> Any:
    """Return a JSON text as a value of this type; raises MalformedAnswer, which does not quote it."""
    with suppress(ValueError, RecursionError):  # whose messages quote the text
        return msgspec.json.decode(text, type=kind)
    size = len(text)
    del text  # no traceback shows it
    raise asked.error(MalformedAnswer, f"{size} bytes of the reply are not the JSON that was expected")


def loosely(text: bytes | str, kind: type[T]) -> T | None:
    """Return a JSON text as a value of this type, None where it is none."""
    with suppress(ValueError, RecursionError):
        return msgspec.json.decode(text, type=kind)
    return None


class Exchange:
    """A reply whose body is still to be read, once, in one of four ways: pieces, body, lines or events."""

    def __init__(self, asked: Asked, status: int, headers: Mapping[str, str], pieces: Pieces, caps: Caps) -> None:
        self.asked = asked
        self.status = status
        self.headers = headers
        self.unstreamed: Reply | None = None  # the JSON that came where events were expected: as a rule an error
        self._pieces = pieces
        self._caps = caps

    def __repr__(self) -> str:
        return f"Exchange({self.asked}, status={self.status})"

    async def pieces(self, most: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the unpacked body in pieces of at most 64 KiB.

        most: bytes on the wire and unpacked, each; `response_bytes` by default. Raises MalformedAnswer for more, and
        for an encoding that was not asked for or does not hold; Truncated for a body that ended before its end.
        """
        most = self._caps.response_bytes if most is None else most
        stated = self.headers.get("content-length", "")
        if stated.isascii() and stated.isdigit() and (len(stated) > 18 or int(stated) > most):
            raise self._too_large(most)
        decoder = self._decoder()
        raw = unpacked = 0
        while (piece := await self._pieces.next()) is not None:
            raw += len(piece)
            if raw > most:
                raise self._too_large(most)
            parts = decoder.feed(piece)
            while (part := self._part(parts)) is not None:
                unpacked += len(part)
                if unpacked > most:
                    raise self._too_large(most)
                yield part
                await self._pieces.breathe()
        if not decoder.finished:
            raise self.asked.error(Truncated, "the reply ended inside of its compressed body", status=self.status)

    async def body(self, most: int | None = None) -> bytes:
        """Return the whole body; raises as `pieces` does."""
        async with aclosing(self.pieces(most)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def reply(self, most: int | None = None) -> Reply:
        """Read to the end and return all of it; raises as `pieces` does."""
        return Reply(self.asked, self.status, self.headers, (await self.body(most)).removeprefix(_MARK))

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a body of JSON lines, without those that are empty.

        The last one may lack its line feed, if it is whole without.
        """
        rest, first, void = bytearray(), True, 0
        async with aclosing(self._steps()) as steps:
            async for step in steps:
                *whole, last = step.split(b"\n")
                for line in whole:
                    rest += line
                    self._check_event(len(rest))
                    if full := _bare(rest, first):
                        yield full
                        await self._pieces.breathe()
                    else:
                        void += 1
                        self._check_void(void)
                    rest.clear()
                    first = False
                rest += last
                self._check_event(len(rest))
        if (full := _bare(rest, first)) and _is_json(full):
            yield full

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        """Yield the events of a stream; raises MalformedAnswer where the reply is none.

        One whose content type says nothing is a stream unless it begins as JSON or HTML do, which no event does.
        """
        kind = self._kind()
        if kind != "text/event-stream" and kind not in _UNTOLD and not kind.endswith("json"):
            raise self._no_stream()
        parser, head, begun = EventParser(self._caps.event_bytes, self._caps.void_lines), b"", False
        async with aclosing(self._steps()) as steps:
            async for step in steps:
                piece = step
                if not begun:
                    piece = head = head + step
                    start = head.removeprefix(_MARK).lstrip()[:1]
                    if start in (b"{", b"["):
                        self.unstreamed = await self._rest(head, steps)
                        break
                    if kind.endswith("json") or (start == b"<" and kind in _UNTOLD):
                        break
                    if not start and len(head) <= _BLANK_BYTES:
                        continue
                    begun = True
                for event in self._fed(parser, piece):
                    yield event
                    await self._pieces.breathe()
        if not begun and (kind != "text/event-stream" or self.unstreamed is not None):
            raise self._no_stream()

    async def _steps(self) -> AsyncGenerator[bytes, None]:
        """Yield the body of a stream in pieces so small that reading one keeps nobody waiting."""
        async with aclosing(self.pieces(self._caps.stream_bytes)) as pieces:
            async for piece in pieces:
                for start in range(0, len(piece), _STEP):
                    yield piece[start : start + _STEP]
                    await self._pieces.breathe()

    def _no_stream(self) -> ProviderError:
        message = f"a stream of events was expected, not {_name(self._kind())}"
        return self.asked.error(MalformedAnswer, message, status=self.status)

    def _kind(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def _rest(self, head: bytes, pieces: AsyncGenerator[bytes, None]) -> Reply:
        """Return all of a reply of which a head was read; raises MalformedAnswer for a large one."""
        body = bytearray(head)
        async for piece in pieces:
            body += piece
            if len(body) > self._caps.response_bytes:
                raise self._too_large(self._caps.response_bytes)
        return Reply(self.asked, self.status, self.headers, bytes(body).removeprefix(_MARK))

    def _fed(self, parser: EventParser, piece: bytes) -> list[ServerEvent]:
        try:
            return parser.feed(piece)
        except EventTooLong:
            failed = self._event_too_long()
        except TooVoid:
            failed = self._too_void()
        except NotText:
            failed = self.asked.error(MalformedAnswer, "the stream is not UTF-8", status=self.status)
        raise failed

    def _check_void(self, lines: int) -> None:
        if lines > self._caps.void_lines:
            raise self._too_void()

    def _too_void(self) -> ProviderError:
        return self.asked.error(
            MalformedAnswer,
            f"the stream has more than {self._caps.void_lines} lines that are no part of an event",
            status=self.status,
        )

    def _check_event(self, size: int) -> None:
        if size > self._caps.event_bytes:
            raise self._event_too_long()

    def _event_too_long(self) -> ProviderError:
        return self.asked.error(
            MalformedAnswer, f"one event is longer than {self._caps.event_bytes} bytes", status=self.status
        )

    def _decoder(self) -> Decoder:
        try:
            return Decoder(self.headers.get("content-encoding", ""))
        except NotAsked as error:
            name = _name(str(error))
        raise self.asked.error(
            MalformedAnswer, f"the reply is encoded as {name}; gzip and deflate were asked for", status=self.status
        )

    def _part(self, parts: Any) -> bytes | None:
        try:
            part: bytes | None = next(parts, None)
        except Corrupt:
            pass
        else:
            return part
        raise self.asked.error(MalformedAnswer, "the reply's compressed body is damaged", status=self.status)

    def _too_large(self, most: int) -> ProviderError:
        return self.asked.error(MalformedAnswer, f"the reply is larger than {most} bytes", status=self.status)


def _bare(line: bytearray, first: bool) -> bytes:
    """Return a line without what is around its JSON; first: a byte order mark may stand before it."""
    return (bytes(line).removeprefix(_MARK) if first else bytes(line)).strip()


def _is_json(text: bytes) -> bool:
    with suppress(ValueError, RecursionError):
        msgspec.json.decode(text)
        return True
    return False


def _name(text: str) -> str:
    """Return a media type or encoding as a message may show it: it comes from outside, so only if it is well known."""
    return text if text in _WELL_KNOWN else "something else"
