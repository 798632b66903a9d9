"""OpenAI's chat format over a real socket: the Adapter suite, what is on the wire, and a peer that means harm."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from naiad.adapters.base import Adapter, Answer, Finished, Request, TextDelta, system, user
from naiad.adapters.endpoint import Caps
from naiad.adapters.errors import (
    AuthenticationFailed,
    MalformedAnswer,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
    Truncated,
    UnsupportedContent,
)
from naiad.adapters.listing import ModelLister
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.profiles import OPENAI_CHAT
from naiad.adapters.remote import Remote
from naiad.adapters.secret import Secret
from naiad.adapters.transport import Transport
from tests.adapters.peer import (
    CHUNKED,
    KEY,
    PATIENCE_S,
    Peer,
    Talk,
    chunk,
    endpoint,
    peer,
    peer_elsewhere,
    response,
    saying,
    serving,
    transport,
)
from tests.adapters.talking import QUESTION, provider
from tests.adapters.test_openai_request import IMAGE
from tests.conformance.adapter_suite import AdapterSuite

FIXTURES = Path(__file__).parent / "fixtures" / "openai"
BUSY = b'{"error": {"message": "What happens after something dies? is too much", "type": "overloaded_error"}}'
EVENT_STREAM = "content-type: text/event-stream"


def fixture(name: str) -> bytes:
    """Return the bytes of a reply."""
    return (FIXTURES / name).read_bytes()


SCRIPT = provider(
    whole=fixture("tools.json"),
    stream=fixture("tools.sse"),
    busy=("529 Busy", BUSY),
    kind="text/event-stream",
    asks_stream=lambda request: b'"stream":true' in request,
    listing=[fixture("models_rich.json")],
)


class TestOpenAIChat(AdapterSuite):
    """The laws of every adapter."""

    secrets = (KEY, "header-secret")

    @pytest.fixture(autouse=True)
    async def there(self) -> AsyncIterator[Peer]:
        self.made: list[Remote] = []
        with peer_elsewhere(SCRIPT) as self.peer:
            yield self.peer
            for adapter in self.made:
                assert adapter.out.open_exchanges == 0
                await adapter.aclose()

    def make(self) -> Adapter:
        wire = OPENAI_CHAT["openai"].wire(endpoint(self.peer.url()))
        headers = {"x-team": Secret("header-secret")}
        self.made.append(Remote(wire, Transport(endpoint(self.peer.url())), headers=headers))
        return self.made[-1]

    def request(self) -> Request:
        return Request("some-model", (system("Be brief."), user("What happens after something dies?")), temperature=0.5)

    def slow(self) -> tuple[Adapter, Request]:
        return self.make(), Request("some-model", (user("hang"),))

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        return self.make(), Request("some-model", (user("What happens after something dies? overload"),)), Overloaded

    def open_calls(self, adapter: Adapter) -> int:
        assert isinstance(adapter, Remote)
        return adapter.out.open_exchanges


async def ask(
    url: str, how: str, request: Request = QUESTION, wire: OpenAIChat | None = None, **changes: Any
) -> Answer:
    """Ask once, whole or as a stream."""
    async with transport(url, **changes) as out:
        adapter = Remote(wire or OpenAIChat(), out)
        if how == "complete":
            return await adapter.complete(request, timeout_s=PATIENCE_S)
        async with aclosing(adapter.stream(request, timeout_s=PATIENCE_S)) as stream:
            *_, last = [event async for event in stream]
        assert isinstance(last, Finished)
        return last.answer


HOW = pytest.mark.parametrize("how", ["complete", "stream"])


@HOW
async def test_what_is_on_the_wire(how: str) -> None:
    async with peer(SCRIPT) as there:
        await ask(there.url(), how, replace(QUESTION, model="team/base:v1"))
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    lines = {name.lower(): value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])}
    assert lines[b"authorization"] == b"Bearer " + KEY.encode()
    assert lines[b"content-type"] == b"application/json"
    sent = json.loads(body)
    assert sent["model"] == "team/base:v1", "a name with '/' and ':' as it is"
    assert sent.get("stream", False) is (how == "stream")
    assert KEY.encode() not in body


@HOW
async def test_what_was_left_out_is_said_in_the_answer(how: str) -> None:
    wire = OPENAI_CHAT["openai"].wire(endpoint("http://127.0.0.1:1"))
    assert isinstance(wire, OpenAIChat)
    async with peer(SCRIPT) as there:
        found = await ask(there.url(), how, replace(QUESTION, model="o4-mini", temperature=0.1), wire)
    assert found.notices == ("temperature was left out: peer takes none for models that reason.",)


@HOW
async def test_content_that_cannot_be_sent_is_refused_before_anything_is(how: str) -> None:
    shown = replace(QUESTION, messages=(replace(system(""), parts=(IMAGE,)),))
    async with peer(SCRIPT) as there:
        with pytest.raises(UnsupportedContent):
            await ask(there.url(), how, shown)
    assert there.accepted == 0


async def test_models_are_listed() -> None:
    async with peer(SCRIPT) as there, transport(there.url()) as out:
        adapter = Remote(OpenAIChat(), out)
        assert isinstance(adapter, ModelLister)
        models = await adapter.list_models(PATIENCE_S)
    assert [model.name for model in models][:2] == ["lab/large", "small-latest"]
    assert there.requests[0].startswith(b"GET /v1/models HTTP/1.1\r\n")


@HOW
async def test_refusals_with_their_facts(how: str) -> None:
    body = b'{"error": {"message": "Incorrect key sk-canary-0123", "type": "invalid_request_error", "code": "%s"}}'
    for status, code, kind in (("401 No", b"invalid_api_key", AuthenticationFailed),
                               ("429 Slow", b"rate_limit_exceeded", RateLimited),
                               ("429 Slow", b"insufficient_quota", QuotaExhausted)):  # fmt: skip
        headers = ["x-request-id: req-7", "x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 1m30s"]
        async with peer(serving(response(body % code, status=status, headers=headers))) as there:
            with pytest.raises(kind) as caught:
                await ask(there.url(), how)
        error = caught.value
        assert type(error) is kind
        assert (error.provider, error.model, error.provider_request_id) == ("peer", QUESTION.model, "req-7")
        assert "canary" not in repr(error)
        if kind is RateLimited:
            assert error.retry_after_s == 90.0, "what the rate limit's own headers say"


async def test_an_error_after_words_is_an_error() -> None:
    events = b'data: {"choices": [{"delta": {"content": "Par"}}]}\n\ndata: {"error": {"code": 502, "message": "x"}}\n\n'
    head = response(headers=[EVENT_STREAM, CHUNKED], length=False, body=b"")
    async with peer(saying(head, chunk(events), b"0\r\n\r\n")) as there, transport(there.url()) as out:
        seen = []
        with pytest.raises(ServerError) as caught:
            async with aclosing(Remote(OpenAIChat(), out).stream(QUESTION, timeout_s=PATIENCE_S)) as stream:
                async for event in stream:
                    seen.append(event)
    assert seen == [TextDelta("Par")]
    assert caught.value.status == 502


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_stream_cut_on_the_wire_is_truncated_or_whole(hangs_up: bool) -> None:
    """Cut after the reason for the end it is whole, with tokens that are estimated; before, it is no answer."""
    stream = fixture("text.sse")
    reason = stream.index(b'"finish_reason": "stop"')
    head = response(headers=[EVENT_STREAM, CHUNKED], length=False, body=b"")
    counted = stream.index(b"data: [DONE]")
    for cut in (0, 40, reason // 2, reason, stream.index(b"\n\n", reason) + 2, counted - 3, counted, len(stream)):
        end = [] if hangs_up else [b"0\r\n\r\n"]
        async with peer(saying(head, *([chunk(stream[:cut])] if cut else []), *end)) as there:
            if cut <= reason:
                with pytest.raises(Truncated):
                    await ask(there.url(), "stream")
            else:
                found = await ask(there.url(), "stream")
                assert found.text.endswith("Lumière».")
                assert found.usage.estimated == (cut < counted)


@HOW
async def test_a_reply_without_end_is_refused_with_little_read(how: str) -> None:
    """Stands for one of 1 GiB: what counts is where reading stops."""
    kind = EVENT_STREAM if how == "stream" else "content-type: application/json"

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(response(headers=[kind, CHUNKED], length=False, body=b""))
        for _ in range(16_384):
            await talk.send(chunk(b"x" * 65_536))

    caps = Caps(response_bytes=1 << 20, event_bytes=1 << 20, stream_bytes=1 << 21)
    async with peer(script) as there:
        with pytest.raises(MalformedAnswer, match="bytes"):
            await ask(there.url(), how, caps=caps)


@HOW
async def test_a_reply_that_says_it_has_a_gibibyte(how: str) -> None:
    kind = EVENT_STREAM if how == "stream" else "content-type: application/json"
    head = response(headers=[kind, f"content-length: {1 << 30}"], length=False, body=b"")
    async with peer(saying(head, close=False)) as there:
        with pytest.raises(MalformedAnswer, match="larger than"):
            await ask(there.url(), how)


@HOW
async def test_a_bomb(how: str) -> None:
    kind = EVENT_STREAM if how == "stream" else "content-type: application/json"
    bomb = gzip.compress(b"\0" * (1 << 26))
    reply = response(bomb, headers=[kind, "content-encoding: gzip"])
    async with peer(serving(reply)) as there:
        with pytest.raises(MalformedAnswer):
            await ask(there.url(), how, caps=Caps(response_bytes=1 << 20, event_bytes=1 << 20, stream_bytes=1 << 21))


@pytest.mark.parametrize("what", ["text", "tool call", "tool calls"])
async def test_a_streamed_answer_is_no_longer_than_one_that_comes_whole(what: str) -> None:
    """A stream's bytes are not kept, but its answer is, and goes out in one message."""
    caps = Caps(response_bytes=1 << 17, event_bytes=1 << 17, stream_bytes=1 << 26)
    assert caps.answer_bytes == 1 << 17
    assert Caps(response_bytes=1 << 30).answer_bytes == 48 << 20, "less than a client takes"

    def delta(number: int) -> dict[str, Any]:
        if what == "text":
            return {"content": "ä" * 500}
        if what == "tool calls":
            return {"tool_calls": [{"index": number, "id": f"c{number}", "function": {"name": "f"}}]}
        name = {} if number else {"name": "f"}
        return {"tool_calls": [{"index": 0, "id": "c", "function": {**name, "arguments": f'"{"x" * 1_000}"'}}]}

    async def read(pieces: int) -> None:
        said: list[dict[str, Any]] = [{"choices": [{"delta": delta(number)}]} for number in range(pieces)]
        said.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        body = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in said)
        async with peer(saying(response(body, headers=[EVENT_STREAM]))) as there:
            await ask(there.url(), "stream", caps=caps)

    with contextlib.suppress(MalformedAnswer) if what == "tool call" else contextlib.nullcontext():  # it is no JSON
        await read(1_500 if what == "tool calls" else 120)
    with pytest.raises(MalformedAnswer, match="longer than 131072 bytes"):
        await read(4_500 if what == "tool calls" else 360)


