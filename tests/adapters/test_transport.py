"""The transport against real sockets: what providers do wrong ends in a typed error, in bounded memory and time."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.adapters.dialling import PinnedResolver
from naiad.adapters.endpoint import Caps, Patience, segment
from naiad.adapters.errors import (
    AdapterClosed,
    ConnectionFailed,
    EgressRefused,
    MalformedAnswer,
    ProviderError,
    Timeout,
    TimeoutKind,
    Truncated,
)
from naiad.adapters.exchange import Reply
from naiad.adapters.resolving import Refused
from naiad.adapters.transport import Transport
from tests.adapters.peer import (
    CHUNKED,
    KEY,
    PATIENCE_S,
    Script,
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

SMALL = Caps(response_bytes=10_000, event_bytes=1_000, headers=20, header_bytes=1_000, all_header_bytes=3_000)
SSE = "content-type: text/event-stream"
PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


async def fetch(out: Transport, **changes: Any) -> Reply:
    """Send a usual request."""
    asked: dict[str, Any] = {"model": "m", "timeout_s": PATIENCE_S, "content": b'{"ask": 1}', **changes}
    key = out.endpoint.key
    assert key is not None
    asked.setdefault("headers", {"authorization": key.prefixed("Bearer ")})
    return await out.fetch("POST", "/chat", **asked)


async def failure(script: Script, kind: type[ProviderError], **changes: Any) -> ProviderError:
    """Return the error that a peer brings about; everything is given back afterwards."""
    fetched = {name: changes.pop(name) for name in ("timeout_s", "content") if name in changes}
    async with peer(script) as there, transport(there.url(), **{"caps": SMALL, **changes}) as out:
        with pytest.raises(kind) as caught:
            await fetch(out, **fetched)
        assert out.open_exchanges == 0
    error = caught.value
    assert type(error) is kind
    assert (error.provider, error.model) == ("peer", "m")
    return error


# --- what is sent ---


async def test_a_request_and_its_reply() -> None:
    reply = response(b'{"a": 1}', headers=["content-type: application/json", "X-Request-Id: r-1"])
    async with peer(serving(reply)) as there, transport(there.url()) as out:
        found = await out.fetch(
            "POST", f"/models/{segment('a/b c')}:go", model="m", timeout_s=PATIENCE_S, params={"alt": "sse&x"},
            headers={"Authorization": out.endpoint.key or "", "x-version": "1"}, content=b"body",
        )  # fmt: skip
        assert (found.status, found.json(), found.headers["x-request-id"]) == (200, {"a": 1}, "r-1")
        await fetch(out)
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    assert first == "POST /v1/models/a%2Fb%20c:go?alt=sse%26x HTTP/1.1"
    assert body == b"body"
    sent = dict(line.lower().split(": ", 1) for line in fields)
    assert sent["authorization"] == KEY.lower()
    assert sent["accept-encoding"] == "gzip, deflate"
    assert sent["user-agent"].startswith("naiad/")
    assert sent["host"] == f"127.0.0.1:{there.port}"
    assert len(sent) == len(fields), "no field twice"
    assert there.accepted == 1, "the connection is used again"


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 5_000_000])
async def test_a_request_of_any_size_is_sent_whole_with_its_length(size: int) -> None:
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with peer(serving(response())) as there, transport(there.url()) as out:
        for _ in range(2):
            await fetch(out, content=body)
    assert there.accepted == 1
    for request in there.requests:
        head, _, got = request.partition(b"\r\n\r\n")
        assert got == body
        assert b"transfer-encoding" not in head.lower()
        assert head.lower().count(b"content-length") == 1


@pytest.mark.parametrize(
    "path", ["", "chat", "/../x", "/a/./b", "/a?b=c", "/a#b", "//evil.example/x", "/a b", "/a\r\nX: y", "/%2", "/é"]
)
async def test_a_path_that_no_adapter_should_make_is_a_programming_error(path: str) -> None:
    async with transport("http://127.0.0.1:9/v1") as out:
        with pytest.raises(ValueError, match="segment"):
            await out.fetch("GET", path, model="m", timeout_s=1.0)


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_a_segment_that_means_a_folder_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give a name"):
        segment(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_other_text_is_one_segment(text: str) -> None:
    if text in (".", ".."):
        return
    assert not set(segment(text)) & set("/?#\\ \r\n@[]")


async def test_headers_of_the_transport_are_its_own() -> None:
    async with transport("http://127.0.0.1:9/v1") as out:
        with pytest.raises(ValueError, match="'host'"):
            await fetch(out, headers={"Host": "evil.example"})


# --- what is not done ---


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(status: str) -> None:
    async with peer(serving(response())) as target:
        moved = response(b"", status=status, headers=[f"location: {target.url()}/chat"])
        async with peer(serving(moved)) as there, transport(there.url()) as out:
            assert (await fetch(out)).status == int(status[:3])
            assert len(there.requests) == 1
        assert target.accepted == 0


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password netrc-canary\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with peer(serving(response())) as proxy, peer(serving(response())) as there:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        async with transport(there.url()) as out:
            await fetch(out, headers={})
        assert proxy.accepted == 0
        assert b"authorization" not in there.requests[0].lower()


async def test_cookies_are_not_kept() -> None:
    reply = response(headers=["set-cookie: session=canary; Path=/"])
    async with peer(serving(reply)) as there:
        url = there.url(host="peer.example.com")  # jars keep none of an address
        async with transport(url, addresses=["127.0.0.1"]) as out:
            await fetch(out)
            await fetch(out)
    assert b"cookie" not in there.requests[1].lower()


# --- size ---


@pytest.mark.parametrize(
    "body",
    [
        response(b"x" * 10_001),
        response(b"", headers=["content-length: 1073741824"], length=False) + b"x" * 100,
        response(headers=[CHUNKED], length=False, body=chunk(b"x" * 5_000) * 3),
        response(b"x" * 20_000, length=False),
    ],
    ids=["stated", "stated and huge", "chunked", "until the end"],
)
async def test_a_body_that_is_too_large_is_stopped(body: bytes) -> None:
    error = await failure(saying(body, close=b"content-length" not in body), MalformedAnswer)
    assert "10000 bytes" in str(error)


@pytest.mark.parametrize("stated", ["9" * 30, "-1", "1, 2", "0x10", "ten"])
async def test_a_length_that_is_none_or_beyond_all_bounds(stated: str) -> None:
    await failure(saying(response(b"x", headers=[f"content-length: {stated}"], length=False)), MalformedAnswer)


async def test_a_body_without_end_is_stopped_and_the_connection_closed() -> None:
    sent = 0

    async def endless(talk: Talk) -> None:
        nonlocal sent
        await talk.request()
        await talk.send(response(headers=[CHUNKED], length=False, body=b""))
        while True:
            await talk.send(chunk(b"x" * 1_000))
            sent += 1_000

    await failure(endless, MalformedAnswer)
    assert sent < 20_000_000, "what sockets buffer, not what the peer would send"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_a_bomb_is_stopped(encoding: str) -> None:
    bomb = PACK.get(encoding, bytes)(b"\0" * 5_000_000)[:9_000]
    error = await failure(saying(response(bomb, headers=[f"content-encoding: {encoding}"])), MalformedAnswer)
    assert ("10000 bytes" if encoding in ("gzip", "deflate") else "were asked for") in str(error)


async def test_packing_that_holds_nothing_is_stopped_too() -> None:
    empty = gzip.compress(b"") * 1_000
    head = response(headers=["content-encoding: gzip", CHUNKED], length=False, body=b"")
    error = await failure(saying(head + chunk(empty) + b"0\r\n\r\n", close=False), MalformedAnswer)
    assert "10000 bytes" in str(error)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_packed_reply_is_unpacked(encoding: str) -> None:
    packed = PACK[encoding](b'{"a": 1}' + b" " * 5_000)
    async with (
        peer(serving(response(packed, headers=[f"content-encoding: {encoding}"]))) as there,
        transport(there.url()) as out,
    ):
        assert (await fetch(out)).json() == {"a": 1}


async def test_a_packed_reply_that_ends_early_or_is_damaged() -> None:
    packed = gzip.compress(b"hello" * 100)
    head = ["content-encoding: gzip"]
    await failure(saying(response(packed[:-9], headers=head)), Truncated)
    await failure(saying(response(b"\x1f\x8b\x08" + packed[5:], headers=head)), MalformedAnswer)


@pytest.mark.parametrize(
    "head",
    [
        ["x: " + "y" * 2_000],
        [f"x{i}: y" for i in range(21)],
        [f"x{i}: " + "y" * 500 for i in range(10)],
        ["y" * 2_000 + ": x"],
    ],
    ids=["one field", "many fields", "together", "a name"],
)
async def test_a_head_that_is_too_large(head: list[str]) -> None:
    await failure(saying(response(headers=head)), MalformedAnswer)


@pytest.mark.parametrize(
    "piece", [b"x: y\r\n", b"y", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["fields", "line", "informational"]
)
async def test_a_head_without_end_is_stopped(piece: bytes) -> None:
    async def endless(talk: Talk) -> None:
        await talk.request()
        await talk.send(b"" if piece.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
        while True:
            await talk.send(piece * 100)

    changes: dict[str, Any] = {"timeout_s": 0.5} if piece.startswith(b"HTTP") else {}
    await failure(endless, Timeout if changes else MalformedAnswer, **changes)


# --- time ---


async def test_no_reply_in_time() -> None:
    error = await failure(saying(close=False), Timeout, patience=Patience(first_byte_s=0.05, idle_s=0.01))
    assert isinstance(error, Timeout)
    assert error.kind is TimeoutKind.FIRST_BYTE
    assert not error.retryable


async def test_the_time_of_the_first_byte_runs_from_the_connection() -> None:
    """What connecting may take is not given to a provider that was connected to at once and says nothing."""
    patience = Patience(connect_s=3_600.0, first_byte_s=0.05)
    error = await failure(saying(close=False), Timeout, patience=patience)
    assert isinstance(error, Timeout)
    assert error.kind is TimeoutKind.FIRST_BYTE


async def test_a_head_that_never_ends_in_time() -> None:
    script = saying(b"HTTP/1.1 200 OK\r\nx: ", close=False)
    error = await failure(script, Timeout, patience=Patience(connect_s=0.05, first_byte_s=0.05, idle_s=0.01))
    assert isinstance(error, Timeout)
    assert error.kind is TimeoutKind.FIRST_BYTE


@pytest.mark.parametrize("first_byte_s", [5.0, 0.02])
async def test_a_body_that_falls_silent(first_byte_s: float) -> None:
    script = saying(response(b"abc", headers=["content-length: 10"], length=False), close=False)
    error = await failure(script, Timeout, patience=Patience(idle_s=0.05, first_byte_s=first_byte_s))
    assert isinstance(error, Timeout)
    assert error.kind is TimeoutKind.IDLE


@pytest.mark.parametrize("where", ["before the head", "in the head", "in the body"])
async def test_the_whole_time_bounds_a_peer_that_drips(where: str) -> None:
    whole = response(b"abcdefghij" * 100)
    start = {"before the head": 0, "in the head": 20, "in the body": whole.index(b"abc") + 3}[where]

    async def drip(talk: Talk) -> None:
        await talk.request()
        await talk.send(whole[:start])
        for i in range(start, len(whole)):
            await asyncio.sleep(0.01)
            await talk.send(whole[i : i + 1])

    error = await failure(drip, Timeout, timeout_s=0.2)
    assert isinstance(error, Timeout)
    assert error.kind is TimeoutKind.TOTAL


async def test_a_full_pool_makes_wait_and_then_fail_before_anything_is_sent() -> None:
    async with peer(saying(close=False)) as there:
        async with transport(there.url(), connections=1, patience=Patience(connect_s=0.5)) as out:
            first = asyncio.ensure_future(fetch(out))
            await there.busy.wait()
            with pytest.raises(Timeout) as caught:
                await fetch(out)
            assert caught.value.kind is TimeoutKind.CONNECT
            assert caught.value.retryable
            first.cancel()
            await asyncio.wait([first])
        assert there.accepted == 1


async def test_a_peer_that_reads_nothing_of_a_large_request() -> None:
    async def deaf(talk: Talk) -> None:
        await talk.reader.readuntil(b"\r\n\r\n")
        await talk.send(response(b"too large", status="413 Too Large"))
        await talk.gone()

    async with peer(deaf) as there, transport(there.url()) as out:
        assert (await fetch(out, content=b"x" * 20_000_000)).status == 413
    assert out.open_exchanges == 0


async def test_a_peer_that_neither_reads_nor_answers() -> None:
    stop = asyncio.Event()

    async def deaf(talk: Talk) -> None:
        await stop.wait()

    async with peer(deaf) as there, transport(there.url()) as out:
        with pytest.raises(Timeout):
            await fetch(out, content=b"x" * 20_000_000, timeout_s=0.2)
        assert out.open_exchanges == 0
        stop.set()


# --- connections that break ---


async def test_nobody_listens() -> None:
    async with peer(saying()) as there:
        pass
    async with transport(there.url()) as out:
        with pytest.raises(ConnectionFailed) as caught:
            await fetch(out)
    assert caught.value.retryable


async def test_the_peer_hangs_up_at_once() -> None:
    await failure(saying(), ConnectionFailed)


async def test_the_peer_hangs_up_inside_of_the_head() -> None:
    await failure(saying(b"HTTP/1.1 200 OK\r\nx: y"), ConnectionFailed)


@pytest.mark.parametrize(
    "body",
    [
        response(b"abc", headers=["content-length: 10"], length=False),
        response(chunk(b"abc"), headers=[CHUNKED], length=False),
    ],
    ids=["stated", "chunked"],
)
async def test_the_peer_hangs_up_inside_of_the_body(body: bytes) -> None:
    assert (await failure(saying(body), Truncated)).retryable


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ],
)
async def test_garbage_in_place_of_a_head(garbage: bytes) -> None:
    await failure(saying(garbage), MalformedAnswer)


@pytest.mark.parametrize("body", [b"zz\r\nabc\r\n", b"-1\r\n", b"5\r\nabcdefgh\r\n", b"ffffffffffffffffff\r\n"])
async def test_garbage_in_place_of_chunks(body: bytes) -> None:
    async with peer(saying(response(body, headers=[CHUNKED], length=False))) as there, transport(there.url()) as out:
        with pytest.raises((MalformedAnswer, Truncated)):  # as the garbage came with the head or after it
            await fetch(out)


@settings(max_examples=60, deadline=None)
@given(st.data())
async def test_any_bytes_end_in_a_reply_or_in_an_error_of_ours(data: st.DataObject) -> None:
    whole = response(gzip.compress(b'{"a": 1}'), headers=["content-encoding: gzip", SSE])
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    tail = data.draw(st.binary(max_size=20))
    async with peer(saying(bytes(changed[:cut]) + tail)) as there, transport(there.url(), caps=SMALL) as out:
        with contextlib.suppress(ProviderError):
            await fetch(out, timeout_s=5.0)
        assert out.open_exchanges == 0


@pytest.mark.parametrize("phrase", [b"\x80K", b"\xff", "schön".encode(), b"", b" "])
async def test_a_reason_phrase_of_any_bytes_is_left_out(phrase: bytes) -> None:
    reply = b"HTTP/1.1 200 " + phrase + b"\r\ncontent-length: 2\r\n\r\n{}"
    async with peer(serving(reply)) as there, transport(there.url(), connections=1) as out:
        for _ in range(3):
            assert (await fetch(out)).json() == {}
        assert there.accepted == 1


async def test_a_reply_that_nobody_asked_for_is_not_the_next_call_s() -> None:
    async def twice(talk: Talk) -> None:
        await talk.request()
        await talk.send(response(b'"first"') + response(b'"smuggled"'))
        await talk.request()
        await talk.send(response(b'"second"'))

    async def late(talk: Talk) -> None:
        await talk.request()
        await talk.send(response(b'"first"'))
        await talk.send(response(b'"smuggled"'))
        await talk.gone()

    for script in (twice, late):
        async with peer(script) as there, transport(there.url()) as out:
            for _ in range(3):
                with contextlib.suppress(ConnectionFailed, MalformedAnswer):
                    assert (await fetch(out)).json() != "smuggled"
                for _ in range(20):
                    await asyncio.sleep(0)


# --- names ---


@pytest.mark.parametrize(
    ("private", "addresses"),
    [
        (True, ["8.8.8.8"]), (True, ["127.0.0.1", "8.8.8.8"]), (True, ["169.254.169.254"]), (True, ["0.0.0.0"]),  # noqa: S104
        (True, ["::ffff:127.0.0.1"]), (False, ["127.0.0.1"]), (False, ["10.0.0.1"]), (False, ["8.8.8.8", "10.0.0.1"]),
        (False, ["64:ff9b::7f00:1"]), (False, ["nonsense"]), (False, ["127.1"]),
    ],
)  # fmt: skip
async def test_a_name_that_leads_where_it_may_not_is_refused(private: bool, addresses: list[str]) -> None:
    async with peer(serving(response())) as there:
        url = there.url("http" if private else "https", "api.example.com")
        async with transport(url, private=private, addresses=addresses) as out:
            with pytest.raises(EgressRefused, match="private") as caught:
                await fetch(out)
        assert there.accepted == 0
        assert not caught.value.retryable
        assert caught.value.fallback_worthy


async def test_the_name_is_resolved_once_and_its_address_is_connected_to() -> None:
    asked: list[tuple[str, int]] = []

    async def told(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    async with peer(serving(response())) as there:
        async with transport(there.url(host="no-such-host.example.com")) as prepared:
            out = Transport(prepared.endpoint, resolve=told)
            await asyncio.gather(*(fetch(out) for _ in range(4)))
            await out.aclose()
        assert asked == [("no-such-host.example.com", there.port)]
        assert f"host: no-such-host.example.com:{there.port}".encode() in there.requests[0].lower()


async def test_each_layer_refuses_by_itself() -> None:
    async def anything(host: str, port: int) -> list[str]:
        return ["8.8.8.8"]

    pinned = PinnedResolver(endpoint("https://api.example.com", private=False), anything)
    assert [found["host"] for found in await pinned.resolve("api.example.com", 443)] == ["8.8.8.8"]
    for host, port in (("other.example.com", 443), ("api.example.com", 8443), ("api.example.com.", 443)):
        with pytest.raises(Refused, match="another host"):
            await pinned.resolve(host, port)
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"):  # noqa: S104 - not bound
        with pytest.raises(Refused, match="not permitted"):
            pinned.socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443)))
    with pytest.raises(Refused, match="not permitted"):
        pinned.socket((socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::ffff:7f00:1", 443, 0, 0)))


@pytest.mark.parametrize("addresses", [[], None])
async def test_a_name_that_does_not_resolve(addresses: list[str] | None) -> None:
    async def unknown(host: str, port: int) -> list[str]:
        if addresses is None:
            raise OSError("no such name")
        return addresses

    async with transport("http://peer.example.com/v1") as prepared:
        out = Transport(prepared.endpoint, resolve=unknown)
        with pytest.raises(ConnectionFailed):
            await fetch(out)
        await out.aclose()


# --- streams ---


async def test_events_arrive_as_they_are_sent() -> None:
    go = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(response(chunk(b"data: 1\n\n"), headers=[CHUNKED, SSE], length=False))
        await go.wait()
        await talk.send(chunk(b": alive\ndata: 2\n"), chunk(b"\ndata: cut"), b"0\r\n\r\n")
        await talk.gone()

    async with peer(script) as there, transport(there.url()) as out:
        async with out.open("POST", "/chat", model="m", timeout_s=PATIENCE_S) as exchange:
            events = exchange.events()
            assert (await anext(events)).data == "1"
            go.set()
            assert [event.data async for event in events] == ["2"]
        assert out.open_exchanges == 0


async def test_lines_of_json() -> None:
    body = b'{"a": 1}\n\n{"a":' + b' 2}\r\n{"cut": 1'
    async with (
        peer(serving(response(body))) as there,
        transport(there.url(), caps=SMALL) as out,
        out.open("POST", "/chat", model="m", timeout_s=PATIENCE_S) as exchange,
    ):
        assert [line async for line in exchange.lines()] == [b'{"a": 1}', b'{"a": 2}']


@pytest.mark.parametrize("how", ["events", "lines"])
async def test_one_event_that_is_too_long(how: str) -> None:
    body = b"data: " + b"x" * 2_000
    async with peer(saying(response(body, headers=[SSE]))) as there, transport(there.url(), caps=SMALL) as out:
        with pytest.raises(MalformedAnswer, match="1000 bytes"):
            async with out.open("POST", "/chat", model="m", timeout_s=PATIENCE_S) as exchange:
                async for _ in getattr(exchange, how)():
                    pass
        assert out.open_exchanges == 0


@pytest.mark.parametrize("how", ["events", "lines"])
async def test_a_stream_may_be_longer_than_a_body_but_not_without_end(how: str) -> None:
    caps = replace(SMALL, stream_bytes=30_000)
    body = b"data: 1\n\n" * 3_000  # 27,000 bytes

    async def read(script: Script) -> int:
        async with (
            peer(script) as there,
            transport(there.url(), caps=caps) as out,
            out.open("POST", "/chat", model="m", timeout_s=PATIENCE_S) as exchange,
        ):
            return len([found async for found in getattr(exchange, how)()])

    assert await read(serving(response(body, headers=[SSE]))) == 3_000
    with pytest.raises(MalformedAnswer, match="30000 bytes"):
        await read(saying(response(body * 2, headers=[SSE])))


@pytest.mark.parametrize("kind", ["application/json", "text/html", ""])
async def test_a_stream_that_is_none(kind: str) -> None:
    async with peer(saying(response(headers=[f"content-type: {kind}"]))) as there, transport(there.url()) as out:
        with pytest.raises(MalformedAnswer, match="stream of events"):
            async with out.open("POST", "/chat", model="m", timeout_s=PATIENCE_S) as exchange:
                await anext(exchange.events())


PADDING = {
    "comments": b":\n", "blank lines": b"\n", "ids": b"id: 1\n\n", "unknown fields": b"retry: 1\n\n", "CR": b"\r",
}  # fmt: skip


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("how", ["events", "lines"])
async def test_a_stream_of_lines_that_say_nothing_ends(how: str, padding: str) -> None:
    """Some are how a provider keeps a connection alive; a provider that sends only such is none."""
    if how == "lines" and padding not in ("blank lines", "CR"):
        pytest.skip("what is no blank line is JSON, or none")
    caps = replace(SMALL, event_bytes=100_000, stream_bytes=1_000_000, void_lines=2_000)
    line = b"\r\n" if how == "lines" else PADDING[padding]

    async def read(lines: int) -> int:
        body = line * lines + b"data: 1\n\n"
        async with (
            peer(saying(response(body, headers=[SSE]))) as there,
            transport(there.url(), caps=caps) as out,
            out.open("POST", "/chat", model="m", timeout_s=PATIENCE_S) as exchange,
        ):
            return len([found async for found in getattr(exchange, how)()])

    assert await read(1_000) == 1
    with pytest.raises(MalformedAnswer, match="2000 lines"):
        await read(3_000)


@pytest.mark.parametrize("how", ["events", "lines"])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_provider_that_is_never_silent_leaves_time_to_others_and_none_over(how: str, packed: bool) -> None:
    """What is sent faster than it is read never lets the event loop go by itself."""
    pack = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    body = b"data:\n\n" * 20_000
    head = response(headers=[SSE, CHUNKED, *(["content-encoding: gzip"] if packed else [])], length=False, body=b"")

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(head)
        while True:
            await talk.send(chunk(pack.compress(body) + pack.flush(zlib.Z_SYNC_FLUSH) if packed else body))

    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    most = since = turn = 0  # events read while nothing else ran: fewer where the machine is slow
    caps = Caps(response_bytes=1 << 34, stream_bytes=1 << 34, void_lines=1 << 34)
    with peer_elsewhere(script) as there:
        async with transport(there.url(), caps=caps) as out:
            watching = asyncio.create_task(others())
            with pytest.raises(Timeout) as caught:
                async with out.open("POST", "/chat", model="m", timeout_s=1.0) as exchange:
                    async for _ in getattr(exchange, how)():
                        since = since + 1 if turn == turns else 1
                        turn, most = turns, max(most, since)
            watching.cancel()
    assert caught.value.kind is TimeoutKind.TOTAL
    assert caught.value.after_s < 3.0
    assert 1 < most < 6_000, "what comes at once is 18,000 events, packed 2,000,000"


async def test_time_that_the_reader_takes_counts_but_never_cancels_the_reader() -> None:
    body = response(chunk(b"data: 1\n\n"), headers=[CHUNKED, SSE], length=False)
    async with (
        peer(saying(body, close=False)) as there,
        transport(there.url()) as out,
        out.open("POST", "/chat", model="m", timeout_s=0.3) as exchange,
    ):
        events = exchange.events()
        await anext(events)
        await asyncio.sleep(0.4)
        with pytest.raises(Timeout) as caught:
            await anext(events)
        assert caught.value.kind is TimeoutKind.TOTAL


# --- giving back ---


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\n", response(b"a", headers=["content-length: 9"], length=False)]
)
async def test_a_cancelled_call_closes_its_connection(sent: bytes) -> None:
    async with peer(saying(sent, close=False)) as there, transport(there.url(), connections=2) as out:
        for _ in range(5):
            there.busy.clear()
            call = asyncio.ensure_future(fetch(out))
            await there.busy.wait()
            for _ in range(10):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert out.open_exchanges == 0
            await there.idle.wait()
        assert there.accepted == 5, "a pool of two would be exhausted by leaks"


async def test_a_call_cancelled_at_any_step_leaks_nothing() -> None:
    async with peer(serving(response(b"x" * 5_000))) as there, transport(there.url(), connections=1) as out:
        for steps in range(60):
            call = asyncio.ensure_future(fetch(out))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            assert out.open_exchanges == 0
        assert (await fetch(out)).status == 200, "the one connection is free"


async def test_a_stream_left_early_closes_its_connection() -> None:
    async with (
        peer(saying(response(chunk(b"abc"), headers=[CHUNKED], length=False), close=False)) as there,
        transport(there.url(), connections=1) as out,
    ):
        async with out.open("POST", "/chat", model="m", timeout_s=PATIENCE_S) as exchange:
            assert await anext(exchange.pieces()) == b"abc"
        await there.idle.wait()
        with pytest.raises(RuntimeError, match="the reader's own"):
            async with out.open("POST", "/chat", model="m", timeout_s=PATIENCE_S):
                raise RuntimeError("the reader's own")
        await there.idle.wait()


async def test_closing_ends_calls_under_way_and_refuses_later_ones() -> None:
    async with peer(saying(close=False)) as there, transport(there.url()) as out:
        call = asyncio.ensure_future(fetch(out))
        await there.busy.wait()
        await out.aclose()
        with pytest.raises(AdapterClosed):
            await call
        await out.aclose()
        with pytest.raises(AdapterClosed):
            await fetch(out)
        assert out.open_exchanges == 0


@pytest.mark.parametrize(
    "test",
    [
        test_nobody_listens, test_the_peer_hangs_up_at_once, test_the_peer_hangs_up_inside_of_the_head,
        test_no_reply_in_time,
        test_a_full_pool_makes_wait_and_then_fail_before_anything_is_sent, test_events_arrive_as_they_are_sent,
        test_a_call_cancelled_at_any_step_leaks_nothing, test_closing_ends_calls_under_way_and_refuses_later_ones,
    ],
    ids=lambda test: str(test.__name__),
)  # fmt: skip
def test_the_same_on_the_server_s_event_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop.run(test())
