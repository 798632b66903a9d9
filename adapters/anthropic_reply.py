"""What Anthropic's Messages API answers, whole or as a stream of events, in the providers' common terms.

Thinking and the blocks of tools that run at the provider are not shown; they are in the count of output tokens. Kinds
of blocks, deltas and events that are not known are passed over, for the API's versions allow new ones.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from naiad.adapters.anthropic_count import Counted, Totals
from naiad.adapters.anthropic_failures import error_in
from naiad.adapters.base import (
    Answer,
    Delta,
    FinishReason,
    Part,
    Spent,
    TextDelta,
    TextPart,
    ToolCallDelta,
)
from naiad.adapters.call_arguments import NONE, Arguments, given
from naiad.adapters.counting import counted, hidden_bytes
from naiad.adapters.ending import Reasons, unexplained, unshown
from naiad.adapters.errors import MalformedAnswer, ProviderError
from naiad.adapters.exchange import Asked, Reply, decoded, loosely
from naiad.adapters.failures import request_id_of
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import Growing
from naiad.adapters.wire_format import Sending, call_id, spent_of

REASONS = Reasons({
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "pause_turn": FinishReason.PAUSED,
    "refusal": FinishReason.REFUSAL,
})  # fmt: skip
_AFTER_START = ("content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop")


class _Message(Totals):
    type: str = "message"
    model: str | None = None
    content: tuple[msgspec.Raw, ...] = ()
    stop_reason: str | None = None


class _Kind(msgspec.Struct):
    type: str


class _Text(msgspec.Struct):
    text: str = ""


class _Thought(msgspec.Struct):
    thinking: str = ""


class _Call(msgspec.Struct):
    name: str
    id: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Arguments(msgspec.Struct):
    partial_json: str = ""


class _Stop(msgspec.Struct):
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    """The fields of every kind of event, each read where its kind is known."""

    type: str
    index: Any = None
    message: msgspec.Raw = msgspec.Raw()
    content_block: msgspec.Raw = msgspec.Raw()
    delta: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


@dataclass(slots=True)
class _Block:
    """A block that began: text, a tool call, or one that is not shown."""

    kind: str
    call: int = 0  # number of the tool call among those of the answer
    input: str = ""  # of a tool call, as it began
    arguments: Arguments = field(default_factory=Arguments)


def whole(reply: Reply, sending: Sending) -> Answer:
    """Read a whole reply; raises ProviderError."""
    asked = reply.asked
    message: _Message = reply.json(_Message)
    if message.type == "error":
        raise error_in(reply.json().get("error"), asked)
    if not REASONS.word(message.stop_reason):
        raise asked.error(MalformedAnswer, "the reply gives no reason for its end", status=reply.status)
    growing, hidden, calls, ids, unknown = Growing(), 0, 0, set[str](), 0
    for block in message.content:
        kind = decoded(block, _Kind, asked).type
        if kind == "text":
            if text := decoded(block, _Text, asked).text:
                growing.add(TextDelta(text))
        elif kind == "tool_use":
            growing.add(_called(decoded(block, _Call, asked), calls, sending, asked, ids))
            calls += 1
        elif kind == "thinking":
            hidden += hidden_bytes(decoded(block, _Thought, asked).thinking)
        unknown += not _is_known(kind)
    seen = _Seen(message, message.usage or Counted(), growing.parts(), hidden, unknown)
    return _answer(seen, reply, sending)


def spent_in(reply: Reply, sending: Sending) -> Spent | None:
    """Return what a whole reply counts that is no answer."""
    message = loosely(reply.body, _Message)
    totals = message or loosely(reply.body, Totals)
    if totals is None or totals.usage is None:
        return None
    parts: list[Part] = []
    for block in () if message is None else message.content:
        text, call = loosely(block, _Text), loosely(block, _Call)
        parts += [TextPart(text.text)] if text is not None and text.text else []
        parts += [TextPart(bytes(call.input).decode("utf-8", "replace"))] if call is not None else []
    return spent_of(totals.usage.usage(), sending.request, parts, final=True)


class EventReader:
    """Reads the events of one streamed reply; headers: its own, lower-case names."""

    def __init__(self, asked: Asked, headers: Mapping[str, str], sending: Sending) -> None:
        self.done = False
        self._asked = asked
        self._sending = sending
        self._reply = Reply(asked, 200, headers, b"")
        self._message = _Message()
        self._counted = Counted()
        self._began = False  # the stream did
        self._final = False  # whether what was written was counted at the end; the beginning has a stand-in
        self._ids: set[str] = set()  # of the tool calls
        self._unknown = 0  # blocks of kinds that there is no place for
        self._blocks: dict[int, _Block | None] = {}  # by index; None after its end
        self._growing = Growing()
        self._calls = 0
        self._hidden = 0  # bytes of thinking

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        """Take an event and return what it adds to the answer; raises ProviderError, also for an error event."""
        said: _Event = decoded(event.data, _Event, self._asked)
        if not self._began and said.type in _AFTER_START:
            raise self._malformed("the stream goes on before it begins")
        match said.type:
            case "message_start":
                self._began = True
                self._message = decoded(said.message, _Message, self._asked)
                self._counted = self._counted.updated(self._message.usage or Counted())
            case "content_block_start":
                return self._kept(self._begin(said))
            case "content_block_delta":
                return self._kept(self._piece(said))
            case "content_block_stop":
                return self._kept(self._end(said))
            case "message_delta":
                stop = decoded(said.delta, _Stop, self._asked).stop_reason
                self._message.stop_reason = REASONS.settled(REASONS.word(self._message.stop_reason), stop)
                later = (decoded(said.usage, Counted | None, self._asked) if bytes(said.usage) else None) or Counted()
                self._final = self._final or later.output_tokens is not None
                self._counted = self._counted.updated(later)
            case "message_stop":
                self.done = True
            case "error":
                raise error_in(said.error, self._asked)
        return ()

    @property
    def settled(self) -> bool:
        """Whether the reason for the end came, which follows the last block."""
        return bool(REASONS.word(self._message.stop_reason))

    def answer(self) -> Answer | None:
        """Return the whole answer, None while no reason for its end was given."""
        if not self.settled:
            return None
        parts = self._growing.parts()
        seen = _Seen(self._message, self._counted, parts, self._hidden, self._unknown, self._final)
        return _answer(seen, self._reply, self._sending)

    def spent(self) -> Spent | None:
        """Return what was counted so far: at first the input, with the reason for the end the whole."""
        count, final = self._counted, self._final and self.settled
        if count.output_tokens is None and not final:
            count = count.updated(Counted(output_tokens=0))
        return spent_of(count.usage(), self._sending.request, self._growing.parts(), final=final)

    def _begin(self, said: _Event) -> Delta | None:
        if type(said.index) is not int or said.index in self._blocks:
            raise self._malformed("a block of the stream begins twice or has no number")
        kind = decoded(said.content_block, _Kind, self._asked).type
        block = self._blocks[said.index] = _Block(kind)
        self._unknown += not _is_known(kind)
        if kind == "text":
            return TextDelta(decoded(said.content_block, _Text, self._asked).text)
        if kind != "tool_use":
            return None
        call = decoded(said.content_block, _Call, self._asked)
        whole = _called(call, self._calls, self._sending, self._asked, self._ids)
        block.call, block.input = self._calls, whole.arguments
        self._calls += 1
        return replace(whole, arguments="")

    def _piece(self, said: _Event) -> Delta | None:
        block = self._open(said)
        match decoded(said.delta, _Kind, self._asked).type, block.kind:
            case "text_delta", "text":
                return TextDelta(decoded(said.delta, _Text, self._asked).text)
            case "input_json_delta", "tool_use":
                piece = block.arguments.add(decoded(said.delta, _Arguments, self._asked).partial_json)
                return ToolCallDelta(block.call, arguments=piece) if piece else None
            case ("text_delta", _) | ("input_json_delta", "text"):
                raise self._malformed("a piece of the stream belongs to a block of another kind")
            case "thinking_delta", _:
                self._hidden += hidden_bytes(decoded(said.delta, _Thought, self._asked).thinking)
        return None

    def _end(self, said: _Event) -> Delta | None:
        block = self._open(said)
        self._blocks[said.index] = None
        if block.kind != "tool_use" or block.arguments.shown:
            return None
        rest = block.arguments.end()
        return ToolCallDelta(block.call, arguments=block.input if rest == NONE else rest)

    def _open(self, said: _Event) -> _Block:
        block = self._blocks.get(said.index) if type(said.index) is int else None
        if block is None:
            raise self._malformed("a piece of the stream belongs to a block that is not open")
        return block

    def _kept(self, delta: Delta | None) -> tuple[Delta, ...]:
        if delta is None or delta == TextDelta(""):
            return ()
        self._growing.add(delta)
        return (delta,)

    def _malformed(self, message: str) -> ProviderError:
        return self._asked.error(MalformedAnswer, message, status=200)


def _is_known(kind: str) -> bool:
    """Return whether a kind of block is shown, or is one of thinking or of tools that run at the provider."""
    return kind in ("text", "thinking", "redacted_thinking") or kind.endswith(("tool_use", "tool_result"))


def _called(call: _Call, number: int, sending: Sending, asked: Asked, ids: set[str]) -> ToolCallDelta:
    """Return a call with an id that is none of those before it, and put it among them."""
    arguments = bytes(call.input).decode()
    arguments = NONE if arguments == '""' else given(arguments)
    decoded(arguments, dict[str, Any], asked)
    id = call_id(call.id, ids, sending.request.messages, number)
    ids.add(id)
    return ToolCallDelta(number, id, call.name, arguments)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was read of an answer."""

    message: _Message
    count: Counted
    parts: tuple[Part, ...]
    hidden: int  # bytes of thinking
    unknown: int  # blocks of kinds that there is no place for
    final: bool = True  # whether the count has all that was written


def _answer(seen: _Seen, reply: Reply, sending: Sending) -> Answer:
    usage, notices = counted(seen.count.usage(), sending.request, seen.parts, seen.hidden, final=seen.final)
    finish = REASONS.meaning(REASONS.word(seen.message.stop_reason))
    odd, kept = unexplained("Anthropic", finish), unshown("Anthropic", {"a kind that is not known here": seen.unknown})
    return Answer(
        parts=seen.parts,
        finish=finish,
        usage=usage,
        model=seen.message.model or sending.request.model,
        provider_request_id=request_id_of(reply),
        notices=(*notices, *odd, *kept),
        unexplained=odd,
        unshown=kept,
    )
