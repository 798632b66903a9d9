"""The load's own HTTP/2 client: it must see every failure that a server puts into its trailers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from benchmarks.wire import Connection, Reply, WireError, status_of

ECHO, BIG, REFUSE, FAIL = "T/Echo", "T/Big", "T/Refuse", "T/Fail"


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (b"\x00\x0bgrpc-status\x010", "0"),
        (b"\x40\x0bgrpc-status\x0213", "13"),
        (b"\x20\x10\x0bgrpc-status\x018\x00\x0cgrpc-message\x04busy", "8"),
        (b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x012", "2"),
        (b"\x88", "missing"),
        (b"\x3f\xe1\x1f\x00\x0bgrpc-status\x010", "0"),
    ],
)
def test_status_is_read_from_header_blocks(block: bytes, status: str) -> None:
    assert status_of(block) == status


class Handler(grpc.GenericRpcHandler):
    """Answers in every way that matters to the client, on bytes."""

    def service(self, details: Any) -> Any:
        """Return the handler of a method."""
        kind = details.method.removeprefix("/naiad.v1.")

        async def answer(request: bytes, context: Any) -> bytes:
            if kind == REFUSE:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "später", ((("x-bin"), b"\x00\x01"),))
            if kind == FAIL:
                raise ValueError("a defect")
            return request * 10_000 if kind == BIG else request

        return grpc.unary_unary_rpc_method_handler(answer) if kind in (ECHO, BIG, REFUSE, FAIL) else None


@pytest.fixture
async def address() -> AsyncIterator[str]:
    options = [(f"grpc.server.max_pending_requests{hard}", 100_000) for hard in ("", "_hard_limit")]
    server = grpc.aio.server(handlers=(Handler(),), options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def exchange(address: str, calls: list[tuple[str, bytes]], at_once: int = 200) -> list[Reply]:
    """Make so many calls at a time; return the replies in the order of the calls."""
    connection = Connection(address)
    streams = []
    found: dict[int, Reply] = {}
    for start in range(0, len(calls), at_once):
        streams += [connection.send(method, message) for method, message in calls[start : start + at_once]]
        for _ in range(5_000):
            found |= {reply.stream: reply for reply in connection.receive(0.1)}
            if not connection.in_flight:
                break
    assert sum(connection.statuses.values()) == len(calls)
    connection.close()
    return [found[stream] for stream in streams]


async def in_thread(address: str, calls: list[tuple[str, bytes]]) -> list[Reply]:
    """Exchange off the server's loop."""
    import asyncio

    return await asyncio.to_thread(exchange, address, calls)


async def test_statuses_and_messages(address: str) -> None:
    calls = [(ECHO, b"a"), (REFUSE, b"b"), (FAIL, b"c"), ("T/Nothing", b"d"), (ECHO, b""), (BIG, b"0123456789")]
    replies = await in_thread(address, calls * 3)
    assert [reply.status for reply in replies] == ["0", "8", "2", "12", "0", "0"] * 3
    assert replies[0].message == b"a"
    assert replies[4].message == b""
    assert replies[5].message == b"0123456789" * 10_000


async def test_more_than_the_servers_window_goes_out_in_order(address: str) -> None:
    """The window of a connection is 64 KiB at first: most of 500 KB has to wait for the server to open it."""
    calls = [(ECHO, bytes([i % 251]) * 500) for i in range(1_000)]
    replies = await in_thread(address, calls)
    assert [reply.message for reply in replies] == [message for _, message in calls]
    assert {reply.status for reply in replies} == {"0"}


def data_bytes(peer: socket.socket) -> int:
    """Read what has arrived after the preface and return how many bytes of DATA payload it holds."""
    peer.settimeout(0.3)
    read = bytearray()
    with contextlib.suppress(TimeoutError):
        for _ in range(10_000):
            read += peer.recv(1 << 16)
    at, total = 24 if read.startswith(b"PRI ") else 0, 0
    while at < len(read):
        length = int.from_bytes(read[at : at + 3], "big")
        total += length if read[at + 3] == 0 else 0
        at += 9 + length
    return total


def test_data_and_nothing_else_counts_against_the_window() -> None:
    """Heads counted too would close the window for good; messages sent beyond it would break the protocol."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(f"127.0.0.1:{listener.getsockname()[1]}")
        peer, _ = listener.accept()
        with peer, contextlib.closing(connection):
            for _ in range(1_000):
                connection.send(ECHO, bytes(100))  # 105 bytes of data each
            connection.receive(0.0)
            assert data_bytes(peer) == 65_535 // 105 * 105
            peer.sendall(b"\x00\x00\x04\x08\x00" + bytes(4) + (3 * 105).to_bytes(4, "big"))  # WINDOW_UPDATE
            connection.receive(5.0)
            connection.receive(0.0)
            assert data_bytes(peer) == 3 * 105


async def test_a_server_that_goes_away_is_an_error(address: str) -> None:
    with pytest.raises((WireError, OSError)):
        await in_thread("127.0.0.1:9", [(ECHO, b"x")])


def test_a_message_beyond_one_frame_is_refused() -> None:
    connection = Connection.__new__(Connection)
    with pytest.raises(ValueError, match="sends up to"):
        connection.send(ECHO, bytes(20_000))
