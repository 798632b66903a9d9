"""The wire format of Anthropic's Messages API, which other servers speak too (llama-server, gateways).

The version is sent with each request. From 2026-10-21 on the API refuses `temperature` and `top_p` even at their
defaults, so they are left out there and told of; with 2023-06-01 they are sent. The output limit is required: where the
caller gives none, `max_tokens` of the format holds. Thinking is left to the model's default and is not sent back with a
conversation.

https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/api/versioning
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from naiad.adapters.anthropic_content import choice_of, has_late_system, system_of, tools_of, turns_of
from naiad.adapters.anthropic_failures import failure
from naiad.adapters.anthropic_models import PER_PAGE, listed
from naiad.adapters.anthropic_reply import EventReader, spent_in, whole
from naiad.adapters.base import Answer, Request, Spent
from naiad.adapters.errors import ProviderError
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.json_text import object_of
from naiad.adapters.listing import ListedModel
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import Framing, Listing, Sending

NEWEST = "2026-10-21"
VERSIONS = ("2023-06-01", NEWEST)
MAX_TOKENS = 8_192
"""What every model that serves the newest version can write."""


@dataclass(frozen=True, slots=True)
class AnthropicMessages:
    """One version of the API; raises ValueError for one that is not known."""

    version: str = NEWEST
    max_tokens: int = MAX_TOKENS  # where the caller gives none

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ValueError(f"{self.version!r} is no version of Anthropic's API; give one of {', '.join(VERSIONS)}")

    @property
    def framing(self) -> Framing:
        """How a stream is cut."""
        return Framing.EVENTS

    def key_headers(self, key: Secret) -> Mapping[str, Secret]:
        """Return the headers that carry the key."""
        return {"x-api-key": key}

    def sending(self, request: Request, asked: Asked, *, stream: bool) -> Sending:
        """Put a request into words; raises UnsupportedContent."""
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_output_tokens or self.max_tokens,
            "messages": turns_of(request.messages, asked),
        }
        if system := system_of(request.messages, asked):
            body["system"] = system
        if request.tools:
            body["tools"] = tools_of(request.tools, asked)
        if choice := choice_of(request, asked):
            body["tool_choice"] = choice
        if request.response_schema:
            schema = object_of(request.response_schema.schema, asked, "response_schema.schema")
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        if stops := [stop for stop in request.stop if stop.strip()]:
            body["stop_sequences"] = stops
        if self._samples:
            if request.temperature is not None:
                body["temperature"] = min(request.temperature, 1.0)
            if request.top_p is not None:
                body["top_p"] = request.top_p
        if stream:
            body["stream"] = True
        return Sending(request, "/v1/messages", body, self._headers, notices=tuple(self._notices(request)))

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
        """Ask for a page of the models."""
        return Listing("/v1/models", {"limit": PER_PAGE, **({"after_id": page} if page else {})}, self._headers)

    def listed(self, reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
        """Read a page of the models, and name the next."""
        return listed(reply, page)

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"anthropic-version": self.version}

    @property
    def _samples(self) -> bool:
        return self.version < "2026-10-21"

    def _notices(self, request: Request) -> Iterable[str]:
        if request.max_output_tokens is None:
            yield f"Anthropic demands a limit of the output: max_output_tokens was set to {self.max_tokens}."
        for name in ("temperature", "top_p"):
            if getattr(request, name) is not None and not self._samples:
                yield f"{name} was left out: Anthropic's API version {self.version} does not take it."
        if self._samples and request.temperature is not None and request.temperature > 1:
            yield f"A temperature of {request.temperature:g} was sent as 1, the most that Anthropic takes."
        if request.seed is not None:
            yield "A seed was left out: Anthropic does not take one."
        if any(not stop.strip() for stop in request.stop):
            yield "Stop sequences of white space alone were left out: Anthropic does not take them."
        if has_late_system(request.messages):
            yield "System messages within the conversation were moved to its beginning: Anthropic has no other place."
