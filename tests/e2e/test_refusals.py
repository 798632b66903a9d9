"""Refusals over real sockets: a server process whose providers refuse as vendors do, one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.peer import CHUNKED, Talk, chunk, peer_elsewhere, response
from tests.e2e.live import Caller, Live, live

COMPLETE, STREAM = "RouterService/Complete", "RouterService/StreamComplete"
ENDPOINTS = """
[endpoints.{name}]
kind = "{kind}"
base_url = "{url}"
private = true
{key}
[[models]]
name = "{name}/m"
upstream_model = "{name}"
endpoint = "{name}"
input_usd_per_million = 1.0
output_usd_per_million = 1.0
capabilities = ["streaming"]
"""
CLASSES = """
[server]
listen = "127.0.0.1:0"
default_deadline_s = 4.0
[[task_classes]]
name = "strict"
objective = { strategy = "fallback", primary = "azure/m", fallbacks = ["openai/m", "anthropic/m", "good/m"] }
[[task_classes]]
name = "around"
objective = { strategy = "fallback", primary = "azure/m", fallbacks = ["openai/m", "anthropic/m", "good/m"], \
on_refusal = "next" }
[[task_classes]]
name = "spoken"
objective = { strategy = "fallback", primary = "anthropic/m", fallbacks = ["good/m"], on_refusal = "next" }
[[task_classes]]
name = "nobody"
objective = { strategy = "fallback", primary = "anthropic/m", fallbacks = ["azure/m", "openai/m"], on_refusal = "next" }
[[task_classes]]
name = "late"
objective = { strategy = "fallback", primary = "openai/m", fallbacks = ["hanging/m"], on_refusal = "next" }
"""
AZURE = {"error": {"code": "content_filter", "message": "SECRET", "status": 400, "param": "prompt"}}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def openai(text: str | None, finish: str, refusal: str | None = None) -> tuple[Any, list[Any]]:
    """Return a completion, and the chunks of it as a stream."""
    said = {"content": text} | ({"refusal": refusal} if refusal else {})
    whole = {"id": "x", "choices": [{"index": 0, "message": said, "finish_reason": finish}], "usage": USAGE}
    pieces = [{"index": 0, "delta": said, "finish_reason": None}, {"index": 0, "delta": {}, "finish_reason": finish}]
    return whole, [*({"id": "x", "choices": [piece]} for piece in pieces), {"id": "x", "choices": [], "usage": USAGE}]


def anthropic(text: str) -> tuple[Any, list[Any]]:
    """Return a refusal of the Messages API, and the events of it as a stream."""
    usage = {"input_tokens": 9, "output_tokens": 3}
    whole = {
        "id": "x",
        "model": "m",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "refusal",
        "usage": usage,
    }
    return whole, [
        {"type": "message_start", "message": {"id": "x", "model": "m", "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]  # fmt: skip


REPLIES: dict[str, tuple[Any, list[Any]]] = {
    "openai": openai("", "content_filter"), "anthropic": anthropic("I must decline."), "good": openai("Paris.", "stop"),
}  # fmt: skip


async def refusing(talk: Talk) -> None:
    """Answer as the model that is asked for does."""
    while True:
        request = await talk.request()
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        name = body["model"]
        if name == "azure":
            await talk.send(response(json.dumps(AZURE).encode(), status="400 Bad Request"))
        elif name == "hanging":
            await talk.gone()
            return
        elif body.get("stream"):
            await talk.send(response(headers=["content-type: text/event-stream", CHUNKED], length=False, body=b""))
            for event in REPLIES[name][1]:
                kind = f"event: {event['type']}\n" if "type" in event else ""
                await talk.send(chunk(f"{kind}data: {json.dumps(event)}\n\n".encode()))
            await talk.send(*([] if name == "anthropic" else [chunk(b"data: [DONE]\n\n")]), b"0\r\n\r\n")
        else:
            await talk.send(response(json.dumps(REPLIES[name][0]).encode(), headers=["content-type: application/json"]))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server that reaches them."""
    with peer_elsewhere(refusing, patience_s=300.0) as there, pytest.MonkeyPatch.context() as patched:
        patched.setenv("TEST_PEER_KEY", "k" * 32)
        config = CLASSES
        for name in ("azure", "openai", "anthropic", "good", "hanging"):
            vendor = name == "anthropic"
            kind, key = ("anthropic", 'api_key_env = "TEST_PEER_KEY"') if vendor else ("openai_compatible", "")
            config += ENDPOINTS.format(name=name, kind=kind, key=key, url=there.url())
        with live(tmp_path_factory.mktemp("refusals"), config) as running:
            yield running
            running.caller.verify()
            assert "SECRET" not in running.process.errors()


