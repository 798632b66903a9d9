"""Server-sent events, read as the standard says, from pieces of any size.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation. Lines end with CR, LF or
CRLF; a byte order mark at the very beginning is left out; comments and unknown fields are ignored; an event without
data, and one that the end of the stream cut off, is not delivered. However the bytes are cut, the events are the same.
Unlike the standard, bytes that are no UTF-8 are refused and not replaced: an answer with holes is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream."""

    data: str
    event: str = "message"
    id: str = ""  # of this event or of the last one before it that had one


class EventTooLong(Exception):
    """One event has more bytes than it may; nothing of it was delivered."""


class TooVoid(Exception):
    """There were more lines that are no part of an event than may be."""


class NotText(Exception):
    """A line is not UTF-8; nothing of its event was delivered."""


class EventParser:
    """Turns bytes into events; holds at most one unfinished event, of at most `most_bytes` bytes.

    most_void: lines of the whole stream that are no part of an event: comments, unknown fields, blank lines that end
    none. Time is linear in the bytes, wherever they are cut.
    """

    def __init__(self, most_bytes: int, most_void: int = 1 << 20) -> None:
        self._most_bytes = most_bytes
        self._most_void = most_void
        self._void = 0
        self._line = bytearray()  # what came of the unfinished line
        self._after_cr = False  # the last byte was CR: a LF right after it belongs to it
        self._first = True
        self._size = 0  # bytes of the lines of the unfinished event
        self._data: list[str] = []
        self._event = ""
        self._id = ""

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Take the next bytes and return the events that they complete; raises EventTooLong, TooVoid and NotText."""
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        events: list[ServerEvent] = []
        start = 0
        for end in _LINE_END.finditer(piece):
            self._line += piece[start : end.start()]
            start = end.end()
            self._after_cr = end.group() == b"\r" and start == len(piece)
            self._count(len(self._line))
            line = bytes(self._line)
            self._line.clear()
            if self._first:
                line, self._first = line.removeprefix(_MARK), False
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
            else:
                self._skip()
        self._line += piece[start:]
        if self._size + len(self._line) > self._most_bytes:
            raise EventTooLong
        return events

    def _count(self, size: int) -> None:
        self._size += size + 1
        if self._size > self._most_bytes:
            raise EventTooLong

    def _field(self, line: bytes) -> None:
        if line.startswith(b":"):  # a comment keeps the connection alive, and makes no event long
            self._size -= len(line) + 1
            self._skip()
            return
        try:
            name, _, value = line.decode().partition(":")
        except UnicodeDecodeError:
            name = None
        if name is None:
            raise NotText  # not from the handler: the error there holds the line
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        else:
            self._skip()

    def _skip(self) -> None:
        self._void += 1
        if self._void > self._most_void:
            raise TooVoid

    def _dispatch(self) -> ServerEvent | None:
        event = ServerEvent("\n".join(self._data), self._event or "message", self._id) if self._data else None
        self._data.clear()
        self._event = ""
        self._size = 0
        return event
