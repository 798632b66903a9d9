"""A chat completion that comes as a stream of chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from naiad.adapters.base import Answer, Delta, Spent, TextDelta, text_of
from naiad.adapters.billing import BillInUsage
from naiad.adapters.call_arguments import BY_ITSELF
from naiad.adapters.errors import MalformedAnswer, ProviderError
from naiad.adapters.exchange import Asked, decoded
from naiad.adapters.openai_answer import REASONS, Body, Choice, Read, check_end, text_in, totals_spent, whole
from naiad.adapters.openai_calls import Calls
from naiad.adapters.openai_errors import error_within
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import Growing
from naiad.adapters.wire_format import Sending


class ChatStream:
    """Reads chunks until `[DONE]`.

    The answer is whole once a chunk gave the reason for its end: what follows counts tokens, and may not go on with
    the answer. So wherever a stream is cut, what was read of it is all of the answer or none. A count of tokens that
    came before the last of the answer does not count.
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
        self._calls = Calls(sending.request, asked)
        self._read = Read()
        self._unread = False  # something came in a place where no part of an answer is
        self._last = Body()  # model, id and usage, as the chunks gave them
        self._ended = False  # whether that usage is of a chunk that ends the answer, or the stream has ended

    @property
    def settled(self) -> bool:
        """Whether the reason for the end came."""
        return bool(self._read.reason)

    def feed(self, event: ServerEvent) -> list[Delta]:
        """Take an event; raises ProviderError."""
        data = event.data.strip()
        if self.done or not data:
            return []
        if data == "[DONE]":
            self.done = self._ended = True
            return []
        chunk: Body = decoded(data, Body, self._asked)
        choice = chunk.first()
        if chunk.counted():
            self._last.usage, self._read.final = chunk.counted(), True
            self._ended = self.settled or choice is None or bool(REASONS.word(choice.finish_reason))
        mistake = chunk.mistake()
        if mistake or event.event == "error":
            raise error_within(mistake or decoded(data, dict, self._asked), self._asked, self._headers)
        self._last.model = self._last.model or chunk.model
        self._last.id = self._last.id or chunk.id
        adds = choice is not None and self._adds(choice)
        if adds and (self.settled or not chunk.counted()):
            self._read.final = False
        if adds and self.settled:
            raise self._malformed("the stream goes on after its finish reason")
        if choice is None:
            return []
        deltas = list(self._deltas(choice))
        for delta in deltas:
            self._growing.add(delta)
        return deltas

    def answer(self) -> Answer | None:
        """Return the whole answer, None before the reason for its end.

        A stream of which the count of tokens got lost is still whole. Raises MalformedAnswer for one that has nothing
        where its answer should be, and something elsewhere.
        """
        if not self.settled:
            return None
        self._read.parts = self._growing.parts()
        if self._unread and not self._read.parts:
            raise self._malformed("the stream has no deltas where its answer should be")
        return whole(self._read, self._last, self._headers, self._sending, self._asked, self._bill)

    def spent(self) -> Spent | None:
        """Return what was counted so far; it is of the whole with the reason for the end, or after all choices."""
        final = self._read.final and self._ended
        return totals_spent(self._last, self._sending, self._growing.parts(), final=final, bill=self._bill)

    def _adds(self, choice: Choice) -> bool:
        """Return whether a chunk goes on with the answer; raises MalformedAnswer where it does so in another way."""
        said = choice.delta
        if said is not None:
            if said.refusal or any(self._calls.adds(call) for call in said.calls()):
                return True
            return bool(
                said.content if isinstance(said.content, str) else text_in(said.content, self._asked, Counter())
            )
        message = choice.message
        text = text_in(message.content if message else choice.text, self._asked, Counter())
        if text and text != text_of(self._growing.parts()):
            raise self._malformed("the stream has whole messages in place of deltas")
        self._unread = self._unread or not choice.finish_reason or bool(message and message.calls())
        return False

    def _deltas(self, choice: Choice) -> Iterator[Delta]:
        if (said := choice.delta) is not None:
            text = text_in(said.content, self._asked, self._read.unshown) + (said.refusal or "")
            self._read.refused = self._read.refused or bool(said.refusal)
            if text:
                yield from self._calls.begin()
                yield TextDelta(text)
            for call in said.calls():
                yield from self._calls.add(call)
            self._unread = self._unread or (choice.message is not None and choice.message.content not in (None, ""))
        reason = REASONS.word(choice.finish_reason)
        if not reason:
            return
        check_end(reason, self._asked)
        if not self.settled:
            yield from self._calls.end(stopped=REASONS.meaning(reason) not in BY_ITSELF)
        self._read.reason = REASONS.settled(self._read.reason, reason)

    def _malformed(self, what: str) -> ProviderError:
        return self._asked.error(MalformedAnswer, what, status=200)
