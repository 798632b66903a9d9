"""A gRPC client made of prebuilt bytes, so that the load costs a fraction of what it asks for.

Requests are HTTP/2 frames put together from constants. Replies are cut into frames and no further: the client sets the
server's header table to size 0, so a trailer is the same bytes each time, decoded once and then looked up. Every
reply's grpc-status is known, which load generators that count HTTP 200 cannot say.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">HBBBI")  # length (24 bits), type, flags, stream
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_LARGEST_WINDOW = (1 << 31) - 1
_FIRST_WINDOW = 65_535
_LARGEST_FRAME = 16_384
STREAMING = frozenset({"RouterService/StreamComplete"})  # methods that answer with several messages


class WireError(RuntimeError):
    """The connection broke, or the peer did what this client does not know."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished call: its status as in the trailers ("0" is OK), its message and when it was read."""

    stream: int
    method: str
    status: str
    message: bytes  # the last one
    at_s: float  # perf_counter
    messages: int = 1


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def _text(value: bytes) -> bytes:
    if len(value) > 126:
        raise ValueError(f"a header value has {len(value)} bytes; this client writes up to 126")
    return bytes((len(value),)) + value


def _request_head(method: str, authority: str, key: str, timeout_s: int) -> bytes:
    """Return the header block of a call, every field a literal or from the static table; key: "" sends none."""
    return b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http
            b"\x04" + _text(f"/naiad.v1.{method}".encode()),
            b"\x01" + _text(authority.encode()),
            b"\x0f\x10" + _text(b"application/grpc"),  # content-type
            b"\x00" + _text(b"te") + _text(b"trailers"),
            b"\x00" + _text(b"grpc-timeout") + _text(b"%dS" % timeout_s),
            b"\x1f\x08" + _text(f"Bearer {key}".encode()) if key else b"",  # authorization, never indexed
        )
    )


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return an HPACK integer and where it ends (RFC 7541 5.1)."""
    mask = (1 << bits) - 1
    value = block[at] & mask
    at += 1
    if value == mask:
        for shift in range(0, 35, 7):
            byte = block[at]
            at += 1
            value += (byte & 0x7F) << shift
            if not byte & 0x80:
                break
    return value, at


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Return an HPACK string and where it ends; a Huffman-coded one comes back as it is."""
    length, at = _integer(block, at, 7)
    return block[at : at + length], at + length


def status_of(block: bytes) -> str:
    """Return grpc-status from the header block of trailers, or "missing"."""
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # indexed: the static table has no grpc-status, and there is no other
            _, at = _integer(block, at, 7)
            continue
        if first & 0xE0 == 0x20:  # size update of the table
            _, at = _integer(block, at, 5)
            continue
        index, at = _integer(block, at, 6 if first & 0x40 else 4)
        name = b""
        if index == 0:
            name, at = _string(block, at)
        value, at = _string(block, at)
        if name == b"grpc-status":
            return value.decode("ascii", "replace")
    return "missing"


def messages_of(body: bytes) -> list[bytes]:
    """Return the messages of a call's data; empty if they are compressed or the last one is not whole."""
    found, at = [], 0
    while at < len(body):
        end = at + 5 + int.from_bytes(body[at + 1 : at + 5], "big")
        if body[at] or len(body) < at + 5 or end > len(body):
            return []
        found.append(body[at + 5 : end])
        at = end
    return found


