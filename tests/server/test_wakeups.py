"""gRPC's wake-ups are read at once; the rest of a socket stays what it was."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from naiad.server.wakeups import Drained, drained_pair

_LOOK = """
import asyncio, gc, socket
import grpc.aio
from naiad.server.wakeups import Drained, take_all_at_once

async def main():
    made = socket.socketpair
    take_all_at_once()
    take_all_at_once()
    assert socket.socketpair is made
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(sum(isinstance(item, Drained) for item in gc.get_objects()))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await asyncio.wait_for(channel.channel_ready(), 20.0)
    await server.stop(None)

asyncio.run(main())
"""


def test_one_read_takes_every_byte_but_one_which_has_the_queue_looked_at_again() -> None:
    read, write = drained_pair()
    with read, write:
        read.setblocking(False)
        write.sendall(b"1" * 250)
        assert read.recv(1) == b"1" * 249
        assert read.recv(1) == b"1"
        with pytest.raises(BlockingIOError):
            read.recv(1)
        write.close()
        assert read.recv(1) == b""


def test_only_the_end_that_is_read_differs() -> None:
    read, write = drained_pair(socket.AF_UNIX, type=socket.SOCK_STREAM)
    with read, write:
        assert isinstance(read, Drained)
        assert type(write) is socket.socket
        assert read.type == write.type == socket.SOCK_STREAM


def test_grpc_takes_the_pair_and_works() -> None:
    """A process of its own: here gRPC may have started already. Fails should gRPC make its pair otherwise one day."""
    done = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1"]
