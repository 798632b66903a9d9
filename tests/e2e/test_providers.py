"""A server whose models are behind an OpenAI-compatible endpoint: configured, asked, and failing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.peer import KEY, Peer, peer_elsewhere
from tests.adapters.talking import provider
from tests.e2e.live import Caller, Live, Refusal, live

FIXTURES = Path(__file__).parents[1] / "adapters" / "fixtures" / "openai"
COMPLETE = "RouterService/Complete"
CONFIG = """
[server]
listen = "127.0.0.1:0"
[endpoints.mine]
kind = "openai_compatible"
base_url = "{url}"
private = true
api_key_env = "TEST_PEER_KEY"
headers = {{ "x-team" = "search" }}
headers_env = {{ "x-tenant" = "TEST_PEER_TENANT" }}
[[models]]
name = "mine/tuned"
upstream_model = "team/base:v1"
endpoint = "mine"
input_usd_per_million = 1.0
cached_input_usd_per_million = 0.5
output_usd_per_million = 2.0
context_window = 8000
capabilities = ["vision", "tools", "json_schema", "system_prompt"]
"""


def asked(text: str) -> dict[str, Any]:
    """Return the fields of a request."""
    return {
        "task_class": "e2e.providers",
        "messages": [{"role": 2, "parts": [{"text": text}]}],
        "max_output_tokens": 40,
    }


@pytest.fixture(scope="module")
def there() -> Iterator[Peer]:
    """Return a provider on this machine."""
    script = provider(
        whole=(FIXTURES / "text.json").read_bytes(), stream=(FIXTURES / "text.sse").read_bytes(),
        busy=("400 Bad", b'{"error": {"message": "the prompt: overload", "code": "context_length_exceeded"}}'),
        kind="text/event-stream", asks_stream=lambda request: b'"stream":true' in request,
    )  # fmt: skip
    with peer_elsewhere(script, patience_s=300.0) as found:
        yield found


@pytest.fixture(scope="module")
def served(there: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server that reaches it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TEST_PEER_KEY", KEY)
        patched.setenv("TEST_PEER_TENANT", "secret-tenant")
        with live(tmp_path_factory.mktemp("served"), CONFIG.format(url=there.url())) as running:
            yield running
            running.caller.verify()
            errors = running.process.errors()
            assert KEY not in errors
            assert "secret-tenant" not in errors


def test_complete(api: Caller, there: Peer) -> None:
    reply = api.call(COMPLETE, **asked("What is the capital of France?"))
    assert reply.answer.parts[0].text.startswith("The capital of France is Paris")
    assert reply.model == "mine/tuned"
    usage = reply.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (19, 9, 4)
    assert reply.cost.total_nano_usd == (15 * 1_000 + 4 * 500 + 9 * 2_000), "what was read from the cache costs half"
    head, _, body = there.requests[-1].partition(b"\r\n\r\n")
    lines = {name.lower(): value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])}
    assert lines[b"authorization"] == f"Bearer {KEY}".encode()
    assert (lines[b"x-team"], lines[b"x-tenant"]) == (b"search", b"secret-tenant")
    assert json.loads(body) == {
        "model": "team/base:v1",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 40,
    }


def test_a_failure_is_refused_with_facts_and_without_the_text(api: Caller) -> None:
    with pytest.raises(Refusal) as caught:
        api.call(COMPLETE, **asked("overload, said the prompt"))
    assert "overload" not in str(caught.value)
    assert KEY not in str(caught.value)
