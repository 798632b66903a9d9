"""How a stream begins, ends, falls silent and breaks, over real sockets."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from naiad.adapters import remote
from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.base import Answer, Finished, FinishReason
from naiad.adapters.endpoint import Patience
from naiad.adapters.errors import (
    MalformedAnswer,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
    Timeout,
    Truncated,
)
from naiad.adapters.gemini import Gemini
from naiad.adapters.ollama import OllamaNative
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.remote import Remote
from naiad.adapters.wire_format import WireFormat
from tests.adapters.formats import fixture
from tests.adapters.peer import CHUNKED, PATIENCE_S, Script, Talk, chunk, peer, response, saying, serving, transport
from tests.adapters.talking import QUESTION

SSE, LINES = "content-type: text/event-stream", "content-type: application/x-ndjson"
TEXT = 'data: {"choices": [{"delta": {"content": "Zürich"}}]}\n\n'.encode()
END = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
COUNT = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"
HEAD = response(headers=[SSE, CHUNKED], length=False, body=b"")


async def ask(script: Script, how: str = "stream", wire: WireFormat | None = None, **changes: Any) -> Answer:
    """Ask once, whole or as a stream."""
    async with peer(script) as there, transport(there.url(), **changes) as out:
        adapter = Remote(wire or OpenAIChat(), out)
        if how == "complete":
            return await adapter.complete(QUESTION, timeout_s=PATIENCE_S)
        async with aclosing(adapter.stream(QUESTION, timeout_s=PATIENCE_S)) as stream:
            *_, last = [event async for event in stream]
        assert isinstance(last, Finished)
        return last.answer


# --- silence after the reason for the end ---


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the grace short."""
    monkeypatch.setattr(remote, "GRACE_S", 0.2)


def test_the_grace_is_well_below_the_patience_for_silence() -> None:
    assert 0 < remote.GRACE_S <= Patience().idle_s / 10


@pytest.mark.usefixtures("brief")
async def test_a_provider_that_hangs_after_the_end_has_answered() -> None:
    found = await ask(saying(HEAD, chunk(TEXT), chunk(END), close=False))
    assert (found.text, found.finish) == ("Zürich", FinishReason.STOP)
    assert found.usage.estimated
    found = await ask(saying(HEAD, chunk(TEXT + END + COUNT), close=False))
    assert found.usage.output_tokens == 2
    assert not found.usage.estimated


async def test_usage_may_come_within_the_grace() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(HEAD, chunk(TEXT + END))
        await asyncio.sleep(0.3)
        await talk.send(chunk(COUNT))
        await talk.gone()

    assert not (await ask(script)).usage.estimated


@pytest.mark.usefixtures("brief")
async def test_a_provider_that_never_stops_keeping_alive_has_ended_too() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(HEAD, chunk(TEXT + END))
        while True:
            await talk.send(chunk(b'data: {"choices": []}\n\n: alive\n\n'))
            await asyncio.sleep(0.01)

    assert (await ask(script)).text == "Zürich"


@pytest.mark.usefixtures("brief")
async def test_silence_before_the_end_is_no_end() -> None:
    with pytest.raises(Timeout):
        await ask(saying(HEAD, chunk(TEXT), close=False), patience=Patience(idle_s=0.5))


async def test_less_patience_than_the_grace_is_an_end_too() -> None:
    found = await ask(saying(HEAD, chunk(TEXT + END), close=False), patience=Patience(idle_s=0.2))
    assert found.text == "Zürich"


@pytest.mark.usefixtures("brief")
async def test_anthropic_has_ended_once_it_gave_the_reason() -> None:
    stream = fixture("anthropic/text.sse").partition(b"event: message_stop")[0]
    found = await ask(saying(HEAD, chunk(stream), close=False), wire=AnthropicMessages())
    assert found.finish is FinishReason.STOP
    assert not found.usage.estimated


def gemini(*pieces: tuple[str, str]) -> list[bytes]:
    """Return chunks: text and reason, "" for none."""
    return [
        chunk(b"data: " + json.dumps({"candidates": [{
            "content": {"parts": [{"text": text}]}, **({"finishReason": reason} if reason else {}),
        }]}).encode() + b"\n\n")
        for text, reason in pieces
    ]  # fmt: skip


@pytest.mark.usefixtures("brief")
async def test_gemini_may_say_stop_with_every_piece_and_be_slow() -> None:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(HEAD)
        for piece in gemini(("Zür", "STOP"), ("ich", "STOP")):
            await talk.send(piece)
            await asyncio.sleep(0.5)  # longer than the grace
        await talk.send(b"0\r\n\r\n")

    assert (await ask(script, wire=Gemini())).text == "Zürich"


@pytest.mark.usefixtures("brief")
async def test_gemini_that_breaks_after_a_stop_that_may_be_each_pieces_is_cut_off() -> None:
    for pieces in ((("Zür", "STOP"),), (("Zü", "STOP"), ("r", "STOP"))):
        with pytest.raises(Truncated):
            await ask(saying(HEAD, *gemini(*pieces)), wire=Gemini())
        with pytest.raises(Timeout):
            await ask(saying(HEAD, *gemini(*pieces), close=False), wire=Gemini(), patience=Patience(idle_s=0.4))
    for close in (True, False):
        found = await ask(saying(HEAD, *gemini(("Zür", ""), ("ich", "STOP")), close=close), wire=Gemini())
        assert found.text == "Zürich"


