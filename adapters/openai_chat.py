"""The wire format of OpenAI's chat completions, which most vendors and local servers speak, each with its quirks.

https://platform.openai.com/docs/api-reference/chat. What a vendor does otherwise is a field here, set in
`naiad.adapters.profiles`; a new vendor is a row there, not a class. How a request is put is in `openai_request`, how an
answer is read in `openai_answer` and `openai_stream`, errors in `openai_errors`, and model lists in `openai_listing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from naiad.adapters import openai_errors, openai_listing
from naiad.adapters.base import Answer, Request, Spent
from naiad.adapters.billing import BillInUsage
from naiad.adapters.errors import ProviderError
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.listing import ListedModel
from naiad.adapters.openai_answer import answer_of, spent_in
from naiad.adapters.openai_request import body_of
from naiad.adapters.openai_stream import ChatStream
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import Framing, Listing, Sending, StreamReader


@dataclass(frozen=True, slots=True)
class OpenAIChat:
    """Chat completions; the defaults suit a server of which nothing is known."""

    max_tokens: str = "max_tokens"  # name of the field for the most output tokens
    include_usage: bool = True  # ask for the usage of a stream; False where it comes unasked and asking is an error
    system_role: str = "system"
    seed: str = "seed"  # name of the field, "" where none is taken
    least_seed: int | None = None
    most_stops: int | None = None  # stop sequences taken; None: any number
    most_temperature: float = 2.0
    reasoning: tuple[str, ...] = ()  # beginnings of names of models that reason: no temperature, top_p or stop
    not_reasoning: tuple[str, ...] = ()  # those among them that do not; the longest beginning decides
    reasoning_system_role: str = "system"
    tool_choice: bool = True  # whether the model can be made to call a tool
    json_schema: bool = True  # whether an answer can be held to a schema
    image_urls: bool = True  # whether the server fetches images
    tool_images: bool = False  # whether a tool result may hold images
    call_ids: str = ""  # regular expression of the ids of tool calls that are taken; "": any
    bill: BillInUsage | None = None  # where the vendor says what it charged; None: it does not
    unlisted: str = ""  # regular expression of listed names that do not chat, where the list does not say so

    @property
    def framing(self) -> Framing:
        """How a stream is cut."""
        return Framing.EVENTS

    def key_headers(self, key: Secret) -> Mapping[str, Secret]:
        """Return the header that carries the key."""
        return {"authorization": key.prefixed("Bearer ")}

    def reasons(self, model: str) -> bool:
        """Return whether a model reasons unless told not to; a fine-tuned one does what its base does."""
        name = model.removeprefix("ft:")
        longest = max((len(start) for start in self.reasoning if name.startswith(start)), default=0)
        return longest > max((len(start) for start in self.not_reasoning if name.startswith(start)), default=0)

    def sending(self, request: Request, asked: Asked, *, stream: bool) -> Sending:
        """Put a request into words; raises UnsupportedContent or InvalidRequest."""
        body, notices = body_of(self, request, asked, stream=stream)
        return Sending(request, "/chat/completions", body, notices=tuple(notices))

    def answer(self, reply: Reply, sending: Sending) -> Answer:
        """Read a whole reply of status 200."""
        return answer_of(reply, sending, self.bill)

    def spent(self, reply: Reply, sending: Sending) -> Spent | None:
        """Return what a whole reply counts that is no answer."""
        return spent_in(reply, sending, self.bill)

    def reader(self, asked: Asked, headers: Mapping[str, str], sending: Sending) -> StreamReader:
        """Begin to read a stream."""
        return ChatStream(asked, headers, sending, self.bill)

    def failure(self, reply: Reply, *secrets: Secret, now: datetime) -> ProviderError:
        """Return the error of a reply with another status."""
        return openai_errors.failure(reply, *secrets, now=now)

    def listing(self, page: str) -> Listing:
        """Ask for the models; there is one page."""
        return Listing("/models")

    def listed(self, reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
        """Read the models."""
        return openai_listing.models_of(reply, self.unlisted), ""
