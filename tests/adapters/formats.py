"""Fixtures of the project's own, and readers of formats that take them with headers and in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from naiad.adapters.base import Answer, Delta
from naiad.adapters.sse import EventParser
from naiad.adapters.wire_format import StreamReader, WireFormat
from tests.adapters.talking import ASKED, reply, sending

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name: str) -> bytes:
    """Read a fixture, e.g. "anthropic/text.json"."""
    return (FIXTURES / name).read_bytes()


def answered(wire: WireFormat, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """Read a whole reply to a simple question."""
    return wire.answer(reply(body, headers=dict(headers or {})), sending(wire))


def reader_of(wire: WireFormat, headers: Mapping[str, str] | None = None) -> StreamReader:
    """Begin to read a stream of events."""
    return wire.reader(ASKED, headers or {}, sending(wire, stream=True))


def fed(reader: StreamReader, body: bytes, step: int = 1 << 20) -> list[Delta]:
    """Feed a stream in pieces of `step` bytes, as `Remote` does, and return all deltas."""
    parser, deltas = EventParser(1 << 20), list[Delta]()
    for start in range(0, len(body), step):
        for event in parser.feed(body[start : start + step]):
            deltas += reader.feed(event)
            if reader.done:
                return deltas
    return deltas