def asked(task_class: str, **more: Any) -> dict[str, Any]:
    return {"task_class": task_class, "messages": [{"role": 2, "parts": [{"text": "What?"}]}], "max_attempts": 4} | more


def text(answer: Any) -> str:
    return "".join(part.text for part in answer.answer.parts)


def streamed(api: Caller, **fields: Any) -> tuple[list[str], str, Any]:
    """Return who spoke in turn, the text that a reader has in the end, and the whole answer."""
    who: list[str] = []
    said, whole = "", None
    for event in api.call(STREAM, **fields):
        kind = event.WhichOneof("event")
        if kind in ("started", "restarted"):
            who.append(getattr(event, kind).model)
            said = ""
        said += event.text_delta.text
        whole = event.completed.response if kind == "completed" else whole
    return who, said, whole


def test_an_error_that_is_a_refusal_is_returned_as_the_answer_it_is(api: Caller) -> None:
    answer = api.call(COMPLETE, **asked("strict"))
    assert (answer.model, answer.finish_reason, text(answer), len(answer.attempts)) == ("azure/m", 4, "", 1)
    assert answer.usage.estimated
    assert answer.total_cost_nano_usd > 0


def test_every_form_of_a_refusal_is_routed_around(api: Caller) -> None:
    answer = api.call(COMPLETE, **asked("around"))
    assert (answer.model, text(answer)) == ("good/m", "Paris.")
    assert [(a.model, a.finish_reason, a.HasField("error")) for a in answer.attempts] == [
        ("azure/m", 4, False), ("openai/m", 4, False), ("anthropic/m", 5, False), ("good/m", 1, False),
    ]  # fmt: skip
    arms = {a.model: a for a in api.call("InsightService/ListArms", task_class="around").arms}
    assert {arms[f"{name}/m"].failures for name in ("azure", "openai", "anthropic", "good")} == {0}
    assert api.call(COMPLETE, **asked("around"), objective={"on_refusal": 1}).model == "azure/m", "this one is stricter"


def test_a_stream_tells_what_was_taken_back_and_nothing_else(api: Caller) -> None:
    who, said, whole = streamed(api, **asked("around"))
    assert (who, said, whole.model) == (["anthropic/m", "good/m"], "Paris.", "good/m")
    assert [a.finish_reason for a in whole.attempts] == [4, 4, 5, 1]
    who, said, whole = streamed(api, **asked("spoken"))
    assert (who, said) == (["anthropic/m", "good/m"], "Paris.")


@pytest.mark.parametrize("request_id", ["", "repeated"])
def test_where_nobody_answers_the_first_refusal_is_the_answer(api: Caller, request_id: str) -> None:
    once = api.call(COMPLETE, **asked("nobody"), request_id=request_id)
    assert (once.model, text(once), once.finish_reason, once.attempt_id) == ("anthropic/m", "I must decline.", 5, "1")
    assert len(once.attempts) == 3
    if request_id:
        assert api.call(COMPLETE, **asked("nobody"), request_id=request_id) == once
    who, said, whole = streamed(api, **asked("nobody"))
    assert (who, said, whole.model) == (["anthropic/m"], "I must decline.", "anthropic/m")


def test_the_deadline_holds_on_the_way_around(api: Caller) -> None:
    began = time.monotonic()
    answer = api.call(COMPLETE, timeout_s=None, **asked("late"))
    assert 3.5 < time.monotonic() - began < 15.0, "the server's own deadline ended it"
    assert (answer.model, answer.finish_reason) == ("openai/m", 4)
    assert [a.HasField("error") for a in answer.attempts] == [False, True]
