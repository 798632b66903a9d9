"""What Gemini's generateContent answers: an answer whole or in pieces, each of which is a whole response.

A prompt that was blocked has no candidates, an answer that was blocked a reason for its end: both are outcomes. Of the
parts of an answer, texts and calls of the request's tools are taken over; what else there is (code that the provider
ran, images) is counted in a notice. Thoughts are not shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from naiad.adapters.base import Answer, Claim, Delta, FinishReason, Part, Spent, TextDelta, ToolCallDelta, Usage
from naiad.adapters.counting import counted, hidden_bytes
from naiad.adapters.ending import Reasons, unexplained, unshown
from naiad.adapters.errors import AuthenticationFailed, MalformedAnswer, ProviderError
from naiad.adapters.exchange import Asked, Reply, decoded, loosely
from naiad.adapters.gemini_failure import GeminiError, error_in_stream
from naiad.adapters.json_text import text_of_json
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import Growing
from naiad.adapters.wire_format import Sending, call_id, sane_usage, spent_of

_REASONS = Reasons({
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "CONTINUATION": FinishReason.LENGTH,
    **dict.fromkeys((
        "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "ESCALATION",
    ), FinishReason.CONTENT_FILTER),
})  # fmt: skip
_UNEXPLAINED = frozenset({
    "FINISH_REASON_UNSPECIFIED", "LANGUAGE", "OTHER", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE", "IMAGE_OTHER",
})  # fmt: skip
_FAILED: dict[str, type[ProviderError]] = {  # what came so far is no answer; another model may do better
    "MALFORMED_FUNCTION_CALL": MalformedAnswer,
    "MALFORMED_RESPONSE": MalformedAnswer,
    "PUP_LIMITED_DISABLED": AuthenticationFailed,  # Google has limited the account
}
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class _Call(msgspec.Struct, frozen=True):
    name: str
    args: dict[str, Any] | None = None
    id: str | None = None


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None
    inline_data: Any = None
    file_data: Any = None
    executable_code: Any = None
    code_execution_result: Any = None
    tool_call: Any = None
    tool_response: Any = None

    @property
    def kind(self) -> str:
        """What it holds, in words, "" for nothing."""
        if self.inline_data is not None or self.file_data is not None:
            return "data"
        if self.executable_code is not None or self.code_execution_result is not None:
            return "code"
        if self.tool_call is not None or self.tool_response is not None:
            return "provider's tools"
        return "" if self.text is not None or self.thought_signature is not None else "unknown kind"


class _Content(msgspec.Struct, frozen=True):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, frozen=True, rename="camel"):
    index: int | None = None
    content: _Content | None = None
    finish_reason: str | None = None


class _Feedback(msgspec.Struct, frozen=True, rename="camel"):
    block_reason: str | None = None


class _Count(msgspec.Struct, frozen=True, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None

    @property
    def usage(self) -> Usage | Claim | None:
        """The count as `Usage`: what the provider's tools put in is input, thoughts are output.

        Without a count of what was written that is the thoughts alone.
        """
        if self.prompt_token_count is None:
            return None
        thoughts = self.thoughts_token_count or 0
        return sane_usage(
            self.prompt_token_count + (self.tool_use_prompt_token_count or 0),
            (self.candidates_token_count or 0) + thoughts,
            cached=self.cached_content_token_count or 0,
            reasoning=thoughts,
        )


class _Totals(msgspec.Struct, frozen=True, rename="camel"):
    """What a response counts, whatever else is wrong with it."""

    usage_metadata: _Count | None = None


class Response(_Totals, frozen=True, rename="camel"):
    """One response: the answer, or the next piece of it."""

    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: GeminiError | None = None


class Reading:
    """Puts the responses of one answer together; a StreamReader."""

    def __init__(self, asked: Asked, sending: Sending) -> None:
        self.done = False
        self._asked = asked
        self._sending = sending
        self._growing = Growing()
        self._calls = 0
        self._ids: set[str] = set()  # of the calls
        self._hidden: Counter[str] = Counter()
        self._hidden_bytes = 0  # of thoughts
        self._finish = ""  # the reason for the end, in the provider's words
        self._went_without = False  # a piece of the answer came without a reason, so that one is the end's
        self._went_on = False  # the answer went on after a reason, so that one says nothing
        self._blocked = False  # the prompt was
        self._count: _Count | None = None
        self._final = False  # whether it came with the last piece or after it
        self._model = ""
        self._id = ""

    def feed(self, event: ServerEvent) -> list[Delta]:
        """Take a response and return what it adds; raises ProviderError, also for one that is an error."""
        return self.take(decoded(event.data, Response, self._asked))

    def take(self, response: Response) -> list[Delta]:
        """As `feed`, for one that is read already."""
        if response.usage_metadata is not None:
            self._count, self._final = response.usage_metadata, True
        if response.error is not None:
            raise error_in_stream(response.error, self._asked)
        self._model = self._model or (response.model_version or "").removeprefix("models/")
        self._id = self._id or response.response_id or ""
        deltas: list[Delta] = []
        candidate = next((one for one in response.candidates or () if not one.index), None)  # one was asked for
        if candidate is not None:
            deltas += self._new(candidate)
            self._went_on = self._went_on or bool(deltas and self._finish)
            pieces = bool(candidate.content and candidate.content.parts)
            self._went_without = self._went_without or (pieces and not _REASONS.word(candidate.finish_reason))
            self._finish = _REASONS.settled(self._finish, candidate.finish_reason, last=True)
        if deltas and response.usage_metadata is None:
            self._final = False
        if (failed := _FAILED.get(self._finish)) is not None:
            raise self._asked.error(failed, f"the provider ended the answer with {self._finish}", status=200)
        if not response.candidates and response.prompt_feedback and response.prompt_feedback.block_reason:
            self._blocked = True
        for delta in deltas:
            self._growing.add(delta)
        return deltas

    @property
    def settled(self) -> bool:
        """Whether a reason came that can be trusted to be the end's: older versions say STOP with every piece."""
        if self._blocked or (self._finish and not _REASONS.plain(self._finish)):
            return True
        return bool(self._finish) and self._went_without and not self._went_on

    def answer(self) -> Answer | None:
        """Return the answer, None before a reason for its end came."""
        if not self._finish and not self._blocked:
            return None
        parts = self._growing.parts()
        said = None if self._count is None else self._count.usage
        final = self._counts_all(parts)
        usage, notices = counted(said, self._sending.request, parts, self._hidden_bytes, final=final)
        finish = self._reason()
        odd = unexplained("Gemini", finish, self._finish if self._finish in _UNEXPLAINED else "")
        kept = unshown("Gemini", self._hidden)
        return Answer(
            parts=parts,
            finish=finish,
            usage=usage,
            model=self._model or self._asked.model,
            provider_request_id=self._id if _ID.fullmatch(self._id) else "",
            notices=(*odd, *kept, *notices),
            unexplained=odd,
            unshown=kept,
        )

    def spent(self, *, whole: bool = False) -> Spent | None:
        """Return what was counted so far; it is of the whole with the reason for the end. whole: nothing follows."""
        parts, said = self._growing.parts(), None if self._count is None else self._count.usage
        final = (whole or self.settled) and self._counts_all(parts)
        return spent_of(said, self._sending.request, parts, final=final)

    def _counts_all(self, parts: tuple[Part, ...]) -> bool:
        """Return whether the count is of all of the parts, which came so far."""
        return self._final and (not parts or self._count is None or self._count.candidates_token_count is not None)

    def whole(self, response: Response) -> Answer:
        """Return the answer of a response that is all there is; raises ProviderError."""
        self.take(response)
        answer = self.answer()
        if answer is None:
            raise self._asked.error(MalformedAnswer, "the reply has no reason for its end", status=200)
        return answer

    def _new(self, candidate: _Candidate) -> Iterator[Delta]:
        for part in (candidate.content and candidate.content.parts) or ():
            if part.thought:
                self._hidden_bytes += hidden_bytes(part.text or "")
                continue
            if part.function_call is not None:
                call = part.function_call
                index, self._calls = self._calls, self._calls + 1
                id = call.id if call.id and _ID.fullmatch(call.id) else ""
                id = call_id(id, self._ids, self._sending.request.messages, index)
                self._ids.add(id)
                yield ToolCallDelta(index, id, call.name, text_of_json(call.args or {}))
            elif part.text:
                yield TextDelta(part.text)
            elif part.kind:
                self._hidden[part.kind] += 1

    def _reason(self) -> FinishReason:
        finish = _REASONS.meaning(self._finish)
        if finish is FinishReason.STOP and self._calls:
            return FinishReason.TOOL_CALLS
        return FinishReason.CONTENT_FILTER if finish is FinishReason.OTHER and self._blocked else finish


def spent_in(reply: Reply, sending: Sending) -> Spent | None:
    """Return what a whole response counts that is no answer."""
    reading, response = Reading(reply.asked, sending), loosely(reply.body, Response)
    if response is None:
        totals = loosely(reply.body, _Totals)
        response = Response(usage_metadata=totals.usage_metadata if totals is not None else None)
    with suppress(ProviderError):
        reading.take(response)
    return reading.spent(whole=True)
