"""Gemini: `generateContent` and `streamGenerateContent` of the Gemini API, versions v1 and v1beta.

https://ai.google.dev/api/generate-content. Both versions take and give the same; some models are only in v1beta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from naiad.adapters.base import Answer, Request, Spent
from naiad.adapters.endpoint import segment
from naiad.adapters.errors import ModelNotFound, ProviderError
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.gemini_failure import failure
from naiad.adapters.gemini_reply import Reading, Response, spent_in
from naiad.adapters.gemini_request import body_of
from naiad.adapters.listing import ListedModel
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import Framing, Listing, Sending

VERSIONS = ("v1", "v1beta")
_FOLDERS = ("models", "tunedModels")


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    name: str | None = None
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    supported_generation_methods: list[str] | None = None


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    models: list[_Entry] | None = None
    next_page_token: str | None = None


@dataclass(frozen=True, slots=True)
class Gemini:
    """The wire format; raises ValueError for a version that there is not."""

    version: str = "v1"

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ValueError(f"Gemini has the versions {' and '.join(VERSIONS)}; give one of them")

    @property
    def framing(self) -> Framing:
        """Server-sent events."""
        return Framing.EVENTS

    def key_headers(self, key: Secret) -> Mapping[str, Secret]:
        """Return the key in the header that is Google's own."""
        return {"x-goog-api-key": key}

    def sending(self, request: Request, asked: Asked, *, stream: bool) -> Sending:
        """Put a request into words; raises UnsupportedContent, and ModelNotFound for a name that can be none."""
        body, notices = body_of(request, asked)
        method = "streamGenerateContent" if stream else "generateContent"
        return Sending(
            request=request,
            path=f"/{self.version}/{_resource(request.model, asked)}:{method}",
            body=body,
            params={"alt": "sse"} if stream else {},
            notices=notices,
        )

    def answer(self, reply: Reply, sending: Sending) -> Answer:
        """Read a whole answer; raises ProviderError."""
        return Reading(reply.asked, sending).whole(reply.json(Response))

    def spent(self, reply: Reply, sending: Sending) -> Spent | None:
        """Return what a whole reply counts that is no answer."""
        return spent_in(reply, sending)

    def reader(self, asked: Asked, headers: Mapping[str, str], sending: Sending) -> Reading:
        """Begin to read a stream."""
        return Reading(asked, sending)

    def failure(self, reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
        """Return the error of a reply that is no success."""
        return failure(reply, *secrets, now=now)

    def listing(self, page: str) -> Listing:
        """Ask for a page of the models."""
        return Listing(f"/{self.version}/models", {"pageSize": "1000", **({"pageToken": page} if page else {})})

    def listed(self, reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
        """Read the models that generate content; the window is their limit of input, which leaves the output out."""
        found = reply.json(_Page)
        models = [
            ListedModel(
                name,
                context_window=_positive(entry.input_token_limit),
                max_output_tokens=_positive(entry.output_token_limit),
            )
            for entry in found.models or ()
            if "generateContent" in (entry.supported_generation_methods or ())
            and (name := (entry.name or "").removeprefix("models/"))
        ]
        return models, found.next_page_token or ""


def _resource(model: str, asked: Asked) -> str:
    """Return a model's path: "gemini-x", "models/gemini-x" and "tunedModels/mine" are its names."""
    folder, _, name = model.rpartition("/")
    folder = folder or "models"
    if folder not in _FOLDERS or name in ("", ".", ".."):
        raise asked.error(
            ModelNotFound, f"{model!r} cannot be a model of Gemini; its names are NAME, models/NAME or tunedModels/NAME"
        )
    return f"{folder}/{segment(name)}"


def _positive(tokens: int | None) -> int | None:
    return tokens if tokens is not None and tokens > 0 else None
