"""A server behind an OpenRouter on this machine, which says what it billed: whole, streamed, and lying."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.peer import KEY, Peer, Talk, peer_elsewhere, response
from tests.e2e.live import Caller, Live, live

COMPLETE = "RouterService/Complete"
CONFIG = """
[server]
listen = "127.0.0.1:0"
[endpoints.openrouter]
kind = "openrouter"
base_url = "{url}"
private = true
api_key_env = "TEST_PEER_KEY"
[[models]]
name = "openrouter/m"
upstream_model = "some/model"
endpoint = "openrouter"
input_usd_per_million = 1.0
output_usd_per_million = 2.0
context_window = 8000
capabilities = ["streaming"]
"""
SAID: dict[str, dict[str, Any]] = {  # by the words that ask for it: the usage
    "billed": {"prompt_tokens": 20, "completion_tokens": 9, "cost": 0.00004321},
    "own key": {
        "prompt_tokens": 20, "completion_tokens": 9, "cost": 0, "is_byok": True,
        "cost_details": {"upstream_inference_cost": 0.00004},
    },
    "silent": {"prompt_tokens": 20, "completion_tokens": 9},
    "negative": {"prompt_tokens": 20, "completion_tokens": 9, "cost": -1},
    "words": {"prompt_tokens": 20, "completion_tokens": 9, "cost": "much"},
    "absurd": {"prompt_tokens": 20, "completion_tokens": 9, "cost": 1e9},
    "many": {"prompt_tokens": 20, "completion_tokens": 900_000, "cost": 0.00004321},
}  # fmt: skip


async def script(talk: Talk) -> None:
    """Answer as the prompt says, whole or as a stream."""
    while True:
        request = json.loads((await talk.request()).partition(b"\r\n\r\n")[2])
        assert request["usage"] == {"include": True}
        usage = SAID[request["messages"][0]["content"]]
        made = {"id": "gen-1", "model": "some/model"}
        if not request.get("stream"):
            whole = {"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}], "usage": usage}
            await talk.send(response(json.dumps(made | whole).encode(), headers=["content-type: application/json"]))
            continue
        assert request["stream_options"] == {"include_usage": True}
        chunks: list[dict[str, Any]] = [
            {"choices": [{"delta": {"content": "Paris"}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": usage},
        ]
        body = b"".join(b"data: " + json.dumps(made | chunk).encode() + b"\n\n" for chunk in chunks)
        await talk.send(response(body + b"data: [DONE]\n\n", headers=["content-type: text/event-stream"]))


@pytest.fixture(scope="module")
def there() -> Iterator[Peer]:
    with peer_elsewhere(script, patience_s=300.0) as found:
        yield found


@pytest.fixture(scope="module")
def served(there: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TEST_PEER_KEY", KEY)
        with live(tmp_path_factory.mktemp("billed"), CONFIG.format(url=there.url())) as running:
            yield running
            running.caller.verify()


def completed(api: Caller, words: str, method: str = COMPLETE) -> Any:
    messages = [{"role": 2, "parts": [{"text": words}]}]
    return api.call(method, task_class="e2e.bill", max_output_tokens=40, messages=messages)


def streamed(api: Caller, words: str) -> Any:
    return completed(api, words, "RouterService/StreamComplete")[-1].completed.response


PRICED = 20 * 1_000 + 9 * 2_000


@pytest.mark.parametrize("ask", [completed, streamed])
@pytest.mark.parametrize(
    ("words", "total", "billed", "doubted"),
    [
        ("billed", 43_210, 43_210, ""), ("own key", 40_000, 40_000, ""), ("silent", PRICED, None, ""),
        ("negative", PRICED, None, "-1 USD"), ("words", PRICED, None, "no number"),
        ("absurd", PRICED, None, "1e+09 USD"),
        ("many", 43_210, 43_210, ""),
    ],
)  # fmt: skip
def test_the_bill_is_the_cost_where_it_can_be_true(
    api: Caller, ask: Any, words: str, total: int, billed: int | None, doubted: str
) -> None:
    reply = ask(api, words)
    cost = reply.cost
    assert (cost.total_nano_usd, cost.doubted_bill) == (total, doubted)
    assert (cost.billed_nano_usd if cost.HasField("billed_nano_usd") else None) == billed
    assert reply.total_cost_nano_usd == total
    wrote = 40 if words == "many" else 9
    assert (cost.input_nano_usd, cost.output_nano_usd) == (20_000, wrote * 2_000), "the parts are the prices'"
    assert reply.usage.HasField("doubted") == (words == "many")
    codes = {notice.code for notice in reply.notices}
    assert (42 in codes, 41 in codes) == (bool(doubted), words == "many")
    kept = api.call("InsightService/GetDecision", decision_id=reply.decision_id).decision.attempts[0]
    assert (kept.cost, kept.usage) == (cost, reply.usage)


def test_the_report_is_the_sum_of_the_decisions(api: Caller) -> None:
    before = api.call("InsightService/GetCostReport").total.cost_nano_usd
    spent = sum(completed(api, words).total_cost_nano_usd for words in SAID)
    total = api.call("InsightService/GetCostReport").total
    assert total.cost_nano_usd - before == spent
    parts = ("input", "cached_input", "cache_write", "output", "request", "adjustment")
    assert total.cost_nano_usd == sum(getattr(total, f"{part}_nano_usd") for part in parts)