class Connection:
    """One plaintext HTTP/2 connection with any number of calls in flight; not for threads.

    `send` gathers, `receive` flushes and waits. `statuses` counts the replies by (method, status). key: an API key.
    timeout_s: of each call, whole seconds.
    """

    def __init__(self, address: str, key: str = "", *, timeout_s: int = 20) -> None:
        host, _, port = address.rpartition(":")
        self._authority = address
        self._key = key
        self._timeout_s = timeout_s
        self._socket = socket.create_connection((host, int(port)), timeout=10.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        settings = struct.pack(">HIHI", 1, 0, 4, _LARGEST_WINDOW)  # header table size, initial window
        more = struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW)
        self._out = bytearray(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, more))
        self._held: deque[tuple[int, bytes]] = deque()  # (size of data, frames): wait for a flush, or for the window
        self._in = bytearray()
        self._heads: dict[str, bytes] = {}
        self._known: dict[bytes, str] = {}
        self._open: dict[int, tuple[str, list[bytes]]] = {}
        self.on_data: Callable[[int, bytes, float], None] | None = None  # stream, bytes of its messages, when read
        self._next = 1
        self._window = _FIRST_WINDOW  # what may still be sent
        self._credit = 0  # read and not yet given back
        self.statuses: Counter[tuple[str, str]] = Counter()

    def fileno(self) -> int:
        """Return the socket's descriptor, for a selector."""
        return self._socket.fileno()

    @property
    def in_flight(self) -> int:
        """How many calls wait for their reply."""
        return len(self._open)

    def send(self, method: str, message: bytes) -> int:
        """Begin a call of "Service/Method"; return its stream. Goes out with the next `receive`."""
        size = len(message) + 5
        if size > _LARGEST_FRAME:
            raise ValueError(f"a message has {len(message)} bytes; this client sends up to {_LARGEST_FRAME - 5}")
        head = self._heads.get(method)
        if head is None:
            head = self._heads[method] = _request_head(method, self._authority, self._key, self._timeout_s)
        stream, self._next = self._next, self._next + 2
        data = _frame(_DATA, _END_STREAM, stream, struct.pack(">BI", 0, len(message)) + message)
        self._held.append((size, _frame(_HEADERS, _END_HEADERS, stream, head) + data))
        self._open[stream] = (method, [])
        return stream

    def receive(self, wait_s: float) -> list[Reply]:
        """Flush, wait for bytes for so long at most, and return the replies that are complete."""
        while self._held and self._held[0][0] <= self._window:
            size, frames = self._held.popleft()
            self._window -= size
            self._out += frames
        if self._out:
            self._socket.sendall(self._out)
            self._out.clear()
        if not select.select([self._socket], [], [], wait_s)[0]:
            return []
        read = self._socket.recv(1 << 18)
        if not read:
            raise WireError(f"the server closed the connection with {self.in_flight} calls in flight")
        at_s = perf_counter()
        self._in += read
        return self._cut(at_s)

    def _cut(self, at_s: float) -> list[Reply]:
        data, at, replies = bytes(self._in), 0, []
        while len(data) - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            end = at + 9 + (high << 8) + low
            if end > len(data):
                break
            payload = data[at + 9 : end]
            at = end
            if kind == _DATA:
                self._credit += len(payload)
                self._open[stream][1].append(payload)
                if self.on_data is not None and payload:
                    self.on_data(stream, payload, at_s)
            elif kind == _HEADERS:
                if flags & (_PADDED | _PRIORITY) or not flags & _END_HEADERS:
                    raise WireError(f"a header frame has flags {flags:#x}; this client reads plain, whole ones")
                if flags & _END_STREAM:
                    replies.append(self._finished(stream, self._status(payload), at_s))
            elif kind == _RESET:
                if stream in self._open:
                    replies.append(self._finished(stream, f"reset {int.from_bytes(payload, 'big')}", at_s))
            else:
                self._control(kind, flags, stream, payload)
        del self._in[:at]
        if self._credit > 1 << 24:
            self._out += _frame(_WINDOW, 0, 0, struct.pack(">I", self._credit))
            self._credit = 0
        return replies

    def _status(self, block: bytes) -> str:
        found = self._known.get(block)
        if found is None:
            found = status_of(block)
            if len(self._known) < 1_000:
                self._known[block] = found
        return found

    def _finished(self, stream: int, status: str, at_s: float) -> Reply:
        method, parts = self._open.pop(stream)
        messages = messages_of(b"".join(parts))
        if status == "0" and (not messages or (len(messages) > 1 and method not in STREAMING)):
            status = "malformed"
        self.statuses[method, status] += 1
        return Reply(stream, method, status, messages[-1] if messages else b"", at_s, len(messages))

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self._out += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._out += _frame(_PING, _ACK, 0, payload)
        elif kind == _WINDOW and stream == 0:
            self._window += int.from_bytes(payload, "big") & _LARGEST_WINDOW
        elif kind == _GOAWAY:
            raise WireError(f"the server said goodbye: {payload[8:200]!r}")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
