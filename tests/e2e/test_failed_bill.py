"""A server behind a provider whose replies have no end: what they counted is billed, the rest is uncertain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.peer import Peer, Talk, peer_elsewhere, response
from tests.e2e.live import Caller, Live, live

CONFIG = """
[server]
listen = "127.0.0.1:0"
[endpoints.mine]
kind = "{kind}"
base_url = "{url}"
private = true
api_key_env = ""
idle_s = 1.0
[[models]]
name = "mine/m"
upstream_model = "some/model"
endpoint = "mine"
input_usd_per_million = 1.0
output_usd_per_million = 2.0
context_window = 8000
capabilities = ["streaming"]
[[budgets]]
id = "all"
limit_usd = 1.0
period = "once"
"""
BILL = 10 * 1_000 + 9 * 2_000
USAGE = {"prompt_tokens": 10, "completion_tokens": 9}
ONE: dict[str, Any] = {"task_class": "e2e.failed", "max_output_tokens": 40, "max_attempts": 1}
STREAM = "content-type: text/event-stream"


def events(*said: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in said)


TEXT = {"choices": [{"index": 0, "delta": {"content": "Paris is the capital"}}]}
COUNT = {"choices": [], "usage": USAGE}
WHOLE = {"choices": [{"index": 0, "message": {"content": "Paris is the capital"}}], "usage": USAGE}
SAID: dict[str, bytes] = {  # by the words that ask for it
    "whole": response(json.dumps(WHOLE).encode()),
    "counted": response(events(TEXT, COUNT) + b"data: [DONE]\n\n", headers=[STREAM]),
    "cut": response(events(TEXT), headers=[STREAM]),
    "broken": response(events(TEXT, {"error": {"type": "server_error", "message": "x"}}), headers=[STREAM]),
    "busy": response(json.dumps(WHOLE).encode(), status="503 Busy"),
}
START = {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 10, "output_tokens": 1}}}
BEGIN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Paris"}}


async def script(talk: Talk) -> None:
    """Answer as the prompt says; `silent` begins, and then says no more."""
    while True:
        request = json.loads((await talk.request()).partition(b"\r\n\r\n")[2])
        words = request["messages"][0]["content"]
        if words == "silent":
            await talk.send(response(headers=[STREAM, "content-length: 100000"], length=False, body=events(TEXT)))
            await talk.gone()
            return
        if not isinstance(words, str):  # Anthropic's
            await talk.send(response(events(START, BEGIN), headers=[STREAM]))
            continue
        await talk.send(SAID[words])


@pytest.fixture(scope="module")
def there() -> Iterator[Peer]:
    with peer_elsewhere(script, patience_s=300.0) as found:
        yield found


@pytest.fixture(params=["openai_compatible"])
def served(request: Any, there: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    config = CONFIG.format(url=there.url(), kind=request.param)
    if request.param == "anthropic":
        config = config.replace('api_key_env = ""', 'api_key_env = "TEST_PEER_KEY"')
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TEST_PEER_KEY", "sk-canary-0123456789abcdefGHIJ")
        with live(tmp_path_factory.mktemp("failed"), config) as running:
            yield running
            running.caller.verify()


def attempt_of(api: Caller, words: str, *, stream: bool) -> Any:
    """Ask for what fails, and return the attempt as GetDecision shows it."""
    messages = [{"role": 2, "parts": [{"text": words}]}]
    method = "RouterService/StreamComplete" if stream else "RouterService/Complete"
    refusal = api.refused(method, messages=messages, **ONE)
    return api.call("InsightService/GetDecision", decision_id=refusal.metadata["decision_id"]).decision.attempts[0]


def standing(api: Caller) -> tuple[int, int, int]:
    """Return what the budget has spent, what of it is uncertain, and what it holds."""
    seen = api.call("AdminService/GetBudget", budget_id="all").budget
    return seen.spent_nano_usd, seen.uncertain_nano_usd, seen.reserved_nano_usd


@pytest.mark.parametrize(("words", "stream"), [("whole", False), ("counted", True)])
def test_a_count_of_the_whole_call_is_its_bill_everywhere(served: Live, words: str, stream: bool) -> None:
    api = served.caller
    attempt = attempt_of(api, words, stream=stream)
    assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (10, 9)
    assert attempt.cost.total_nano_usd == BILL
    assert not attempt.HasField("uncertain_nano_usd")
    row = api.call("InsightService/GetCostReport").total
    assert (row.cost_nano_usd, row.failed_nano_usd, row.uncertain_attempts) == (BILL, BILL, 0)
    assert standing(api) == (BILL, 0, 0)


@pytest.mark.parametrize(("words", "stream"), [("cut", True), ("broken", True), ("silent", True)])
def test_a_stream_cut_after_text_is_uncertain_everywhere(served: Live, words: str, stream: bool) -> None:
    api = served.caller
    attempt = attempt_of(api, words, stream=stream)
    held = attempt.uncertain_nano_usd
    assert held > 40 * 2_000
    row = api.call("InsightService/GetCostReport").total
    assert (row.cost_nano_usd, row.uncertain_attempts, row.uncertain_nano_usd) == (0, 1, held)
    assert standing(api) == (held, held, 0)


def test_what_was_refused_cost_nothing_whatever_it_says(served: Live) -> None:
    api = served.caller
    attempt = attempt_of(api, "busy", stream=False)
    assert (attempt.cost.total_nano_usd, attempt.HasField("uncertain_nano_usd")) == (0, False)
    assert standing(api) == (0, 0, 0)


@pytest.mark.parametrize("served", ["anthropic"], indirect=True)
def test_the_count_that_a_stream_begins_with_is_kept_and_bounds_nothing(served: Live) -> None:
    api = served.caller
    attempt = attempt_of(api, "hello", stream=True)
    assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (10, 1)
    held = attempt.uncertain_nano_usd
    assert standing(api) == (held, held, 0)
    assert held > 40 * 2_000
