"""What Cohere's chat API answers, whole or as a stream of events, in the providers' common terms.

Thinking, the plan for tools and citations are not shown. Of the two counts of tokens, `billed_units` is ours: it is
what Cohere charges for, and leaves out a prompt of its own that `tokens` and `cached_tokens` count. `tokens` stands in
where nothing was said of the bill.

https://docs.cohere.com/reference/chat, https://docs.cohere.com/reference/chat-stream
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from naiad.adapters.base import Answer, Claim, Delta, FinishReason, Part, TextDelta, ToolCallDelta, Usage
from naiad.adapters.counting import counted, hidden_bytes
from naiad.adapters.errors import MalformedAnswer, ProviderError, ServerError
from naiad.adapters.exchange import Asked, Reply, decoded
from naiad.adapters.failures import request_id_of, shown_id
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import Growing
from naiad.adapters.wire_format import Sending, made_up_id, sane_usage

FINISHES: Mapping[str, FinishReason] = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
}
FAILED = ("ERROR", "TIMEOUT")
"""Reasons for the end of what is no answer: generating failed, or took too long."""


class _Tokens(msgspec.Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None


class _Usage(msgspec.Struct):
    billed_units: _Tokens | None = None
    tokens: _Tokens | None = None
    cached_tokens: float | None = None

    def usage(self) -> Usage | Claim | None:
        """Return what is billed, else what was used; a claim where that contradicts itself, None for half a one."""
        billed = _pair(self.billed_units)
        if billed is not None:
            return sane_usage(*billed)
        used, cached = _pair(self.tokens), _whole(self.cached_tokens or 0.0)
        return None if used is None or cached is None else sane_usage(*used, cached=cached)


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)
    id: str = ""


class _Piece(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


class _Message(msgspec.Struct):
    content: list[_Piece] | None = None
    tool_calls: list[_Call] | None = None
    tool_plan: str | None = None


class _Body(msgspec.Struct):
    message: _Message
    finish_reason: str
    id: Any = None
    usage: _Usage | None = None


class _EventMessage(msgspec.Struct):
    content: _Piece | None = None
    tool_calls: _Call | None = None
    tool_plan: str | None = None


class _Delta(msgspec.Struct):
    message: _EventMessage = msgspec.field(default_factory=_EventMessage)


class _End(msgspec.Struct):
    finish_reason: str
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    """The fields of every kind of event, each read where its kind is known."""

    type: str
    id: Any = None
    index: Any = None
    delta: msgspec.Raw = msgspec.Raw(b"{}")


def whole(reply: Reply, sending: Sending) -> Answer:
    """Read a whole reply; raises ProviderError."""
    said: _Body = reply.json(_Body)
    growing, hidden = Growing(), hidden_bytes(said.message.tool_plan or "")
    for piece in said.message.content or ():
        hidden += hidden_bytes(piece.thinking or "")
        if piece.text:
            growing.add(TextDelta(piece.text))
    for number, call in enumerate(said.message.tool_calls or ()):
        growing.add(_called(call, number, sending, call.function.arguments or "{}"))
    end = _End(said.finish_reason, said.usage)
    return _answer(end, shown_id(said.id), growing.parts(), hidden, reply, sending)


class EventReader:
    """Reads the events of one streamed reply; headers: its own, lower-case names."""

    def __init__(self, asked: Asked, headers: Mapping[str, str], sending: Sending) -> None:
        self.done = False
        self._asked = asked
        self._sending = sending
        self._reply = Reply(asked, 200, headers, b"")
        self._id = ""
        self._end: _End | None = None
        self._calls: dict[int, tuple[int, bool] | None] = {}  # by index: number, arguments came; None after its end
        self._growing = Growing()
        self._hidden = 0  # bytes of thinking and plans

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        """Take an event and return what it adds to the answer; raises ProviderError, also for an end that failed."""
        said: _Event = decoded(event.data, _Event, self._asked)
        match said.type:
            case "message-start":
                self._id = shown_id(said.id)
            case "content-start" | "content-delta":
                piece = self._message(said).content or _Piece()
                self._hidden += hidden_bytes(piece.thinking or "")
                return self._kept(TextDelta(piece.text or ""))
            case "tool-plan-delta":
                self._hidden += hidden_bytes(self._message(said).tool_plan or "")
            case "tool-call-start":
                return self._kept(self._begin(said))
            case "tool-call-delta":
                return self._kept(self._arguments(said))
            case "tool-call-end":
                number, began = self._open(said)
                self._calls[said.index] = None
                return () if began else self._kept(ToolCallDelta(number, arguments="{}"))
            case "message-end":
                self._end = decoded(said.delta, _End, self._asked)
                _check(self._end, self._asked)
                self.done = True
        return ()

    def answer(self) -> Answer | None:
        """Return the whole answer, None while no reason for its end was given."""
        if self._end is None:
            return None
        return _answer(self._end, self._id, self._growing.parts(), self._hidden, self._reply, self._sending)

    def _message(self, said: _Event) -> _EventMessage:
        delta: _Delta = decoded(said.delta, _Delta, self._asked)
        return delta.message

    def _begin(self, said: _Event) -> Delta:
        call = self._message(said).tool_calls
        if type(said.index) is not int or said.index in self._calls or call is None or not call.function.name:
            raise self._malformed("a tool call of the stream begins twice or without its number or name")
        number = len(self._calls)
        self._calls[said.index] = (number, bool(call.function.arguments))
        return _called(call, number, self._sending, call.function.arguments)

    def _arguments(self, said: _Event) -> Delta:
        number, began = self._open(said)
        piece = (self._message(said).tool_calls or _Call()).function.arguments
        self._calls[said.index] = (number, began or bool(piece))
        return ToolCallDelta(number, arguments=piece)

    def _open(self, said: _Event) -> tuple[int, bool]:
        call = self._calls.get(said.index) if type(said.index) is int else None
        if call is None:
            raise self._malformed("a piece of the stream belongs to a tool call that is not open")
        return call

    def _kept(self, delta: Delta) -> tuple[Delta, ...]:
        if delta == TextDelta("") or (isinstance(delta, ToolCallDelta) and not delta.name and not delta.arguments):
            return ()
        self._growing.add(delta)
        return (delta,)

    def _malformed(self, message: str) -> ProviderError:
        return self._asked.error(MalformedAnswer, message, status=200)


def _called(call: _Call, number: int, sending: Sending, arguments: str) -> ToolCallDelta:
    return ToolCallDelta(number, call.id or made_up_id(sending.request.messages, number), call.function.name, arguments)


def _check(end: _End, asked: Asked) -> None:
    if end.finish_reason in FAILED:
        raise asked.error(ServerError, f"generating the answer failed ({end.finish_reason})", status=200)


def _answer(end: _End, said_id: str, parts: tuple[Part, ...], hidden: int, reply: Reply, sending: Sending) -> Answer:
    _check(end, reply.asked)
    usage, notices = counted(end.usage.usage() if end.usage else None, sending.request, parts, hidden)
    return Answer(
        parts=parts,
        finish=FINISHES.get(end.finish_reason, FinishReason.OTHER),
        usage=usage,
        model=sending.request.model,
        provider_request_id=said_id or request_id_of(reply),
        notices=notices,
    )


def _pair(said: _Tokens | None) -> tuple[int, int] | None:
    if said is None or said.input_tokens is None or said.output_tokens is None:
        return None
    pair = _whole(said.input_tokens), _whole(said.output_tokens)
    return None if pair[0] is None or pair[1] is None else (pair[0], pair[1])


def _whole(count: float) -> int | None:
    return int(count) if count.is_integer() else None