# --- errors of status 200 ---


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "", "text/event-stream"])
@pytest.mark.parametrize(
    ("error", "expected", "wait_s"),
    [({"code": 429, "message": "x"}, RateLimited, 7.0), ({"code": 402, "message": "x"}, QuotaExhausted, None),
     ({"code": 502, "message": "x"}, ServerError, 7.0)],
)  # fmt: skip
async def test_an_error_of_status_200_is_the_same_whole_and_for_a_stream(
    error: dict[str, Any], expected: type[ProviderError], wait_s: float | None, kind: str
) -> None:
    body = json.dumps({"error": error}).encode()
    headers = [*([f"content-type: {kind}"] if kind else []), "retry-after: 7"]
    for how in ("complete", "stream"):
        with pytest.raises(expected) as caught:
            await ask(serving(response(body, headers=headers)), how)
        assert type(caught.value) is expected
        assert (caught.value.status, caught.value.retry_after_s) == (error["code"], wait_s)


async def test_the_rate_limits_own_reset_is_read_too() -> None:
    body = b'{"error": {"code": 429}}'
    headers = ["content-type: application/json", "x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: 9s"]
    for how in ("complete", "stream"):
        with pytest.raises(RateLimited) as caught:
            await ask(serving(response(body, headers=headers)), how)
        assert caught.value.retry_after_s == 9.0


async def test_an_error_in_the_midst_of_a_stream_has_the_wait_of_its_head() -> None:
    head = response(headers=[SSE, CHUNKED, "retry-after: 7"], length=False, body=b"")
    with pytest.raises(RateLimited) as caught:
        await ask(saying(head, chunk(TEXT + b'data: {"error": {"code": 429}}\n\n'), b"0\r\n\r\n"))
    assert caught.value.retry_after_s == 7.0


async def test_a_whole_answer_in_place_of_a_stream_is_malformed() -> None:
    for kind in ("application/json", "text/plain"):
        reply = response(fixture("openai/text.json"), headers=[f"content-type: {kind}"])
        with pytest.raises(MalformedAnswer, match="stream of events"):
            await ask(serving(reply))


# --- what a stream is ---


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "", "text/event-stream; charset=utf-8"])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n\n", b": hello\n\n"])
async def test_a_stream_that_does_not_say_that_it_is_one(kind: str, before: bytes) -> None:
    head = response(headers=[*([f"content-type: {kind}"] if kind else []), CHUNKED], length=False, body=b"")
    stream = before + TEXT + END + COUNT + DONE
    letters = [chunk(stream[n : n + 1]) for n in range(len(stream))]
    for pieces in ([chunk(stream)], letters):
        assert (await ask(saying(head, *pieces, b"0\r\n\r\n"))).text == "Zürich"


PAGES = [b"<html>\n" + TEXT + END + DONE, b"\n <!doctype html>\n\n" + TEXT + END, b"", b"\n\n", b"Sign in first."]


@pytest.mark.parametrize("kind", ["text/plain", "", "text/html", "application/json"])
@pytest.mark.parametrize("page", PAGES)
async def test_a_page_is_never_an_answer(kind: str, page: bytes) -> None:
    reply = response(page, headers=[f"content-type: {kind}"] if kind else [])
    with pytest.raises((MalformedAnswer, Truncated)):
        await ask(serving(reply))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1_000])
async def test_bytes_that_are_no_utf8_are_refused_in_streams_as_in_whole_answers(size: int) -> None:
    spoiled = (TEXT + END + DONE).replace("ü".encode(), b"\xfc")
    pieces = [chunk(spoiled[n : n + size]) for n in range(0, len(spoiled), size)]
    with pytest.raises(MalformedAnswer, match="UTF-8"):
        await ask(saying(HEAD, *pieces, b"0\r\n\r\n"))
    good = TEXT + END + DONE
    pieces = [chunk(good[n : n + size]) for n in range(0, len(good), size)]
    assert (await ask(saying(HEAD, *pieces, b"0\r\n\r\n"))).text == "Zürich"


async def test_lines_that_are_no_utf8_are_refused() -> None:
    body = b'{"message": {"content": "Z\xfcrich"}, "done": true}\n'
    with pytest.raises(MalformedAnswer, match="UTF-8"):
        await ask(serving(response(body, headers=[LINES])), wire=OllamaNative())


async def test_a_byte_order_mark_is_passed_over() -> None:
    mark, kind = b"\xef\xbb\xbf", "content-type: application/json"
    assert (await ask(serving(response(mark + fixture("openai/text.json"), headers=[kind])), "complete")).text
    with pytest.raises(RateLimited):
        await ask(serving(response(mark + b'{"error": {"code": 429}}', headers=[kind])))
    with pytest.raises(QuotaExhausted):
        body = b'{"error": {"code": "insufficient_quota"}}'
        await ask(serving(response(mark + body, status="429 No", headers=[kind])), "complete")
    lines = mark + fixture("ollama/answer.ndjson")
    assert (await ask(serving(response(lines, headers=[LINES])), wire=OllamaNative())).text


async def test_the_last_line_of_a_stream_is_read_without_its_line_feed_if_it_is_whole() -> None:
    lines = fixture("ollama/answer.ndjson").rstrip(b"\n")
    found = await ask(serving(response(lines, headers=[LINES])), wire=OllamaNative())
    assert found.text == "Paris is the capital of France."
    for cut in (1, 7):
        with pytest.raises(Truncated):
            await ask(serving(response(lines[:-cut], headers=[LINES])), wire=OllamaNative())