async def test_chunks_that_come_twice_make_no_second_answer() -> None:
    """Nothing tells two chunks of text apart; but after the end nothing may come, and the end may come twice."""
    words = b'data: {"choices": [{"delta": {"content": "Paris"}}]}\n\n'
    end = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    head = response(headers=[EVENT_STREAM, CHUNKED], length=False, body=b"")
    done = [chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"]
    async with peer(saying(head, chunk(words + end + end), *done)) as there:
        assert (await ask(there.url(), "stream")).text == "Paris"
    async with peer(saying(head, chunk(words + end + words), *done)) as there:
        with pytest.raises(MalformedAnswer, match="goes on"):
            await ask(there.url(), "stream")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect"])
async def test_redirects_are_not_followed(status: str) -> None:
    async with peer(SCRIPT) as other:
        headers = [f"location: {other.url()}/chat/completions"]
        async with peer(serving(response(b"", status=status, headers=headers))) as there:
            with pytest.raises(ProviderError, match="redirects are not followed"):
                await ask(there.url(), "complete")
    assert other.accepted == 0


async def test_a_key_that_a_provider_echoes_is_not_shown() -> None:
    """As the name of a model or the id of an answer, which are logged and stored."""
    body = {
        "id": f"chatcmpl-{KEY}", "model": KEY[3:20], "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "choices": [{"message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}],
    }  # fmt: skip
    async with peer(serving(response(json.dumps(body).encode(), headers=["content-type: application/json"]))) as there:
        answer = await ask(there.url(), "complete")
    assert (answer.model, answer.provider_request_id) == (QUESTION.model, "")
    assert answer.text == "Paris"
