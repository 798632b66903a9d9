"""A chat completion as an answer: its parts, why it ended, and what it counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from naiad.adapters.base import Answer, Claim, FinishReason, Part, Request, Spent, TextPart, ToolCallPart, Usage
from naiad.adapters.billing import BillInUsage
from naiad.adapters.call_arguments import BY_ITSELF, given
from naiad.adapters.counting import counted
from naiad.adapters.ending import Reasons, unexplained, unshown
from naiad.adapters.errors import MalformedAnswer, Overloaded, ProviderError, ServerError
from naiad.adapters.exchange import Asked, Reply, loosely
from naiad.adapters.failures import request_id_of
from naiad.adapters.openai_errors import error_within
from naiad.adapters.wire_format import Sending, call_id, sane_usage, spent_of

REASONS = Reasons({
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,  # Together
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,  # Mistral: the window is full
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,  # Z.ai
}, folded=True)  # fmt: skip
_BROKEN: Mapping[str, type[ProviderError]] = {
    "error": ServerError,  # Mistral, OpenRouter
    "abort": ServerError,  # vLLM
    "network_error": ServerError,  # Z.ai
    "insufficient_system_resource": Overloaded,  # DeepSeek
}
"""Reasons for an end that is no answer's."""

_QUIET = ("thinking", "reasoning", "reference", "tool_reference")
"""Kinds of parts that nobody misses: thoughts, and what they refer to."""
_UNKNOWN = "a kind that is not known here"

_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


class Function(msgspec.Struct):
    """What is to be called."""

    name: str | None = None
    arguments: Any = None  # JSON text; an object from servers that know no better


class Call(msgspec.Struct):
    """A tool call, or a fragment of one."""

    id: str | None = None
    index: int | None = None
    function: Function | None = None


class Said(msgspec.Struct):
    """A message, or what a chunk adds to one."""

    content: Any = None  # text, or a list of parts
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Any = None  # in place of tool_calls, as it was before there were these

    def calls(self) -> list[Call]:
        """Return the tool calls, or what came of them."""
        if self.tool_calls or not isinstance(self.function_call, dict):
            return self.tool_calls or []
        name, arguments = self.function_call.get("name"), self.function_call.get("arguments")
        function = Function(name if isinstance(name, str) else None, arguments)
        return [] if not name and arguments is None else [Call(index=0, function=function)]


class Choice(msgspec.Struct):
    """One of the answers that were asked for; there is only one."""

    index: int | None = None
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    error: Any = None
    text: Any = None  # of a completion that is no chat's


class Totals(msgspec.Struct):
    """What a completion counts, whatever else is wrong with it."""

    usage: Any = None
    x_groq: Any = None

    def counted(self) -> Any:
        """Return the usage as it came; Groq's stands elsewhere in streams."""
        return self.usage or (self.x_groq.get("usage") if isinstance(self.x_groq, dict) else None)


class Body(Totals):
    """A completion, or a chunk of a stream."""

    choices: list[Choice] | None = None
    model: str | None = None
    id: Any = None
    error: Any = None

    def first(self) -> Choice | None:
        """Return the answer, None if there is none."""
        return next((choice for choice in self.choices or () if not choice.index), None)

    def mistake(self) -> Any:
        """Return what makes this an error after all, None if nothing does."""
        choice = self.first()
        groq = self.x_groq.get("error") if isinstance(self.x_groq, dict) else None
        return self.error or groq or (choice.error if choice else None) or None


def answer_of(reply: Reply, sending: Sending, bill: BillInUsage | None = None) -> Answer:
    """Read a whole completion; raises ProviderError. bill: where the vendor says what it charges."""
    asked = reply.asked
    body = reply.json(Body)
    choice = body.first()
    if mistake := body.mistake():
        raise error_within(mistake, asked, reply.headers)
    if choice is None or choice.message is None:
        raise asked.error(MalformedAnswer, "the reply has no choice with a message", status=reply.status)
    reason = REASONS.word(choice.finish_reason)
    if not reason:
        raise asked.error(MalformedAnswer, "the reply has no finish reason", status=reply.status)
    said, seen = choice.message, Read()
    text = text_in(said.content, asked, seen.unshown) + (said.refusal or "")
    calls: list[ToolCallPart] = []
    for call in said.calls():
        calls.append(_called(call, calls, sending.request, asked, REASONS.meaning(reason)))
    seen.parts = (*((TextPart(text),) if text else ()), *calls)
    seen.reason, seen.refused = reason, bool(said.refusal)
    return whole(seen, body, reply.headers, sending, asked, bill)


def spent_in(reply: Reply, sending: Sending, bill: BillInUsage | None = None) -> Spent | None:
    """Return what a whole completion counts that is no answer."""
    body = loosely(reply.body, Body)
    totals = body or loosely(reply.body, Totals)
    choice = body.first() if body is not None else None
    parts: list[Part] = []
    if choice is not None and choice.message is not None:
        said = choice.message
        with suppress(MalformedAnswer):
            parts.append(TextPart(text_in(said.content, reply.asked, Counter())))
        parts += [TextPart(text) for text in (said.refusal or "", *map(arguments_of, said.calls())) if text]
    return None if totals is None else totals_spent(totals, sending, parts, final=True, bill=bill)


def totals_spent(
    totals: Totals, sending: Sending, parts: Iterable[Part], *, final: bool, bill: BillInUsage | None
) -> Spent | None:
    """Return what was counted of a completion that failed."""
    billed = None if bill is None else bill.of(totals.counted())
    return spent_of(usage_of(totals.counted()), sending.request, parts, final=final, bill=billed)


