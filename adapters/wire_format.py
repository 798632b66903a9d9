"""Wire formats: how a question and its answer look in one family of APIs, apart from where and how they are sent.

A `WireFormat` is pure: it turns values into a request's parts and a reply into values, and knows neither sockets nor
clocks. `naiad.adapters.remote` carries it over a transport; `naiad.adapters.profiles` says which vendors speak it, and
with what quirks. So a vendor with a known format is data, and a format is tested on recorded bytes alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from naiad.adapters.base import (
    Answer,
    Bill,
    Claim,
    Delta,
    FinishReason,
    Message,
    Part,
    Request,
    Role,
    Spent,
    ToolCallPart,
    Usage,
)
from naiad.adapters.errors import Blocked, ProviderError
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.listing import ListedModel
from naiad.adapters.secret import Secret
from naiad.adapters.sse import ServerEvent
from naiad.adapters.tokens import estimate_tokens, text_bytes, tokens_of_bytes


class Framing(StrEnum):
    """How a streamed reply is cut into events."""

    EVENTS = "events"  # server-sent events
    LINES = "lines"  # JSON lines; each becomes the data of an event "message"


@dataclass(frozen=True, slots=True)
class Sending:
    """A request in a provider's own words. `repr` leaves out what it says."""

    request: Request = field(repr=False)
    path: str  # below the endpoint's base URL; names in it went through `endpoint.segment`
    body: Mapping[str, Any] = field(repr=False)  # of JSON values
    headers: Mapping[str, str] = field(default_factory=dict)  # besides content type and key
    params: Mapping[str, str] = field(default_factory=dict)  # of the query
    notices: tuple[str, ...] = ()  # sentences about what the provider does not take and was left out


@dataclass(frozen=True, slots=True)
class Listing:
    """A request for a page of the provider's list of models."""

    path: str  # below the endpoint's base URL
    params: Mapping[str, str] = field(default_factory=dict)  # of the query
    headers: Mapping[str, str] = field(default_factory=dict)  # besides content type and key
    body: Mapping[str, Any] | None = None  # of JSON values, to be posted; None: there is none, and GET asks


class StreamReader(Protocol):
    """Reads the events of one streamed reply, in order."""

    done: bool
    """Whether the event came after which none that matters does."""

    def feed(self, event: ServerEvent) -> Iterable[Delta]:
        """Take an event and return what it adds to the answer; raises ProviderError, also for an error event."""
        ...

    @property
    def settled(self) -> bool:
        """Whether nothing of the answer is missing should no more come: a break or a silence is its end from here on.

        False while the format wants more than what came, whatever `answer` returns.
        """
        ...

    def answer(self) -> Answer | None:
        """Return the whole answer, None while no reason for its end was given: then it is cut off, not short.

        Raises ProviderError for one that is none after all.
        """
        ...

    def spent(self) -> Spent | None:
        """Return what was counted so far, for a stream that failed; None where nothing was. Never raises.

        It is final only if it is what the provider sends for the whole answer, at its end.
        """
        ...


