"""A server process whose only provider is real inference: asked whole and as a stream, in both formats."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.live import Live, live
from tests.llama.inference import CALL_S, NAME, WINDOW, Llama, inference

COMPLETE, STREAM = "RouterService/Complete", "RouterService/StreamComplete"
CONFIG = """
[server]
listen = "127.0.0.1:0"
[endpoints.chat]
kind = "llama_server"
base_url = "{url}/v1"
private = true
[endpoints.messages]
kind = "anthropic"
base_url = "{url}"
api_version = "2023-06-01"
api_key_env = "TEST_LLAMA_KEY"
private = true
"""
MODEL = """
[[models]]
name = "{endpoint}/{name}"
upstream_model = "{name}"
endpoint = "{endpoint}"
input_usd_per_million = 1.0
cached_input_usd_per_million = 0.1
output_usd_per_million = 2.0
capabilities = ["streaming", "json_schema", "system_prompt"]
"""
ENDPOINTS = ["chat", "messages"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    """Return a running server of llama.cpp."""
    with inference(tmp_path_factory.mktemp("llama")) as running:
        yield running


@pytest.fixture(scope="module")
def served(llama: Llama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server that asks it."""
    config = CONFIG.format(url=llama.url) + "".join(MODEL.format(endpoint=e, name=NAME) for e in ENDPOINTS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TEST_LLAMA_KEY", "none-is-looked-at")
        with live(tmp_path_factory.mktemp("served"), config) as running:
            yield running
            running.caller.verify()


def asked(endpoint: str, text: str = "What is the capital of France?") -> dict[str, Any]:
    facts = "You answer in one short sentence. The capital of France is Paris. The capital of Italy is Rome."
    return {
        "task_class": "llama", "max_output_tokens": 24, "generation": {"temperature": 0.0},
        "messages": [{"role": 1, "parts": [{"text": facts}]}, {"role": 2, "parts": [{"text": text}]}],
        "allowed_models": [f"{endpoint}/{NAME}"],
    }  # fmt: skip


def text(answer: Any) -> str:
    return "".join(part.text for part in answer.answer.parts)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_complete(served: Live, endpoint: str) -> None:
    answer = served.caller.call(COMPLETE, timeout_s=CALL_S, **asked(endpoint))
    assert "Paris" in text(answer)
    assert (answer.model, answer.finish_reason) == (f"{endpoint}/{NAME}", 1)
    used = answer.usage
    assert not used.estimated
    read = (used.input_tokens - used.cached_input_tokens) * 1_000 + used.cached_input_tokens * 100
    assert answer.total_cost_nano_usd == read + used.output_tokens * 2_000


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_stream_complete(served: Live, endpoint: str) -> None:
    events = served.caller.call(STREAM, timeout_s=CALL_S, **asked(endpoint))
    whole = events[-1].completed.response
    assert "Paris" in text(whole)
    assert "".join(event.text_delta.text for event in events) == text(whole)
    assert len(events) > 4
    assert whole.attempts[0].time_to_first_token.ToNanoseconds() > 0


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_prompt_beyond_the_window_names_its_error(served: Live, endpoint: str) -> None:
    refusal = served.caller.refused(COMPLETE, **asked(endpoint, "one two three four " * (WINDOW // 2)))
    assert (refusal.reason, refusal.metadata["kinds"]) == ("ALL_ATTEMPTS_REJECTED", "ContextTooLong x 1")


def test_who_leaves_the_server_stops_the_inference(served: Live, llama: Llama) -> None:
    """The caller's deadline ends, and neither the server nor llama.cpp goes on."""
    fields = asked("chat", "Write a long story about a river, in many chapters.") | {"max_output_tokens": 1_800}
    done = threading.Event()

    def call() -> None:
        served.caller.refused(COMPLETE, timeout_s=1.5, **fields)
        done.set()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        llama.until_busy()
        began = time.monotonic()
        assert done.wait(10.0)
        assert time.monotonic() - began < 5.0
        llama.until_idle()
    finally:
        thread.join(20.0)
