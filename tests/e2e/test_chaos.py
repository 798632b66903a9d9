"""`naiad serve --chaos`: the primary fails on purpose, the fallback answers, and everybody is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from naiad.client import Client, Completed, Restarted, TextDelta
from tests.adapters.peer import peer_elsewhere, serving
from tests.adapters.peer import response as http
from tests.adapters.talking import provider
from tests.e2e.live import Live, live

CONFIG = """
[server]
listen = "127.0.0.1:0"
[storage]
path = ":memory:"
[endpoints.main]
kind = "ollama"
base_url = "{url}"
private = true
[endpoints.spare]
kind = "echo"
[policy]
strategy = "fallback"
primary = "main/tiny"
fallbacks = ["spare/large"]
[[models]]
name = "main/tiny"
upstream_model = "tiny:1b"
capabilities = ["streaming"]
input_usd_per_million = 0.1
output_usd_per_million = 0.2
[[models]]
name = "spare/large"
upstream_model = "large"
capabilities = ["streaming"]
input_usd_per_million = 0.1
output_usd_per_million = 0.2
"""
ANSWER = b'{"model": "tiny:1b", "message": {"content": "From the real one."}, "done": true, "eval_count": 4}'
ON = "Simulated failures are on at the endpoint 'main'."
FAULTS = ['kind = "refuse"', 'kind = "status"\nstatus = 401', 'kind = "cut"', 'kind = "garbage"']


def ask(served: Live) -> Any:
    return served.caller.call(
        "RouterService/Complete", task_class="e2e", messages=[{"role": 2, "parts": [{"text": "Who are you?"}]}]
    )


def notices(reply: Any) -> list[str]:
    return [notice.message for notice in reply.notices]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_primary_fails_and_the_fallback_answers(tmp_path: Path, fault: str) -> None:
    plan = tmp_path / "faults.toml"
    plan.write_text(f'[[faults]]\nendpoint = "main"\nmodel = "tiny*"\n{fault}\n', encoding="utf-8")
    with peer_elsewhere(serving(http(ANSWER))) as there:
        with live(tmp_path, CONFIG.format(url=there.url()), "--chaos", str(plan), "--log", "json") as served:
            reply = ask(served)
            errors = served.process.errors()
        assert there.requests == [], "a fault at once reaches no provider"
    *failed, good = reply.attempts
    assert failed
    assert all(attempt.HasField("error") and attempt.model == "main/tiny" for attempt in failed)
    assert not good.HasField("error")
    assert reply.model == good.model == "spare/large"
    assert ON not in notices(reply), "the fallback's endpoint is as ever"
    assert any("main/tiny failed; spare/large answered" in notice for notice in notices(reply))
    assert errors.count('"chaos_on"') == 1
    assert errors.count('"chaos_fault"') == len(failed)


def test_an_answer_that_no_fault_befell_says_so_too(tmp_path: Path) -> None:
    plan = tmp_path / "faults.toml"
    plan.write_text('[[faults]]\nendpoint = "main"\nmodel = "other"\nkind = "refuse"\n', encoding="utf-8")
    with (
        peer_elsewhere(serving(http(ANSWER))) as there,
        live(tmp_path, CONFIG.format(url=there.url()), "--chaos", str(plan)) as served,
    ):
        reply = ask(served)
    assert reply.model == "main/tiny"
    assert reply.answer.parts[0].text == "From the real one."
    assert ON in notices(reply)


def test_a_stream_that_is_cut_off_begins_anew_with_the_fallback(tmp_path: Path) -> None:
    plan = tmp_path / "faults.toml"
    plan.write_text('[[faults]]\nendpoint = "main"\nkind = "cut"\ndeltas = 1\n', encoding="utf-8")
    fixtures = Path(__file__).parents[1] / "adapters" / "fixtures" / "ollama"
    script = provider(
        whole=ANSWER, stream=(fixtures / "answer.ndjson").read_bytes(), busy=("503 Busy", b"{}"),
        kind="application/x-ndjson", asks_stream=lambda request: b'"stream":true' in request,
    )  # fmt: skip
    with (
        peer_elsewhere(script) as there,
        live(tmp_path, CONFIG.format(url=there.url()), "--chaos", str(plan)) as served,
        Client(served.process.address) as client,
    ):
        events = list(client.stream("Who are you?", task_class="e2e"))
    last = max(n for n, event in enumerate(events) if isinstance(event, Restarted))
    before = [event.text for event in events[:last] if isinstance(event, TextDelta)]
    after = [event.text for event in events[last:] if isinstance(event, TextDelta)]
    done = events[-1]
    assert isinstance(done, Completed)
    assert done.completion.model == "spare/large"
    assert set(before) == {"Paris is "}, "what the primary said before it was cut off, of each attempt"
    assert "".join(after) == done.completion.text == "[echo] Who are you?"


def test_what_was_learned_is_in_a_database_of_its_own(tmp_path: Path) -> None:
    plan = tmp_path / "faults.toml"
    plan.write_text('[[faults]]\nendpoint = "main"\nkind = "refuse"\n', encoding="utf-8")
    with peer_elsewhere(serving(http(ANSWER))) as there:
        with live(tmp_path, CONFIG.format(url=there.url()), "--chaos", str(plan)) as served:
            assert ask(served).model == "spare/large"
            served.caller.verify()
        assert there.requests == []
    assert (tmp_path / "data" / "naiad.db").exists()
    with (
        peer_elsewhere(serving(http(ANSWER))) as there,
        live(tmp_path / "again", CONFIG.format(url=there.url())) as now,
    ):
        reply = ask(now)
    assert reply.model == "main/tiny"
    assert ON not in notices(reply)
