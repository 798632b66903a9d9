"""A bare grpc.aio server that answers Decide and ReportFeedback with messages prepared beforehand: the yardstick.

    python -m benchmarks.echo DECIDE_RESPONSE_FILE REPORT_FEEDBACK_RESPONSE_FILE [COMPLETE_RESPONSE_FILE]

It uses the generated servicers as any service does: requests are parsed, replies serialised, and nothing else happens.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc

from naiad.v1 import (
    feedback_service_pb2,
    feedback_service_pb2_grpc,
    router_service_pb2,
    router_service_pb2_grpc,
)


class Router(router_service_pb2_grpc.RouterServiceServicer):
    """Answers every Decide with one message, and every Complete with another."""

    def __init__(
        self, reply: router_service_pb2.DecideResponse, completed: router_service_pb2.CompleteResponse
    ) -> None:
        self._reply, self._completed = reply, completed

    async def Decide(self, request: Any, context: Any) -> router_service_pb2.DecideResponse:
        """Answer."""
        return self._reply

    async def Complete(self, request: Any, context: Any) -> router_service_pb2.CompleteResponse:
        """Answer."""
        return self._completed


class Feedback(feedback_service_pb2_grpc.FeedbackServiceServicer):
    """Answers every ReportFeedback with one message."""

    def __init__(self, reply: feedback_service_pb2.ReportFeedbackResponse) -> None:
        self._reply = reply

    async def ReportFeedback(self, request: Any, context: Any) -> feedback_service_pb2.ReportFeedbackResponse:
        """Answer."""
        return self._reply


async def serve(decided: bytes, judged: bytes, completed: bytes = b"") -> None:
    """Listen on a free port of the loopback, say which, and serve until SIGTERM."""
    pending = [
        (f"grpc.server.max_pending_requests{hard}", 100_000) for hard in ("", "_hard_limit")
    ]  # or it sheds calls
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), *pending])
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(
        Router(
            router_service_pb2.DecideResponse.FromString(decided),
            router_service_pb2.CompleteResponse.FromString(completed),
        ),
        server,
    )
    feedback_service_pb2_grpc.add_FeedbackServiceServicer_to_server(
        Feedback(feedback_service_pb2.ReportFeedbackResponse.FromString(judged)), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await server.start()
    print(f"echo listening on 127.0.0.1:{port}", flush=True)
    await stop.wait()
    await server.stop(1.0)


if __name__ == "__main__":
    asyncio.run(serve(*(Path(name).read_bytes() for name in sys.argv[1:4])))
