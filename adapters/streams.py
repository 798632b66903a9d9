"""Streams of deltas and the answers they make up: pure functions that every adapter shares."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterable

from naiad.adapters.base import (
    Answer,
    Delta,
    Finished,
    Part,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
)
from naiad.adapters.errors import Timeout, TimeoutKind, Truncated

_WORD = re.compile(r"\S+\s*|\s+")
_CALL = 64  # bytes that a tool call takes besides its words


def parts_of(deltas: Iterable[Delta]) -> tuple[Part, ...]:
    """Put deltas together: text runs on until a tool call begins, a tool call collects its index's pieces."""
    parts: list[TextPart | ToolCallPart] = []
    place: dict[int, int] = {}  # index of the tool call -> position in parts
    for delta in deltas:
        if isinstance(delta, TextDelta):
            if parts and isinstance(parts[-1], TextPart):
                parts[-1] = TextPart(parts[-1].text + delta.text)
            else:
                parts.append(TextPart(delta.text))
            continue
        at = place.setdefault(delta.index, len(parts))
        if at == len(parts):
            parts.append(ToolCallPart("", "", ""))
        call = parts[at]
        assert isinstance(call, ToolCallPart)  # noqa: S101 - place only ever points at tool calls
        parts[at] = ToolCallPart(call.id or delta.id, call.name or delta.name, call.arguments + delta.arguments)
    return tuple(parts)


def size_of(piece: Delta | Part) -> int:
    """Return how many bytes a piece takes in an answer, in UTF-8; a tool call's beginning takes 64 besides."""
    if isinstance(piece, TextDelta | TextPart):
        return _bytes(piece.text)
    if isinstance(piece, ToolCallDelta | ToolCallPart):
        return _bytes(piece.id) + _bytes(piece.name) + _bytes(piece.arguments) + (_CALL if piece.name else 0)
    return 0  # no part of an answer


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Growing:
    """An answer's parts while its stream runs: what `parts_of` makes of all deltas so far, in time linear in them."""

    def __init__(self) -> None:
        self._parts: list[list[str] | tuple[str, str, list[str]]] = []  # texts, and calls: id, name, arguments
        self._place: dict[int, int] = {}  # index of the tool call -> position in parts

    def add(self, delta: Delta) -> None:
        """Take the next delta; the first of a tool call has its id and name."""
        if isinstance(delta, TextDelta):
            if not self._parts or isinstance(self._parts[-1], tuple):
                self._parts.append([])
            self._parts[-1].append(delta.text)  # type: ignore[union-attr]
            return
        at = self._place.setdefault(delta.index, len(self._parts))
        if at == len(self._parts):
            self._parts.append((delta.id, delta.name, []))
        self._parts[at][2].append(delta.arguments)  # type: ignore[union-attr]

    def parts(self) -> tuple[Part, ...]:
        """Return the parts so far."""
        return tuple(
            ToolCallPart(part[0], part[1], "".join(part[2])) if isinstance(part, tuple) else TextPart("".join(part))
            for part in self._parts
        )


def deltas_of(parts: Iterable[Part]) -> tuple[Delta, ...]:
    """Cut an answer's parts into deltas, text by words; `parts_of` undoes it, neighbouring texts aside."""
    deltas: list[Delta] = []
    calls = 0
    for part in parts:
        if isinstance(part, TextPart):
            deltas.extend(TextDelta(piece) for piece in _WORD.findall(part.text))
        elif isinstance(part, ToolCallPart):
            deltas.append(ToolCallDelta(calls, part.id, part.name, part.arguments))
            calls += 1
    return tuple(deltas)


async def collect(events: AsyncIterator[StreamEvent], *, provider: str, model: str) -> Answer:
    """Read a stream to its end and return its answer; raise `Truncated` if it ended without one."""
    answer: Answer | None = None
    async for event in events:
        if isinstance(event, Finished):
            answer = event.answer
    if answer is None:
        raise Truncated("the stream ended without a finish reason", provider=provider, model=model)
    return answer


def check_timeout(timeout_s: float, *, provider: str, model: str) -> None:
    """Raise `Timeout` if no time is left, ValueError if `timeout_s` is not a number."""
    if math.isnan(timeout_s):
        raise ValueError("timeout_s is NaN; give the seconds that are left")
    if timeout_s <= 0:
        raise timed_out(timeout_s, 0.0, provider=provider, model=model)


def timed_out(timeout_s: float, after_s: float, *, provider: str, model: str) -> Timeout:
    """Make the error for a `timeout_s` that ran out `after_s` seconds into the call."""
    return Timeout(
        f"no answer within {timeout_s:g} s",
        provider=provider,
        model=model,
        kind=TimeoutKind.TOTAL,
        after_s=after_s,
    )
