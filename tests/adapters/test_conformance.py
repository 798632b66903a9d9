"""The Adapter suite, run on every adapter that ships."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from naiad.adapters.base import Adapter, Request, ToolCallPart, user
from naiad.adapters.echo import Echo
from naiad.adapters.errors import Overloaded, ProviderError, UnrecordedPrompt
from naiad.adapters.replay import RecordedArm, Replay, ReplayRecord
from naiad.adapters.transport import Transport
from tests.adapters.peer import KEY, Peer, endpoint, peer_elsewhere
from tests.adapters.scripted import Fail, Reply, Scripted, reply
from tests.adapters.wired import Wired, provider
from tests.conformance.adapter_suite import AdapterSuite

LLAMA = "meta-llama/llama-3.1-8b-instruct"
PROMPT = "What happens after something dies?"


class TestEcho(AdapterSuite):
    cannot_fail = "the echo accepts every request"
    cannot_be_slow = "the echo never waits"

    def make(self) -> Adapter:
        return Echo()

    def request(self) -> Request:
        return Request("anything", (user(PROMPT),))


class TestScripted(AdapterSuite):
    def make(self) -> Adapter:
        step = reply("Paris is the capital\nof France. ")
        answer = step.answer
        with_tools = Reply(
            type(answer)(
                parts=(*answer.parts, ToolCallPart("c1", "map", '{"of": "Paris"}'), *answer.parts),
                finish=answer.finish,
                usage=answer.usage,
                model="real-name",
            )
        )
        return Scripted([with_tools], loop=True)

    def request(self) -> Request:
        return Request("any", (user(PROMPT),))

    def slow(self) -> tuple[Adapter, Request]:
        return Scripted([reply("late", delay_s=3600)], loop=True), self.request()

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        error = Overloaded("status 529", provider="scripted", model="any", status=529)
        return Scripted([Fail(error)], loop=True), self.request(), Overloaded

    def open_calls(self, adapter: Adapter) -> int:
        assert isinstance(adapter, Scripted)
        return adapter.open_calls


class TestReplay(AdapterSuite):
    records = (ReplayRecord(PROMPT, "openbookqa", {LLAMA: RecordedArm(0.9, 37_300)}),)

    def make(self) -> Adapter:
        return Replay(self.records, seed=3)

    def request(self) -> Request:
        return Request(LLAMA, (user(PROMPT),))

    def slow(self) -> tuple[Adapter, Request]:
        return Replay(self.records, seed=3, wait=True), self.request()

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        return self.make(), Request(LLAMA, (user("This was never asked."),)), UnrecordedPrompt


class TestWired(AdapterSuite):
    """An adapter over the transport and a real socket."""

    secrets = (KEY,)

    @pytest.fixture(autouse=True)
    async def there(self) -> AsyncIterator[Peer]:
        self.made: list[Wired] = []
        with peer_elsewhere(provider()) as self.peer:
            yield self.peer
            for adapter in self.made:
                assert adapter.out.open_exchanges == 0
                await adapter.aclose()

    def make(self) -> Adapter:
        self.made.append(Wired(Transport(endpoint(self.peer.url()))))
        return self.made[-1]

    def request(self) -> Request:
        return Request("any", (user(PROMPT),))

    def slow(self) -> tuple[Adapter, Request]:
        return self.make(), Request("any", (user("hang"),))

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        return self.make(), Request("any", (user("overload"),)), Overloaded

    def open_calls(self, adapter: Adapter) -> int:
        assert isinstance(adapter, Wired)
        return adapter.out.open_exchanges
