"""A chat completion as an answer: its parts, why it ended, and what it counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from naiad.adapters.base import Answer, Claim, FinishReason, Part, Request, TextPart, ToolCallPart, Usage
from naiad.adapters.billing import BillInUsage
from naiad.adapters.errors import MalformedAnswer, Overloaded, ProviderError, ServerError
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.failures import request_id_of
from naiad.adapters.openai_errors import error_within
from naiad.adapters.wire_format import Sending, counted_by, estimated_usage, made_up_id, sane_usage

_FINISH: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,  # Together
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,  # Mistral: the window is full
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,  # Z.ai
}
_BROKEN: Mapping[str, type[ProviderError]] = {
    "error": ServerError,  # Mistral, OpenRouter
    "abort": ServerError,  # vLLM
    "network_error": ServerError,  # Z.ai
    "insufficient_system_resource": Overloaded,  # DeepSeek
}
"""Reasons for an end that is no answer's."""

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


class Choice(msgspec.Struct):
    """One of the answers that were asked for; there is only one."""

    index: int | None = None
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    error: Any = None


class Body(msgspec.Struct):
    """A completion, or a chunk of a stream."""

    choices: list[Choice] | None = None
    usage: Any = None
    model: str | None = None
    id: Any = None
    error: Any = None
    x_groq: Any = None

    def first(self) -> Choice | None:
        """Return the answer, None if there is none."""
        return next((choice for choice in self.choices or () if not choice.index), None)

    def mistake(self) -> Any:
        """Return what makes this an error after all, None if nothing does."""
        choice = self.first()
        groq = self.x_groq.get("error") if isinstance(self.x_groq, dict) else None
        return self.error or groq or (choice.error if choice else None) or None

    def counted(self) -> Any:
        """Return the usage as it came; Groq's stands elsewhere in streams."""
        return self.usage or (self.x_groq.get("usage") if isinstance(self.x_groq, dict) else None)


def answer_of(reply: Reply, sending: Sending, bill: BillInUsage | None = None) -> Answer:
    """Read a whole completion; raises ProviderError. bill: where the vendor says what it charges."""
    asked = reply.asked
    body = reply.json(Body)
    choice = body.first()
    if mistake := body.mistake():
        raise error_within(mistake, asked, reply.headers)
    if choice is None or choice.message is None:
        raise asked.error(MalformedAnswer, "the reply has no choice with a message", status=reply.status)
    if choice.finish_reason is None:
        raise asked.error(MalformedAnswer, "the reply has no finish reason", status=reply.status)
    said = choice.message
    text = text_in(said.content) + (said.refusal or "")
    calls = [part_of(call, sending.request, n, asked) for n, call in enumerate(said.tool_calls or ())]
    parts: tuple[Part, ...] = (*((TextPart(text),) if text else ()), *calls)
    return whole(parts, choice.finish_reason, bool(said.refusal), body, reply.headers, sending, asked, bill)


def whole(
    parts: tuple[Part, ...],
    reason: str,
    refused: bool,
    body: Body,
    headers: Mapping[str, str],
    sending: Sending,
    asked: Asked,
    bill: BillInUsage | None = None,
) -> Answer:
    """Put an answer together; body: whose usage, model and id hold. Raises ProviderError for an end that is none."""
    usage = counted_by(usage_of(body.counted()), sending.request, parts)
    if parts and not usage.output_tokens:
        usage = estimated_usage(sending.request, parts)
    notices: tuple[str, ...] = ()
    if usage.estimated:
        notices = (f"{asked.provider} gave no count of tokens that can be true; they are estimated from bytes.",)
    said_id = body.id if isinstance(body.id, str) and _ID.fullmatch(body.id) else ""
    return Answer(
        parts=parts,
        finish=_finish(reason, refused, parts, asked),
        usage=usage,
        model=body.model or sending.request.model,
        provider_request_id=request_id_of(Reply(asked, 200, headers, b"")) or said_id,
        notices=notices,
        bill=None if bill is None else bill.of(body.counted()),
    )


def part_of(call: Call, request: Request, index: int, asked: Asked) -> ToolCallPart:
    """Return a tool call with an id; raises MalformedAnswer for one without a name."""
    name = call.function.name if call.function else None
    if not name:
        raise asked.error(MalformedAnswer, "a tool call of the reply has no name", status=200)
    return ToolCallPart(id_of(call) or made_up_id(request.messages, index), name, arguments_of(call))


def id_of(call: Call) -> str:
    """Return the id of a call, "" if there is none."""
    return "" if call.id in (None, "null") else call.id or ""


def arguments_of(call: Call) -> str:
    """Return the arguments, or a piece of them, as JSON text."""
    given = call.function.arguments if call.function else None
    if isinstance(given, str):
        return given
    return "" if given is None else msgspec.json.encode(given).decode()


def text_in(content: Any) -> str:
    """Return the text of a content; parts of other kinds (thoughts, references) are no part of the answer."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


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


def _finish(reason: str, refused: bool, parts: tuple[Part, ...], asked: Asked) -> FinishReason:
    if reason in _BROKEN:
        raise asked.error(_BROKEN[reason], f"the answer broke off with finish reason {reason}", status=200)
    found = _FINISH.get(reason, FinishReason.OTHER)
    if found is FinishReason.STOP and refused:
        return FinishReason.REFUSAL
    if found is FinishReason.STOP and any(isinstance(part, ToolCallPart) for part in parts):
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
