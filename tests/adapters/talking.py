"""Wire formats over real sockets: a peer that answers by a format's own fixtures, and readers that need no socket."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from naiad.adapters.base import Answer, Delta, Request, user
from naiad.adapters.errors import MalformedAnswer, ProviderError, Truncated
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.sse import EventParser, NotText, ServerEvent
from naiad.adapters.wire_format import Framing, Sending, WireFormat
from tests.adapters.peer import CHUNKED, Script, Talk, chunk, response

ASKED = Asked("peer", "some-model")
NOW = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)
QUESTION = Request("some-model", (user("What is the capital of France?"),))


def reply(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """Return a reply as the transport would."""
    return Reply(ASKED, status, headers or {}, body)


def sending(wire: WireFormat, request: Request = QUESTION, *, stream: bool = False) -> Sending:
    """Return a request in a format's words."""
    return wire.sending(request, ASKED, stream=stream)


def answer(wire: WireFormat, body: bytes, request: Request = QUESTION) -> Answer:
    """Read a whole reply."""
    return wire.answer(reply(body), sending(wire, request))


def failure(wire: WireFormat, status: int, body: bytes, headers: dict[str, str] | None = None) -> ProviderError:
    """Read a reply that is no success."""
    return wire.failure(reply(body, status, headers), now=NOW)


def events(framing: Framing, body: bytes) -> list[ServerEvent]:
    """Cut a stream into the events that are complete, as `Exchange` does; raises MalformedAnswer if it is no text."""
    failed: ProviderError | None = None
    try:
        if framing is Framing.EVENTS:
            return EventParser(1 << 24).feed(body)
        *lines, last = body.split(b"\n")
        if decodes(last):
            lines.append(last)
        return [ServerEvent(line.decode()) for line in lines if line.strip()]
    except (NotText, UnicodeDecodeError):
        failed = ASKED.error(MalformedAnswer, "the stream is not UTF-8")
    raise failed


def decodes(text: bytes) -> bool:
    """Return whether a text is JSON."""
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def streamed(wire: WireFormat, body: bytes, request: Request = QUESTION) -> tuple[list[Delta], Answer]:
    """Read a stream; raises Truncated for one that ends before its end."""
    reader = wire.reader(ASKED, {}, sending(wire, request, stream=True))
    deltas: list[Delta] = []
    for event in events(wire.framing, body):
        deltas += reader.feed(event)
        if reader.done:
            break
    found = reader.answer()
    if found is None:
        raise ASKED.error(Truncated, "the stream ended without a finish reason")
    return deltas, found


def provider(*, whole: bytes, stream: bytes, busy: tuple[str, bytes], kind: str, asks_stream: Callable[[bytes], bool],
             listing: Iterable[bytes] = ()) -> Script:  # fmt: skip
    """Answer with these bodies: fail where the question says overload, hang where it says so.

    busy: status line and body of the failure. kind: content type of a stream. listing: the pages of the models.
    """
    pages = list(listing)

    async def script(talk: Talk) -> None:
        asked = 0
        while True:
            request = await talk.request()
            if request.startswith(b"GET "):
                await talk.send(response(pages[asked % len(pages)]))
                asked += 1
            elif b"overload" in request:
                status, body = busy
                await talk.send(response(body, status=status, headers=["retry-after: 3"]))
            elif b"hang" in request:
                await talk.gone()
            elif asks_stream(request):
                await talk.send(response(headers=[f"content-type: {kind}", CHUNKED], length=False, body=b""))
                for start in range(0, len(stream), 97):  # events and lines are cut anywhere
                    await talk.send(chunk(stream[start : start + 97]))
                await talk.send(b"0\r\n\r\n")
            else:
                await talk.send(response(whole, headers=["content-type: application/json"]))

    return script


def has(value: Any, *path: str | int) -> Any:
    """Return what a JSON value has at a path of keys."""
    for key in path:
        value = value[key]
    return value