class WireFormat(Protocol):
    """One family of APIs; implementations are frozen dataclasses whose fields are a vendor's quirks.

    Laws: whatever bytes come in, only ProviderError goes out, and no message quotes them. Unsupported tuning (a
    temperature, a seed) is left out and said so in `Sending.notices`; unsupported content raises UnsupportedContent.
    """

    @property
    def framing(self) -> Framing:
        """How a stream is cut."""
        ...

    def key_headers(self, key: Secret) -> Mapping[str, Secret]:
        """Return the headers that carry the key."""
        ...

    def sending(self, request: Request, asked: Asked, *, stream: bool) -> Sending:
        """Put a request into words; raises UnsupportedContent before anything is sent."""
        ...

    def answer(self, reply: Reply, sending: Sending) -> Answer:
        """Read a whole reply of status 200; raises ProviderError."""
        ...

    def spent(self, reply: Reply, sending: Sending) -> Spent | None:
        """Return what a whole reply of status 200 counts that is no answer; None where it does not. Never raises."""
        ...

    def reader(self, asked: Asked, headers: Mapping[str, str], sending: Sending) -> StreamReader:
        """Begin to read a stream of status 200; headers: the reply's, lower-case names."""
        ...

    def failure(self, reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
        """Return the error of a reply with another status: `failures.failure_of`, refined by what is documented.

        now: UTC, for waits that are given as dates. secrets: what no message may hold.
        """
        ...

    def listing(self, page: str) -> Listing:
        """Ask for a page of the models; page: "" for the first, then what `listed` gave."""
        ...

    def listed(self, reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
        """Read the page of status 200 that was asked for, and name the next, "" after the last; raises ProviderError.

        An entry that is no model that can be asked (one for embeddings, one without a name) is left out.
        """
        ...


def made_up_id(messages: tuple[Message, ...], index: int) -> str:
    """Return an id for the tool call number `index` of an answer where the provider gives none.

    Unique within the conversation: the calls of its earlier turns come before it.
    """
    earlier = sum(isinstance(part, ToolCallPart) for message in messages for part in message.parts)
    return f"call_{earlier + index + 1}"


def call_id(given: str, taken: Collection[str], messages: tuple[Message, ...], index: int) -> str:
    """Return the id of the tool call number `index` of an answer.

    It is the provider's, or one that is made up where it gives none, or gives one that is taken: results of tools go by
    it. taken: the ids of the answer's earlier calls.
    """
    if given and given not in taken:
        return given
    while (id := made_up_id(messages, index)) in taken:
        index += 1
    return id


def estimated_usage(request: Request, parts: Iterable[Part], claim: Claim | None = None) -> Usage:
    """Return a count of tokens by their bytes, marked as estimated, where the provider gave none that can be true.

    claim: what it counted instead. Each side is then at least what it claims, so that what contradicts itself is never
    cheaper than what does not; nothing of it was read from a cache, since that is cheaper.
    """
    written = text_bytes((Message(request.messages[-1].role, tuple(parts)),))
    read, wrote = estimate_tokens(request.messages), tokens_of_bytes(written)
    guess = Usage(read, wrote, estimated=True)
    return guess if claim is None else at_least(guess, claim)


def at_least(guess: Usage, claim: Claim) -> Usage:
    """Return an estimate with each side at least what a claim says of it, and with the claim."""
    thought = max(guess.reasoning_tokens, claim.reasoning_tokens)
    apart = thought if thought > claim.output_tokens else 0  # more than the whole: it was counted beside it
    read = max(guess.input_tokens, claim.input_tokens)
    wrote = max(guess.output_tokens, claim.output_tokens + apart, thought)
    return Usage(read, wrote, 0, min(read, max(0, claim.cache_write_tokens)), thought, estimated=True, claim=claim)


def blocked_answer(block: Blocked, request: Request, spent: Spent | None, parts: tuple[Part, ...] = ()) -> Answer:
    """Return the answer that a provider's content rules left of one. Azure bills for it, and says not how much.

    spent: what it counted, which holds if it is of the whole.
    """
    counted = spent is not None and spent.final
    notice = f"{block.provider} stopped this by its content rules, without a count of tokens: it is estimated."
    return Answer(
        parts=parts,
        finish=FinishReason.CONTENT_FILTER,
        usage=spent.usage if spent is not None and counted else estimated_usage(request, parts),
        model=request.model,
        provider_request_id=block.provider_request_id,
        notices=() if counted else (notice,),
        bill=spent.bill if spent is not None and counted else None,
    )


def sane_usage(
    input_tokens: int, output_tokens: int, *, cached: int = 0, cache_write: int = 0, reasoning: int = 0
) -> Usage | Claim:
    """Return a provider's count, a claim where it contradicts itself: negative, above 2^40, parts above their total."""
    claim = Claim(input_tokens, output_tokens, cached, cache_write, reasoning)
    if max(input_tokens, output_tokens, cached, cache_write, reasoning) > 1 << 40:
        return claim
    try:
        return Usage(input_tokens, output_tokens, cached, cache_write, reasoning)
    except ValueError:
        return claim


def counted_by(said: Usage | Claim | None, request: Request, parts: Iterable[Part]) -> Usage:
    """Return a provider's count, or an estimate where it gave none, or one that contradicts itself."""
    return said if isinstance(said, Usage) else estimated_usage(request, parts, said)


def spent_of(
    said: Usage | Claim | None, request: Request, parts: Iterable[Part], *, final: bool, bill: Bill | None = None
) -> Spent | None:
    """Return what a provider counted of a call that failed, None where it did not.

    parts: of the answer, as far as they can be seen. A count without output for parts that there are is not of the
    whole; one that contradicts itself and is not of the whole says nothing.
    """
    if said is None or (isinstance(said, Claim) and not final):
        return None
    parts = tuple(parts)
    written = text_bytes((Message(Role.ASSISTANT, parts),))
    usage = counted_by(said, request, parts)
    whole = final and (usage.output_tokens > 0 or not written)
    return Spent(usage, whole, bill if whole else None, written)
