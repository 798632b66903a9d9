"""The wire format of Cohere's chat API, version 2: https://docs.cohere.com/reference/chat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from naiad.adapters.base import Answer, Request, Spent, ToolMode, ToolResultPart
from naiad.adapters.cohere_content import messages_of, tools_of
from naiad.adapters.cohere_failures import failure
from naiad.adapters.cohere_models import PER_PAGE, listed
from naiad.adapters.cohere_reply import EventReader, spent_in, whole
from naiad.adapters.content import unsupported
from naiad.adapters.errors import ProviderError
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.json_text import object_of
from naiad.adapters.listing import ListedModel
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import Framing, Listing, Sending

STOPS = 5  # the most that Cohere takes
LEAST_P, MOST_P = 0.01, 0.99
MOST_SEED = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class CohereChat:
    """The API as it is; it has no versions that could be chosen."""

    @property
    def framing(self) -> Framing:
        """How a stream is cut."""
        return Framing.EVENTS

    def key_headers(self, key: Secret) -> Mapping[str, Secret]:
        """Return the headers that carry the key."""
        return {"authorization": key.prefixed("Bearer ")}

    def sending(self, request: Request, asked: Asked, *, stream: bool) -> Sending:
        """Put a request into words; raises UnsupportedContent."""
        body: dict[str, Any] = {
            "model": request.model,
            "messages": messages_of(request.messages, asked),
            "stream": stream,
        }
        if tools := tools_of(request, asked):
            body["tools"] = tools
            if request.tool_choice.mode is not ToolMode.AUTO:
                body["tool_choice"] = "NONE" if request.tool_choice.mode is ToolMode.NONE else "REQUIRED"
        if request.response_schema:
            if tools:
                raise unsupported(asked, "Cohere takes no response_schema together with tools; give one of them")
            schema = object_of(request.response_schema.schema, asked, "response_schema.schema")
            body["response_format"] = {"type": "json_object", "json_schema": schema}
        if request.max_output_tokens is not None:
            body["max_tokens"] = request.max_output_tokens
        if request.stop:
            body["stop_sequences"] = list(request.stop[:STOPS])
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.seed is not None and 0 <= request.seed <= MOST_SEED:
            body["seed"] = request.seed
        if request.top_p is not None:
            body["p"] = min(max(request.top_p, LEAST_P), MOST_P)
        return Sending(request, "/v2/chat", body, notices=tuple(_notices(request)))

    def answer(self, reply: Reply, sending: Sending) -> Answer:
        """Read a whole reply of status 200; raises ProviderError."""
        return whole(reply, sending)

    def spent(self, reply: Reply, sending: Sending) -> Spent | None:
        """Return what a whole reply counts that is no answer."""
        return spent_in(reply, sending)

    def reader(self, asked: Asked, headers: Mapping[str, str], sending: Sending) -> EventReader:
        """Begin to read a stream of status 200."""
        return EventReader(asked, headers, sending)

    def failure(self, reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
        """Return the error of a reply with another status."""
        return failure(reply, *secrets, now=now)

    def listing(self, page: str) -> Listing:
        """Ask for a page of the models that chat."""
        more = {"page_token": page} if page else {}
        return Listing("/v1/models", {"page_size": PER_PAGE, "endpoint": "chat", **more})

    def listed(self, reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
        """Read a page of the models, and name the next."""
        return listed(reply, page)


def _notices(request: Request) -> Iterable[str]:
    if request.tool_choice.mode is ToolMode.NAMED and len(request.tools) > 1:
        yield "The other tools were left out: Cohere can be told to call a tool, not which."
    if len(request.stop) > STOPS:
        yield f"Of {len(request.stop)} stop sequences the first {STOPS} were sent: Cohere takes no more."
    if request.seed is not None and not 0 <= request.seed <= MOST_SEED:
        yield f"A seed of {request.seed} was left out: Cohere takes 0 to 2^64-1."
    if request.top_p is not None and not LEAST_P <= request.top_p <= MOST_P:
        yield f"A top_p of {request.top_p:g} was sent as the nearest that Cohere takes, {LEAST_P} to {MOST_P}."
    parts = (part for message in request.messages for part in message.parts)
    if any(isinstance(part, ToolResultPart) and part.is_error for part in parts):
        yield "That a tool failed was not marked: Cohere has no place for it beside the tool's own words."
