"""A chat completion that comes as a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from naiad.adapters.base import Answer, Delta, TextDelta, ToolCallDelta
from naiad.adapters.billing import BillInUsage
from naiad.adapters.errors import MalformedAnswer
from naiad.adapters.exchange import Asked, decoded
from naiad.adapters.openai_answer import Body, Call, arguments_of, id_of, part_of, text_in, whole
from naiad.adapters.openai_errors import error_within
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import Growing
from naiad.adapters.wire_format import Sending


class ChatStream:
    """Reads chunks until `[DONE]`.

    The answer is whole once a chunk gave the reason for its end: what follows counts tokens, and may not go on with
    the answer. So wherever a stream is cut, what was read of it is all of the answer or none.
    """

    def __init__(
        self, asked: Asked, headers: Mapping[str, str], sending: Sending, bill: BillInUsage | None = None
    ) -> None:
        self._bill = bill
        self.done = False
        self._asked = asked
        self._headers = headers
        self._sending = sending
        self._growing = Growing()
        self._reason: str | None = None
        self._refused = False
        self._last = Body()  # model, id and usage, as the chunks gave them
        self._place: dict[int, int] = {}  # the vendor's index of a tool call -> ours
        self._ids: list[str] = []  # of the tool calls

    def feed(self, event: ServerEvent) -> list[Delta]:
        """Take an event; raises ProviderError."""
        data = event.data.strip()
        if self.done or not data:
            return []
        if data == "[DONE]":
            self.done = True
            return []
        chunk: Body = decoded(data, Body, self._asked)
        mistake = chunk.mistake()
        if mistake or event.event == "error":
            raise error_within(mistake or decoded(data, dict, self._asked), self._asked, self._headers)
        self._last.model = self._last.model or chunk.model
        self._last.id = self._last.id or chunk.id
        self._last.usage = chunk.counted() or self._last.usage
        deltas = list(self._deltas(chunk))
        if deltas and self._reason is not None:
            raise self._malformed("the stream goes on after its finish reason")
        for delta in deltas:
            self._growing.add(delta)
        choice = chunk.first()
        if choice is not None and choice.finish_reason:
            self._reason = choice.finish_reason
        return deltas

    def answer(self) -> Answer | None:
        """Return the whole answer, None before the reason for its end; raises ProviderError for a reason that is none.

        A stream of which the count of tokens got lost is still whole.
        """
        if self._reason is None:
            return None
        return whole(
            self._growing.parts(), self._reason, self._refused, self._last, self._headers, self._sending, self._asked,
            self._bill,
        )  # fmt: skip

    def _deltas(self, chunk: Body) -> Iterator[Delta]:
        choice = chunk.first()
        said = choice.delta if choice is not None else None
        if said is None:
            return
        if text := text_in(said.content):
            yield TextDelta(text)
        if said.refusal:
            self._refused = True
            yield TextDelta(said.refusal)
        for call in said.tool_calls or ():
            yield from self._call(call)

    def _call(self, call: Call) -> Iterator[Delta]:
        """Find the tool call that a fragment belongs to; without an index, one with a name begins another."""
        named = bool(call.function and call.function.name)
        at: int | None
        if call.index is None:
            at = None if named or not self._ids else len(self._ids) - 1
        else:
            at = self._place.get(call.index)
            if at is not None and named and id_of(call) not in ("", self._ids[at]):
                at = None  # some give every call the same index
        if at is None:
            at = len(self._ids)
            part = part_of(call, self._sending.request, at, self._asked)
            self._ids.append(part.id)
            if call.index is not None:
                self._place[call.index] = at
            yield ToolCallDelta(at, part.id, part.name, part.arguments)
        elif arguments := arguments_of(call):
            yield ToolCallDelta(at, arguments=arguments)

    def _malformed(self, what: str) -> Exception:
        return self._asked.error(MalformedAnswer, what, status=200)
