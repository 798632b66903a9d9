"""A provider that answers every request with the same small chat completion, as fast as asyncio can.

    python -m benchmarks.answering [FOLDER PORT]

With a folder, it answers with the files `whole` (JSON) and `stream` (server-sent events) in it, by whether the path
begins with /sse.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

BODY = json.dumps({
    "id": "c-1", "object": "chat.completion", "model": "m", "created": 1,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris. " * 20}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140},
}).encode()  # fmt: skip


def reply(kind: str, body: bytes) -> bytes:
    """Return a whole response."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nx-request-id: r-1\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Answering(asyncio.Protocol):
    """Reads requests of a known length, one after the other, and answers each."""

    def __init__(self, whole: bytes, stream: bytes) -> None:
        self._whole, self._stream = whole, stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._got = b""

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._got) < end + 4 + length:
                return
            self._got = self._got[end + 4 + length :]
            self._transport.write(self._stream if head.startswith(b"post /sse") else self._whole)


async def main(folder: Path | None = None, port: int = 0) -> None:
    """Serve until killed."""
    whole = stream = reply("application/json", BODY)
    if folder is not None:
        whole = reply("application/json", (folder / "whole").read_bytes())
        stream = reply("text/event-stream", (folder / "stream").read_bytes())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Answering, whole, stream), "127.0.0.1", port)
    print(f"answering listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else main())
