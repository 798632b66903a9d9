"""The least adapter that reaches a provider: how a wire format, the transport and the error tree go together.

Its wire format is its own: a request is `{"ask": TEXT}`, an answer `{"say": TEXT, "in": N, "out": N}`, a stream the
same in events of type "piece" and a last one of type "end".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import msgspec

from naiad.adapters.base import Answer, Finished, FinishReason, Request, StreamEvent, TextDelta, TextPart, Usage
from naiad.adapters.errors import Truncated
from naiad.adapters.exchange import Exchange, decoded
from naiad.adapters.failures import ERROR_BYTES, failure_of
from naiad.adapters.transport import Transport
from tests.adapters.peer import CHUNKED, Script, Talk, chunk, response


class Said(msgspec.Struct):
    """One message of the wire format."""

    say: str = ""
    input_tokens: int = msgspec.field(name="in", default=0)
    output_tokens: int = msgspec.field(name="out", default=0)


class Wired:
    """An adapter over a transport."""

    def __init__(self, out: Transport) -> None:
        self.out = out

    def __repr__(self) -> str:
        return f"Wired({self.out!r})"

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Ask, and wait for the whole answer."""
        async with self._open(request, timeout_s, stream=False) as exchange:
            await _check(exchange, self.out)
            said = (await exchange.reply()).json(Said)
        return _answer(said.say, said, request)

    async def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the answer piece by piece."""
        text = ""
        async with self._open(request, timeout_s, stream=True) as exchange:
            await _check(exchange, self.out)
            async for event in exchange.events():
                said = decoded(event.data, Said, exchange.asked)
                if event.event == "end":
                    yield Finished(_answer(text, said, request))
                    return
                text += said.say
                yield TextDelta(said.say)
        raise exchange.asked.error(Truncated, "the stream ended without its last event")

    async def aclose(self) -> None:
        """Close the connections."""
        await self.out.aclose()

    def _open(self, request: Request, timeout_s: float, *, stream: bool) -> Any:
        key = self.out.endpoint.key
        return self.out.open(
            "POST", "/stream" if stream else "/complete",
            model=request.model, timeout_s=timeout_s,
            headers={"content-type": "application/json", **({"authorization": key.prefixed("Bearer ")} if key else {})},
            content=msgspec.json.encode({"ask": request.last_user_text}),
        )  # fmt: skip


async def _check(exchange: Exchange, out: Transport) -> None:
    if exchange.status != 200:
        secrets = (out.endpoint.key,) if out.endpoint.key else ()
        raise failure_of(await exchange.reply(ERROR_BYTES), *secrets, now=datetime.now(UTC))


def _answer(text: str, said: Said, request: Request) -> Answer:
    usage = Usage(said.input_tokens, said.output_tokens)
    return Answer(parts=(TextPart(text),), finish=FinishReason.STOP, usage=usage, model=request.model)


def provider(text: str = "Paris is the capital of France.") -> Script:
    """Answer in this wire format: fail where the question says so, hang where it says so."""
    words = [word + " " for word in text.split()]
    end = b'{"in": 9, "out": 7}'

    async def script(talk: Talk) -> None:
        while True:
            request = await talk.request()
            if b"overload" in request:
                await talk.send(response(b'{"error": {"type": "busy"}}', status="529 Busy", headers=["retry-after: 3"]))
            elif b"hang" in request:
                await talk.gone()
            elif request.startswith(b"POST /v1/stream"):
                await talk.send(response(headers=["content-type: text/event-stream", CHUNKED], length=False, body=b""))
                for word in words:
                    await talk.send(chunk(b"event: piece\ndata: " + msgspec.json.encode({"say": word}) + b"\n\n"))
                await talk.send(chunk(b"event: end\ndata: " + end + b"\n\n"), b"0\r\n\r\n")
            else:
                await talk.send(response(msgspec.json.encode({"say": "".join(words), "in": 9, "out": 7})))

    return script
