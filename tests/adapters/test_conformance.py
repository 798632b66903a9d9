"""The Adapter suite, run on every adapter that ships."""

from __future__ import annotations

from naiad.adapters.base import Adapter, Request, ToolCallPart, user
from naiad.adapters.echo import Echo
from naiad.adapters.errors import Overloaded, ProviderError, UnrecordedPrompt
from naiad.adapters.replay import RecordedArm, Replay, ReplayRecord
from tests.adapters.scripted import Fail, Reply, Scripted, reply
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
