"""A local model that repeats what it was asked: lets the server run without keys, network or data.

It is a stand-in and says so in every answer. Its usage is honest in its own terms: tokens are bytes / 4 of
what came in and what went out, marked as estimated. Its price is what the inventory says, zero if nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from naiad.adapters.base import Answer, Finished, FinishReason, Part, Request, StreamEvent, TextPart, Usage
from naiad.adapters.errors import AdapterClosed
from naiad.adapters.streams import check_timeout, deltas_of
from naiad.adapters.tokens import DEFAULT_BYTES_PER_TOKEN, estimate_tokens, tokens_of_bytes

NOTICE = "Answered by the built-in echo, which is not a model: it repeats the last user message."


class Echo:
    """Answers any model name with the last user message, and keeps `max_output_tokens` and `stop`."""

    provider = "echo"

    def __init__(self) -> None:
        self._closed = False

    def __repr__(self) -> str:
        return "Echo()"

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Repeat the last user message; raise `Timeout` only if no time is left."""
        check_timeout(timeout_s, provider=self.provider, model=request.model)
        if self._closed:
            raise AdapterClosed("the echo is closed", provider=self.provider, model=request.model)
        return echo(request)

    async def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Repeat the last user message word by word."""
        answer = await self.complete(request, timeout_s=timeout_s)
        for delta in deltas_of(answer.parts):
            yield delta
        yield Finished(answer)

    async def aclose(self) -> None:
        """Refuse calls from now on."""
        self._closed = True


def echo(request: Request) -> Answer:
    """Make the echo's answer: a pure function of the request."""
    text = f"[echo] {request.last_user_text}"
    for stop in request.stop:
        text = text.partition(stop)[0]
    finish = FinishReason.STOP
    if request.max_output_tokens is not None:
        kept = _at_most(text, int(request.max_output_tokens * DEFAULT_BYTES_PER_TOKEN))
        finish = FinishReason.STOP if kept == text else FinishReason.LENGTH
        text = kept
    ignored = [
        name
        for name, given in (
            ("tools", request.tools),
            ("response_schema", request.response_schema),
            ("temperature", request.temperature is not None),
            ("top_p", request.top_p is not None),
            ("seed", request.seed is not None),
        )
        if given
    ]
    parts: tuple[Part, ...] = (TextPart(text),) if text else ()
    return Answer(
        parts=parts,
        finish=finish,
        usage=Usage(estimate_tokens(request.messages), tokens_of_bytes(_size(text)), estimated=True),
        model=request.model,
        notices=(NOTICE, *(f"The echo ignores {name}." for name in ignored)),
    )


def _at_most(text: str, n_bytes: int) -> str:
    """The longest beginning of `text` that has at most `n_bytes` in UTF-8."""
    return text.encode("utf-8", "surrogatepass")[:n_bytes].decode("utf-8", "ignore")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
