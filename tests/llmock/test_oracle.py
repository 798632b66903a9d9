"""llmock's verdict can say no: callers that behave badly are found out, so its silence about ours tells something."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.llmock.cells import broken, fail
from tests.llmock.mock import Mock, mock


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    """Return a running llmock."""
    with mock(tmp_path_factory.mktemp("oracle")) as found:
        yield found


def ask(there: Mock, text: str, *, stream: bool = False) -> bytes:
    """Ask as a careless caller does; returns whatever came."""
    connection = http.client.HTTPConnection(urlsplit(there.url).netloc, timeout=20.0)
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()


def test_callers_that_behave_badly_are_found_out(there: Mock) -> None:
    there.script([fail(429, retry_after=30, times=2)])
    for _ in range(3):
        ask(there, "waits for nothing")
    there.script([fail(401)])
    for _ in range(2):
        ask(there, "takes no for no answer")
    there.script([fail(500, times=11)])
    for _ in range(12):
        ask(there, "never gives up")
    there.script([broken("truncate", 2)])
    assert b"[DONE]" not in ask(there, "takes what comes", stream=True)
    found = there.verdict()
    assert {finding.code for finding in found if finding.severity == "error"} == {
        "retry_after_ignored", "retried_non_retryable", "retry_storm", "truncated_stream_accepted"
    }  # fmt: skip


def test_one_that_behaves_well_is_not(there: Mock) -> None:
    there.reset()
    assert b"Hello! You said: well" in ask(there, "well")
    assert there.verdict() == []
