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

from naiad.adapters.base import (
    Answer,
    Claim,
    Delta,
    FinishReason,
    Part,
    Spent,
    TextDelta,
    TextPart,
    ToolCallDelta,
    Usage,
)
from naiad.adapters.call_arguments import BY_ITSELF, Arguments, given
from naiad.adapters.counting import counted, hidden_bytes
from naiad.adapters.ending import Reasons, unexplained, unshown
from naiad.adapters.errors import MalformedAnswer, ProviderError, ServerError
from naiad.adapters.exchange import Asked, Reply, decoded, loosely
from naiad.adapters.failures import request_id_of, shown_id
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import Growing
from naiad.adapters.wire_format import Sending, call_id, sane_usage, spent_of

REASONS = Reasons({
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
})  # fmt: skip
FAILED = ("ERROR", "TIMEOUT")
"""Reasons for the end of what is no answer: generating failed, or took too long."""
_AFTER_START = ("content-start", "content-delta", "tool-plan-delta", "tool-call-start", "message-end")


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
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)
    id: str = ""


class _Piece(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None

    @property
    def unknown(self) -> bool:
        """Whether it is of a kind that there is no place for."""
        return self.type not in ("", "text", "thinking")


class _Message(msgspec.Struct):
    content: list[_Piece] | None = None
    tool_calls: list[_Call] | None = None
    tool_plan: str | None = None


class _Totals(msgspec.Struct):
    """What a reply counts, or the end of a stream, whatever else is wrong with it."""

    usage: _Usage | None = None


class _Body(_Totals, kw_only=True):
    message: _Message
    finish_reason: str | None = None
    id: Any = None


class _EventMessage(msgspec.Struct):
    content: _Piece | None = None
    tool_calls: _Call | None = None
    tool_plan: str | None = None


class _Delta(msgspec.Struct):
    message: _EventMessage = msgspec.field(default_factory=_EventMessage)


class _End(msgspec.Struct):
    finish_reason: str | None
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
    if not REASONS.word(said.finish_reason):
        raise reply.asked.error(MalformedAnswer, "the reply gives no reason for its end", status=reply.status)
    growing, hidden, ids = Growing(), hidden_bytes(said.message.tool_plan or ""), set[str]()
    for piece in said.message.content or ():
        hidden += hidden_bytes(piece.thinking or "")
        if piece.text:
            growing.add(TextDelta(piece.text))
    stopped = REASONS.meaning(REASONS.word(said.finish_reason)) not in BY_ITSELF
    for number, call in enumerate(said.message.tool_calls or ()):
        arguments = call.function.arguments or ""
        growing.add(_called(call, number, sending, ids, arguments if stopped else given(arguments)))
    end, unknown = _End(said.finish_reason, said.usage), sum(piece.unknown for piece in said.message.content or ())
    return _answer(end, shown_id(said.id), growing.parts(), hidden, unknown, reply, sending)


def spent_in(reply: Reply, sending: Sending) -> Spent | None:
    """Return what a whole reply counts that is no answer."""
    said = loosely(reply.body, _Body)
    totals = said or loosely(reply.body, _Totals)
    if totals is None or totals.usage is None:
        return None
    message = said.message if said is not None else _Message()
    texts = [piece.text or "" for piece in message.content or ()]
    texts += [call.function.arguments or "" for call in message.tool_calls or ()]
    parts = [TextPart(text) for text in texts if text]
    return spent_of(totals.usage.usage(), sending.request, parts, final=True)


class EventReader:
    """Reads the events of one streamed reply; headers: its own, lower-case names."""

    def __init__(self, asked: Asked, headers: Mapping[str, str], sending: Sending) -> None:
        self.done = False
        self._asked = asked
        self._sending = sending
        self._reply = Reply(asked, 200, headers, b"")
        self._id = ""
        self._end: _End | None = None
        self._total: _Usage | None = None  # what the end counts
        self._began = False  # the stream did
        self._calls: dict[int, tuple[int, Arguments] | None] = {}  # by index, with its number; None after its end
        self._ids: set[str] = set()  # of the calls
        self._unknown = 0  # parts of kinds that there is no place for
        self._growing = Growing()
        self._hidden = 0  # bytes of thinking and plans

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        """Take an event and return what it adds to the answer; raises ProviderError, also for an end that failed."""
        said: _Event = decoded(event.data, _Event, self._asked)
        if said.type == "message-start":
            self._began, self._id = True, shown_id(said.id)
        elif not self._began and said.type in _AFTER_START:
            raise self._malformed("the stream goes on before it begins")
        match said.type:
            case "content-start" | "content-delta":
                piece = self._message(said).content or _Piece()
                self._unknown += piece.unknown and said.type == "content-start"
                self._hidden += hidden_bytes(piece.thinking or "")
                return self._kept(TextDelta(piece.text or ""))
            case "tool-plan-delta":
                self._hidden += hidden_bytes(self._message(said).tool_plan or "")
            case "tool-call-start":
                return self._kept(self._begin(said))
            case "tool-call-delta":
                return self._kept(self._arguments(said))
            case "tool-call-end":
                number, arguments = self._open(said)
                self._calls[said.index] = None
                return self._kept(ToolCallDelta(number, arguments=arguments.end()))
            case "message-end":
                self._total = (loosely(said.delta, _Totals) or _Totals()).usage
                self._end = decoded(said.delta, _End, self._asked)
                _check(self._end, self._asked)
                self.done = True
        return ()

    @property
    def settled(self) -> bool:
        """Whether the last event came, with the reason for the end."""
        return self.done

    def answer(self) -> Answer | None:
        """Return the whole answer, None while no reason for its end was given."""
        if self._end is None or not REASONS.word(self._end.finish_reason):
            return None
        parts = self._growing.parts()
        return _answer(self._end, self._id, parts, self._hidden, self._unknown, self._reply, self._sending)

    def spent(self) -> Spent | None:
        """Return what the end of the stream counted; nothing is counted before."""
        said = self._total.usage() if self._total is not None else None
        return spent_of(said, self._sending.request, self._growing.parts(), final=True)

    def _message(self, said: _Event) -> _EventMessage:
        delta: _Delta = decoded(said.delta, _Delta, self._asked)
        return delta.message

    def _begin(self, said: _Event) -> Delta:
        call = self._message(said).tool_calls
        if type(said.index) is not int or said.index in self._calls or call is None or not call.function.name:
            raise self._malformed("a tool call of the stream begins twice or without its number or name")
        number = len(self._calls)
        arguments = Arguments()
        self._calls[said.index] = (number, arguments)
        return _called(call, number, self._sending, self._ids, arguments.add(call.function.arguments or ""))

    def _arguments(self, said: _Event) -> Delta:
        number, arguments = self._open(said)
        piece = (self._message(said).tool_calls or _Call()).function.arguments
        return ToolCallDelta(number, arguments=arguments.add(piece or ""))

    def _open(self, said: _Event) -> tuple[int, Arguments]:
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


def _called(call: _Call, number: int, sending: Sending, ids: set[str], arguments: str) -> ToolCallDelta:
    """Return a call with an id that is none of those before it, and put it among them."""
    id = call_id(call.id, ids, sending.request.messages, number)
    ids.add(id)
    return ToolCallDelta(number, id, call.function.name, arguments)


def _check(end: _End, asked: Asked) -> None:
    if (word := REASONS.word(end.finish_reason)) in FAILED:
        raise asked.error(ServerError, f"generating the answer failed ({word})", status=200)


def _answer(
    end: _End, said_id: str, parts: tuple[Part, ...], hidden: int, unknown: int, reply: Reply, sending: Sending
) -> Answer:
    _check(end, reply.asked)
    finish = REASONS.meaning(REASONS.word(end.finish_reason))
    odd, kept = unexplained("Cohere", finish), unshown("Cohere", {"a kind that is not known here": unknown})
    usage, notices = counted(end.usage.usage() if end.usage else None, sending.request, parts, hidden)
    return Answer(
        parts=parts,
        finish=finish,
        usage=usage,
        model=sending.request.model,
        provider_request_id=said_id or request_id_of(reply),
        notices=(*notices, *odd, *kept),
        unexplained=odd,
        unshown=kept,
    )


def _pair(said: _Tokens | None) -> tuple[int, int] | None:
    if said is None or said.input_tokens is None or said.output_tokens is None:
        return None
    pair = _whole(said.input_tokens), _whole(said.output_tokens)
    return None if pair[0] is None or pair[1] is None else (pair[0], pair[1])


def _whole(count: float) -> int | None:
    return int(count) if count.is_integer() else None
