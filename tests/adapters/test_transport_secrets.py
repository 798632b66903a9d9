"""A canary key is in the header that carries it, and nowhere else: no message, traceback, variable or log line."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.endpoint import Caps, Patience
from naiad.adapters.errors import (
    AuthenticationFailed,
    InvalidRequest,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
)
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.failures import codes_of, excerpt_of, failure_of, request_id_of
from naiad.adapters.secret import Secret
from naiad.adapters.transport import Transport
from tests.adapters.peer import KEY, PATIENCE_S, Script, Talk, peer, response, saying, serving, transport

NOW = datetime(2026, 11, 28, tzinfo=UTC)
PROMPT = "What does the bird in the mine do?"


def pieces(secret: str) -> set[str]:
    """Return every run of eight characters of a secret and of its usual encodings."""
    forms = [
        secret,
        secret.encode().hex(),
        *(base64.b64encode(b"x" * i + secret.encode()).decode()[4:-4] for i in range(3)),
    ]
    return {form[i : i + 8].lower() for form in forms for i in range(len(form) - 7)}


def hits(text: str) -> list[str]:
    """Return which pieces of the key a text holds."""
    folded = text.lower()
    return sorted(piece for piece in pieces(KEY) if piece in folded)


def shown(error: BaseException) -> str:
    """Return all that tools show of an exception: text, traceback, what it came from, and the variables of frames."""
    texts = [str(error), repr(error), repr(vars(error))]
    at: BaseException | None = error
    while at is not None:
        tests = [frame for frame in traceback.walk_tb(at.__traceback__) if "/tests/" in frame[0].f_code.co_filename]
        found = traceback.TracebackException.from_exception(at, capture_locals=True)
        for summary in found.stack:
            if summary.filename not in {frame.f_code.co_filename for frame, _ in tests}:
                texts.append(f"{summary.filename} {summary.name} {summary.locals}")
        texts += found.format()
        at = at.__cause__ or at.__context__
    return "\n".join(texts)


ECHO = f"{KEY} {KEY.encode().hex()} {base64.b64encode(KEY.encode()).decode()}"
FAULTS: dict[str, Script] = {
    "echoes the key in a refusal": serving(
        response(f'{{"error": {{"message": "wrong key {ECHO}", "code": "{KEY}"}}}}'.encode(), status="401 Unauthorized",
                 headers=[f"x-request-id: {KEY}", f"location: https://example.org/{KEY}"])
    ),
    "echoes the key in its reason": serving(response(status=f"400 {ECHO}")),
    "echoes the key in place of a head": saying(ECHO.encode() + b"\r\n\r\n"),
    "echoes the key in a broken field": saying(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode()),
    "echoes the key in an encoding": serving(response(headers=[f"content-encoding: {KEY}"])),
    "echoes the key in a type": serving(response(headers=[f"content-type: {KEY}"])),
    "echoes the key in garbage": serving(response(ECHO.encode())),
    "echoes the key in a redirect": serving(response(status="302 Found", headers=[f"location: http://127.0.0.1/{KEY}"])),
    "hangs up": saying(),
    "hangs": saying(close=False),
    "hangs in the body": saying(response(b"x", headers=["content-length: 9"], length=False), close=False),
    "cuts the body": saying(response(b"x", headers=["content-length: 9"], length=False)),
    "too large": serving(response(b"x" * 10_000)),
}  # fmt: skip


async def use(out: Transport) -> None:
    """Ask as an adapter does, and read all that there is to read; raises ProviderError."""
    key = out.endpoint.key
    assert key is not None
    async with out.open(
        "POST", "/chat", model="m", timeout_s=PATIENCE_S, content=PROMPT.encode(),
        headers={"authorization": key.prefixed("Bearer "), "x-api-key": key},
    ) as exchange:  # fmt: skip
        if exchange.status != 200:
            raise failure_of(await exchange.reply(), key, now=NOW)
        if "key" in exchange.headers.get("content-type", ""):
            async for _ in exchange.events():
                pass
        (await exchange.reply()).json()
        raise failure_of(await exchange.reply(), key, now=NOW)


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_error_shows_the_key(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("aiohttp", "asyncio", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    impatient = Patience(first_byte_s=0.1, idle_s=0.1)
    async with (
        peer(FAULTS[fault]) as there,
        transport(there.url(), patience=impatient, caps=Caps(response_bytes=5_000)) as out,
    ):
        with pytest.raises(ProviderError) as caught:
            await use(out)
        assert KEY.encode() in there.requests[0], "it was sent"
    assert hits(shown(caught.value)) == []
    assert caught.value.__context__ is None
    assert PROMPT not in str(caught.value) + repr(caught.value)
    assert hits(caplog.text) == []
    assert hits(repr(out) + repr(out.endpoint) + repr(vars(out))) == []


async def test_a_cancelled_call_does_not_show_the_key() -> None:
    async with peer(saying(close=False)) as there, transport(there.url()) as out:
        call = asyncio.ensure_future(use(out))
        await there.busy.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
    assert hits(shown(caught.value)) == []


async def test_no_connection_does_not_show_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def nothing(talk: Talk) -> None:
        return

    async with peer(nothing) as there:
        pass
    for url, addresses in (
        (there.url(), None),
        (there.url(host="a.example.com"), ["8.8.8.8"]),
        (there.url(host="a.example.com"), []),
    ):
        async with transport(url, addresses=addresses) as out:
            with pytest.raises(ProviderError) as caught:
                await use(out)
        assert hits(shown(caught.value)) == []
    assert hits(caplog.text) == []


def test_the_scan_finds_what_it_looks_for() -> None:
    key = Secret(KEY)

    def leaky() -> None:
        revealed = key.reveal()
        raise RuntimeError(len(revealed))

    for text in (KEY, f"...{KEY[3:12]}...", KEY.upper(), ECHO):
        assert hits(text)
    with pytest.raises(RuntimeError) as caught:
        leaky()
    found = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert any(hits(str(summary.locals)) for summary in found.stack)


# --- what a status says ---


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(Asked("peer", "m"), status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest), (401, AuthenticationFailed), (402, QuotaExhausted), (403, AuthenticationFailed),
        (404, ModelNotFound), (405, InvalidRequest), (408, ServerError), (409, ServerError), (413, InvalidRequest),
        (422, InvalidRequest),
        (429, RateLimited), (500, ServerError), (502, ServerError), (503, Overloaded), (504, ServerError),
        (529, Overloaded), (599, ServerError), (301, MalformedAnswer), (204, MalformedAnswer), (999, ServerError),
    ],
)  # fmt: skip
def test_each_status_has_its_error(status: int, kind: type[ProviderError]) -> None:
    error = failure_of(reply(status, retry_after="3", request_id="r-1"), now=NOW)
    assert type(error) is kind
    assert (error.status, error.retry_after_s, error.provider_request_id) == (status, 3.0, "r-1")
    assert (error.provider, error.model) == ("peer", "m")
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b'{"error": {"message": "m", "type": "wrong_request", "code": "no_model"}}', ("wrong_request", "no_model")),
        (b'{"type": "error", "error": {"type": "overloaded_error", "message": "m"}}', ("error", "overloaded_error")),
        (b'{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}}', ("RESOURCE_EXHAUSTED",)),
        (b'{"object": "error", "message": "m", "type": "rate_limited", "code": "x1300"}', ("rate_limited", "x1300")),
        (b'{"error": "model is loading, please wait"}', ()),
        (b'{"error": {"code": "two words", "type": "' + b"x" * 65 + b'", "status": null}}', ()),
        (b"<html>", ()), (b"", ()), (b"[" * 100_000, ()), (b'"text"', ()), (b"[1]", ()), (b'{"error": [1]}', ()),
        (b'{"error": {"code": {"code": "a"}}}', ()),
    ],
)  # fmt: skip
def test_identifiers_are_read_from_where_providers_put_them(body: bytes, codes: tuple[str, ...]) -> None:
    assert codes_of(reply(400, body)) == codes
    assert all(code in str(failure_of(reply(400, body), now=NOW)) for code in codes)


@given(st.binary(max_size=200), st.integers(100, 999))
def test_any_body_makes_an_error(body: bytes, status: int) -> None:
    assert str(failure_of(reply(status, body), Secret(KEY), now=NOW)).startswith(f"status {status}")


def test_an_excerpt_is_short_and_clean() -> None:
    text = excerpt_of(reply(400, (ECHO + " and " + "long " * 1_000).encode()), Secret(KEY))
    assert hits(text) == []
    assert "and long" in text
    assert len(text) <= 500


@pytest.mark.parametrize(
    ("value", "expected"), [("req_1", "req_1"), ("a b", ""), ("x" * 129, ""), (KEY, ""), ("a\n", "")]
)
def test_a_request_id_is_shown_only_if_it_can_be(value: str, expected: str) -> None:
    assert request_id_of(reply(500, x_request_id=value), Secret(KEY)) == expected
