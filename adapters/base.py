"""The seam between Naiad and the model providers: what is asked, what is answered, and by whom.

An `Adapter` speaks one wire format. Everything here is a frozen value in the providers' common terms, so
that routing, billing and learning never see a vendor's field names. Where vendors differ, the meaning is:

* `Usage` counts input tokens *including* cached ones (Anthropic reports them apart) and output tokens
  *including* reasoning (Gemini reports it apart).
* Tool arguments and JSON schemas are JSON text: exact, hashable, and the same in a stream of fragments.
* System prompts are messages of `Role.SYSTEM`; an adapter whose provider wants them elsewhere moves them.
* What a provider cannot take (a sampling parameter, say) is left out and said so in `Answer.notices`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, runtime_checkable


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image, either as bytes or as an address the provider fetches; exactly one of the two is set."""

    media_type: str = ""  # e.g. "image/png"; required with `data`
    data: bytes = b""
    url: str = ""

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.url):
            raise ValueError(
                f"an image part has {len(self.data)} bytes of data and {'a' if self.url else 'no'} url; "
                "give exactly one of data and url"
            )
        if self.data and not self.media_type:
            raise ValueError("an image part with data needs media_type, e.g. 'image/png'")


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """The model asks for a tool to be called."""

    id: str  # "" where the provider gives none; the adapter then makes one up
    name: str
    arguments: str  # JSON text as the model wrote it; it may be invalid JSON


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool returned for the call `call_id`; `name` is needed by providers without call ids."""

    call_id: str
    name: str
    content: tuple[TextPart | ImagePart, ...]
    is_error: bool = False


Part: TypeAlias = TextPart | ImagePart | ToolCallPart | ToolResultPart


def text_of(parts: tuple[Part, ...]) -> str:
    """Join the text parts, in order, with nothing between them."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text of the message without its other parts."""
        return text_of(self.parts)


def user(text: str) -> Message:
    """Make a user message of plain text."""
    return Message(Role.USER, (TextPart(text),))


def system(text: str) -> Message:
    """Make a system message of plain text."""
    return Message(Role.SYSTEM, (TextPart(text),))


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call."""

    name: str
    description: str
    parameters: str  # JSON Schema of the arguments, as JSON text


class ToolMode(StrEnum):
    """Whether the model may, must or must not call a tool."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"  # must call the tool `ToolChoice.name`


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The caller's wish about tools; `name` goes with `ToolMode.NAMED` and only with it."""

    mode: ToolMode = ToolMode.AUTO
    name: str = ""

    def __post_init__(self) -> None:
        if (self.mode is ToolMode.NAMED) != bool(self.name):
            raise ValueError(
                f"tool choice {self.mode.value!r} with name {self.name!r}: 'named' needs a name, "
                "the other modes take none"
            )


@dataclass(frozen=True, slots=True)
class ResponseSchema:
    """The answer must be JSON of this schema."""

    name: str
    schema: str  # JSON Schema as JSON text
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one model; None means that the provider's own default holds.

    Raises ValueError for a request that no provider could take.
    """

    model: str  # the name that the provider knows, not the inventory's
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    response_schema: ResponseSchema | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("a request needs the upstream name of a model; model is empty")
        if not self.messages:
            raise ValueError("a request needs at least one message; messages is empty")
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            raise ValueError(f"max_output_tokens is {self.max_output_tokens}; give at least 1 or None")
        if self.temperature is not None and not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature is {self.temperature}; give a finite number >= 0 or None")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; give a number in (0, 1] or None")
        if "" in self.stop:
            raise ValueError("a stop sequence is empty; leave it out")

    @property
    def last_user_text(self) -> str:
        """The text of the last user message, "" if there is none."""
        turns = (message.text for message in reversed(self.messages) if message.role is Role.USER)
        return next(turns, "")


@dataclass(frozen=True, slots=True)
class Claim:
    """A provider's count that contradicts itself, as it came; -1 is what is no number."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Bill:
    """What a provider says a call cost, whether that can be true or not."""

    nano_usd: int | None  # None: it is no amount of money
    said: str  # for people: "0.0125 USD", "no number"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, normalised: parts are counted within their totals.

    Raises ValueError if a count is negative or the parts exceed their total.
    """

    input_tokens: int  # total, with cached_input_tokens and cache_write_tokens
    output_tokens: int  # total, with reasoning_tokens
    cached_input_tokens: int = 0  # read from the provider's cache
    cache_write_tokens: int = 0  # written to the provider's cache
    reasoning_tokens: int = 0
    estimated: bool = False  # True where the provider did not count
    claim: Claim | None = None  # what it counted, where that contradicts itself and this stands in its place

    def __post_init__(self) -> None:
        parts = (self.cached_input_tokens, self.cache_write_tokens, self.reasoning_tokens)
        if min(self.input_tokens, self.output_tokens, *parts) < 0:
            raise ValueError(f"usage has a negative count: {self}")
        if self.cached_input_tokens + self.cache_write_tokens > self.input_tokens:
            raise ValueError(f"usage counts more cached than input tokens: {self}")
        if self.reasoning_tokens > self.output_tokens:
            raise ValueError(f"usage counts more reasoning than output tokens: {self}")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a provider counted of a call that gave no answer.

    Final where it is the provider's count of the whole call: it is billed by it. Else the call broke off, and it is
    what had been counted until then: no bound of the bill.
    """

    usage: Usage
    final: bool
    bill: Bill | None = None  # of vendors that say what they charge
    written_bytes: int = 0  # of the answer, as far as it can be seen