@dataclass(slots=True)
class Read:
    """What was read of an answer, apart from the facts that stand at the top of its body."""

    parts: tuple[Part, ...] = ()
    reason: str = ""  # as `REASONS` compares it; "" before there is one
    refused: bool = False
    final: bool = True  # whether the usage counts all of it
    unshown: Counter[str] = field(default_factory=Counter)


def whole(
    read: Read,
    body: Body,
    headers: Mapping[str, str],
    sending: Sending,
    asked: Asked,
    bill: BillInUsage | None = None,
) -> Answer:
    """Put an answer together; body: whose usage, model and id hold. Raises ProviderError for an end that is none."""
    usage, notices = counted(usage_of(body.counted()), sending.request, read.parts, 0, final=read.final)
    if notices:
        notices = (f"{asked.provider} gave no count of tokens that can be true; they are estimated from bytes.",)
    finish = _finish(read, asked)
    odd, kept = unexplained(asked.provider, finish), unshown(asked.provider, read.unshown)
    said_id = body.id if isinstance(body.id, str) and _ID.fullmatch(body.id) else ""
    return Answer(
        parts=read.parts,
        finish=finish,
        usage=usage,
        model=body.model or sending.request.model,
        provider_request_id=request_id_of(Reply(asked, 200, headers, b"")) or said_id,
        notices=(*notices, *odd, *kept),
        unexplained=odd,
        unshown=kept,
        bill=None if bill is None or not read.final else bill.of(body.counted()),
    )


def name_of(call: Call) -> str:
    """Return the name of what is to be called, or a piece of it, "" if there is none."""
    return (call.function.name if call.function else None) or ""


def _called(
    call: Call, earlier: list[ToolCallPart], request: Request, asked: Asked, finish: FinishReason
) -> ToolCallPart:
    """Return a tool call with an id of its own; raises MalformedAnswer for one without a name."""
    name, arguments = name_of(call), arguments_of(call)
    if not name:
        raise asked.error(MalformedAnswer, "a tool call of the reply has no name", status=200)
    id = call_id(id_of(call), {part.id for part in earlier}, request.messages, len(earlier))
    return ToolCallPart(id, name, given(arguments) if finish in BY_ITSELF else arguments)


def id_of(call: Call) -> str:
    """Return the id of a call, "" if there is none."""
    return "" if call.id in (None, "null") else call.id or ""


def arguments_of(call: Call) -> str:
    """Return the arguments, or a piece of them, as JSON text."""
    given = call.function.arguments if call.function else None
    if isinstance(given, str):
        return given
    return "" if given is None else msgspec.json.encode(given).decode()


def text_in(content: Any, asked: Asked, unshown: Counter[str]) -> str:
    """Return the text of a content: a text, or a list of parts. Raises MalformedAnswer for what is neither.

    unshown: takes up how many parts are of a kind that has no place in an answer, thoughts and references aside.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise asked.error(MalformedAnswer, "the content of the answer is neither text nor parts", status=200)
    texts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            unshown[_UNKNOWN] += kind not in _QUIET
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            raise asked.error(MalformedAnswer, "a part of the answer's text is no text", status=200)
    return "".join(texts)


def usage_of(said: Any) -> Usage | Claim | None:
    """Return a vendor's count in common terms, a claim where it contradicts itself, None where there is none.

    Cached tokens stand under four names. Reasoning is counted within the output, but apart from it by some (xAI), which
    shows in the total.
    """
    if not isinstance(said, dict) or said.get("prompt_tokens") is None or said.get("completion_tokens") is None:
        return None
    inward, outward = _inner(said, "prompt_tokens_details"), _inner(said, "completion_tokens_details")
    cached = next(
        (value for value in (
            inward.get("cached_tokens"),
            _inner(said, "prompt_token_details").get("cached_tokens"),
            said.get("num_cached_tokens"),  # Mistral
            said.get("cached_tokens"),  # Together
            said.get("prompt_cache_hit_tokens"),  # DeepSeek
        ) if value is not None),
        0,
    )  # fmt: skip
    tokens, output = _count(said["prompt_tokens"]), _count(said["completion_tokens"])
    reasoning = _count(outward.get("reasoning_tokens"))
    if reasoning > 0 and _count(said.get("total_tokens")) == tokens + output + reasoning:
        output += reasoning
    return sane_usage(
        tokens, output, cached=_count(cached), cache_write=_count(inward.get("cache_write_tokens")), reasoning=reasoning
    )


def check_end(reason: str, asked: Asked) -> None:
    """Raise the error of a reason for an end that is no answer's."""
    if reason in _BROKEN:
        raise asked.error(_BROKEN[reason], f"the answer broke off with finish reason {reason}", status=200)


def _finish(read: Read, asked: Asked) -> FinishReason:
    check_end(read.reason, asked)
    found = REASONS.meaning(read.reason)
    if found is FinishReason.STOP and read.refused:
        return FinishReason.REFUSAL
    if found is FinishReason.STOP and any(isinstance(part, ToolCallPart) for part in read.parts):
        return FinishReason.TOOL_CALLS  # OpenAI says "stop" where the call was asked for by name
    return found


def _inner(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}


def _count(value: Any) -> int:
    """Return a number of tokens, 0 where there is none, -1 for what cannot be one."""
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
