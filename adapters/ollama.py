"""Ollama's own API: /api/chat, answered whole or in JSON lines.

https://docs.ollama.com/api. It needs no key; one that is configured goes out as a bearer's, for a server behind a proxy
that asks for it. What a prompt has beyond the model's `num_ctx`, Ollama cuts off without a word: set the context window
of the inventory to what the server runs with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from naiad.adapters.base import Answer, Delta, FinishReason, Part, Request, Spent, TextDelta, ToolCallDelta, Usage
from naiad.adapters.ending import Reasons, unexplained, unshown
from naiad.adapters.errors import MalformedAnswer, ProviderError, ServerError
from naiad.adapters.exchange import Asked, Reply, decoded, loosely
from naiad.adapters.failures import failure_of
from naiad.adapters.json_text import text_of_json
from naiad.adapters.listing import ListedModel
from naiad.adapters.ollama_request import body_of
from naiad.adapters.secret import Secret
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import Growing
from naiad.adapters.wire_format import (
    Framing,
    Listing,
    Sending,
    call_id,
    counted_by,
    estimated_usage,
    sane_usage,
    spent_of,
)

_REASONS = Reasons({"stop": FinishReason.STOP, "length": FinishReason.LENGTH})
_NOTHING_ASKED = ("load", "unload")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class _Function(msgspec.Struct, frozen=True):
    name: str
    arguments: dict[str, Any] | None = None


class _Call(msgspec.Struct, frozen=True):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None
    tool_calls: list[_Call] | None = None
    images: list[Any] | None = None


class _Totals(msgspec.Struct, frozen=True):
    """What a line counts, whatever else is wrong with it."""

    prompt_eval_count: int | None = None
    eval_count: int | None = None


class _Chat(_Totals, frozen=True):
    """One line: the answer, or the next piece of it."""

    model: str | None = None
    message: _Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    error: Any = None


class _Entry(msgspec.Struct, frozen=True):
    name: str | None = None


class _Page(msgspec.Struct, frozen=True):
    models: list[_Entry] | None = None


class Reading:
    """Puts the lines of one answer together; a StreamReader."""

    def __init__(self, asked: Asked, sending: Sending) -> None:
        self.done = False
        self._asked = asked
        self._sending = sending
        self._growing = Growing()
        self._calls = 0
        self._ids: set[str] = set()  # of the calls
        self._images = 0
        self._last: _Chat | None = None
        self._count: tuple[int, int] | None = None  # of tokens read and written, from the latest line that has both

    def feed(self, event: ServerEvent) -> list[Delta]:
        """Take a line and return what it adds; raises ProviderError, also for one that is an error."""
        return self.take(decoded(event.data, _Chat, self._asked))

    def take(self, chat: _Chat) -> list[Delta]:
        """As `feed`, for one that is read already."""
        if chat.prompt_eval_count is not None and chat.eval_count is not None:
            self._count = chat.prompt_eval_count, chat.eval_count
        if chat.error is not None:
            raise self._asked.error(ServerError, "an error came in place of the answer", status=200)
        deltas = list(self._new(chat.message)) if chat.message is not None else []
        for delta in deltas:
            self._growing.add(delta)
        if chat.done:
            if _REASONS.word(chat.done_reason) in _NOTHING_ASKED:
                raise self._asked.error(MalformedAnswer, "the server loaded or unloaded the model and answered nothing")
            self.done, self._last = True, chat
        return deltas

    @property
    def settled(self) -> bool:
        """Whether the line came that says that the answer is done."""
        return self.done

    def answer(self) -> Answer | None:
        """Return the answer, None before the line that says that it is done."""
        if self._last is None:
            return None
        parts = self._growing.parts()
        usage = self._usage(self._last, parts)
        finish = self._reason(self._last.done_reason)
        odd, kept = unexplained("Ollama", finish), unshown("Ollama", {"images": self._images})
        count = ("Ollama did not count all tokens; the count is estimated by bytes.",) if usage.estimated else ()
        return Answer(
            parts=parts,
            finish=finish,
            usage=usage,
            model=self._last.model or self._asked.model,
            notices=(*odd, *kept, *count),
            unexplained=odd,
            unshown=kept,
        )

    def spent(self, *, whole: bool = False) -> Spent | None:
        """Return what was counted so far; it is of the whole once that is done. whole: nothing follows."""
        said = None if self._count is None else sane_usage(*self._count)
        return spent_of(said, self._sending.request, self._growing.parts(), final=whole or self.done)

    def whole(self, chat: _Chat) -> Answer:
        """Return the answer of a reply that is all there is; raises ProviderError."""
        self.take(chat)
        answer = self.answer()
        if answer is None:
            raise self._asked.error(MalformedAnswer, "the reply does not say that it is done", status=200)
        return answer

    def _new(self, message: _Message) -> Iterator[Delta]:
        if message.content:
            yield TextDelta(message.content)
        for call in message.tool_calls or ():
            index, self._calls = self._calls, self._calls + 1
            id = call.id if call.id and _ID.fullmatch(call.id) else ""
            id = call_id(id, self._ids, self._sending.request.messages, index)
            self._ids.add(id)
            yield ToolCallDelta(index, id, call.function.name, text_of_json(call.function.arguments or {}))
        self._images += len(message.images or ())

    def _reason(self, reason: str | None) -> FinishReason:
        found = _REASONS.meaning(_REASONS.word(reason) or "stop")  # servers before 0.5 give none beside `done`
        return FinishReason.TOOL_CALLS if found is FinishReason.STOP and self._calls else found

    def _usage(self, last: _Chat, parts: tuple[Part, ...]) -> Usage:
        """Return the count; a side that was not counted (a prompt that the server still knew) is estimated.

        Nothing written for an answer that has parts was not counted, and then neither was nothing read.
        """
        guess = estimated_usage(self._sending.request, parts)
        read, written = last.prompt_eval_count, last.eval_count
        if parts and written == 0:
            read, written = read or None, None
        if read is not None and written is not None:
            return counted_by(sane_usage(read, written), self._sending.request, parts)
        known = sane_usage(
            guess.input_tokens if read is None else read, guess.output_tokens if written is None else written
        )
        if isinstance(known, Usage):
            return Usage(known.input_tokens, known.output_tokens, estimated=True)
        return counted_by(known, self._sending.request, parts)


@dataclass(frozen=True, slots=True)
class OllamaNative:
    """The wire format."""

    @property
    def framing(self) -> Framing:
        """JSON lines."""
        return Framing.LINES

    def key_headers(self, key: Secret) -> Mapping[str, Secret]:
        """Return the key as a bearer's."""
        return {"authorization": key.prefixed("Bearer ")}

    def sending(self, request: Request, asked: Asked, *, stream: bool) -> Sending:
        """Put a request into words; raises UnsupportedContent."""
        body, notices = body_of(request, asked, stream=stream)
        return Sending(request=request, path="/api/chat", body=body, notices=notices)

    def answer(self, reply: Reply, sending: Sending) -> Answer:
        """Read a whole answer; raises ProviderError."""
        return Reading(reply.asked, sending).whole(reply.json(_Chat))

    def spent(self, reply: Reply, sending: Sending) -> Spent | None:
        """Return what a whole reply counts that is no answer."""
        reading, chat = Reading(reply.asked, sending), loosely(reply.body, _Chat)
        if chat is None:
            totals = loosely(reply.body, _Totals) or _Totals()
            chat = _Chat(prompt_eval_count=totals.prompt_eval_count, eval_count=totals.eval_count)
        with suppress(ProviderError):
            reading.take(chat)
        return reading.spent(whole=True)

    def reader(self, asked: Asked, headers: Mapping[str, str], sending: Sending) -> Reading:
        """Begin to read a stream."""
        return Reading(asked, sending)

    def failure(self, reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
        """Return the error of a reply that is no success: its status says all, its body is a sentence."""
        return failure_of(reply, *secrets, now=now)

    def listing(self, page: str) -> Listing:
        """Ask for the models that the server has."""
        return Listing("/api/tags")

    def listed(self, reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
        """Read their names; nothing more of use is said there, and there is one page."""
        return [ListedModel(entry.name) for entry in reply.json(_Page).models or () if entry.name], ""