class FinishReason(StrEnum):
    """Why the answer ended; each value is an outcome, none is an error."""

    STOP = "stop"  # the model was done, or a stop sequence came
    LENGTH = "length"  # max_output_tokens or the context window was reached
    TOOL_CALLS = "tool_calls"  # the model waits for tool results
    CONTENT_FILTER = "content_filter"  # the provider blocked the prompt or the answer
    REFUSAL = "refusal"  # the model declined
    PAUSED = "paused"  # Anthropic pause_turn: send the answer back to go on
    OTHER = "other"  # a reason that the provider does not explain


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered, with the facts for billing and learning."""

    parts: tuple[Part, ...]  # TextPart and ToolCallPart
    finish: FinishReason
    usage: Usage
    model: str  # the upstream name that the provider says it used
    provider_request_id: str = ""
    notices: tuple[str, ...] = ()  # sentences about what was dropped, estimated or simulated
    dropped: tuple[str, ...] = ()  # those of them that are about parameters of the request
    unexplained: tuple[str, ...] = ()  # those about a reason for the end that has no value here
    unshown: tuple[str, ...] = ()  # those about parts of the answer that are not shown
    latency_s: float | None = None  # stated by providers that do not wait (replay); None: the caller measures
    bill: Bill | None = None  # of vendors that say what they charge
    pause_s: float | None = None  # the provider's allowance is used up for so long; None: it is not, or not said

    @property
    def text(self) -> str:
        """The text of the answer without its tool calls."""
        return text_of(self.parts)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """The next piece of the tool call number `index` of the answer; id and name come with its first piece."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""  # a fragment of JSON text


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a good stream: the whole answer, whose parts are the deltas put together."""

    answer: Answer


Delta: TypeAlias = TextDelta | ToolCallDelta
StreamEvent: TypeAlias = TextDelta | ToolCallDelta | Finished


@runtime_checkable
class Adapter(Protocol):
    """A provider as Naiad sees it; implementations are one wire format each, or wrap another adapter.

    Laws, checked by one conformance suite for all implementations:

    * Failures are `ProviderError`s with provider and model; nothing else is raised for what a provider does.
    * `timeout_s` bounds the wall time of the whole call; when it runs out, `Timeout` is raised. A call with
      `timeout_s <= 0` fails with `Timeout` before anything is sent.
    * Cancelling a call, or closing a stream early, releases everything that the call held.
    * A stream ends with exactly one `Finished`, or raises. It never ends in silence.
    * `repr` is stable, names the adapter and its settings, and holds no secret.
    """

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Ask, and wait for the whole answer."""
        ...

    def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the answer piece by piece.

        An async generator, so that a consumer who stops early can close it: use `contextlib.aclosing`.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. Calling it again does nothing; calls made afterwards raise `AdapterClosed`."""
        ...
