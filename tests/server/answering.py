"""A CheckService on a loopback socket, which answers as it is told and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc

from naiad.server.callback_channel import METHOD
from naiad.v1.check_service_pb2 import CheckAnswerRequest, CheckAnswerResponse

Say: TypeAlias = CheckAnswerResponse | bytes | Callable[[CheckAnswerRequest, Any], Awaitable[CheckAnswerResponse]]
"""What is said: a response, bytes instead of one, or what makes one of the request and gRPC's context."""

YES, NO = CheckAnswerResponse(accepted=True), CheckAnswerResponse(accepted=False)


class Reviewer:
    """Answers with what is in `say`."""

    def __init__(self, say: Say = YES) -> None:
        self.say = say
        self.asked: list[CheckAnswerRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.left_s: list[float] = []
        self.under_way = self.most = self.cancelled = 0
        self.peers: set[str] = set()

    def service(self, call: Any) -> Any:
        """Return the handler of a call, None for another method than CheckAnswer."""
        return grpc.unary_unary_rpc_method_handler(self._answer) if call.method == METHOD else None

    async def reaches(self, count: int) -> None:
        """Wait until so many questions are under way."""
        async with asyncio.timeout(10.0):
            while self.under_way != count:  # noqa: ASYNC110 - gRPC says nothing of it
                await asyncio.sleep(0.01)

    async def _answer(self, data: bytes, context: Any) -> bytes:
        request = CheckAnswerRequest.FromString(data)
        self.asked.append(request)
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
        self.left_s.append(context.time_remaining())
        self.peers.add(context.peer())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            said = self.say
            if callable(said):
                said = await said(request, context)
            return said if isinstance(said, bytes) else said.SerializeToString()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1


async def never(request: CheckAnswerRequest, context: Any) -> CheckAnswerResponse:
    """Wait until the call is cancelled."""
    await asyncio.sleep(3_600.0)
    return YES


def ends_with(code: grpc.StatusCode, words: str = "it says so") -> Say:
    """Return what ends each call with a status."""

    async def end(request: CheckAnswerRequest, context: Any) -> CheckAnswerResponse:
        await context.abort(code, words)
        raise AssertionError

    return end


@asynccontextmanager
async def answering(
    reviewer: Reviewer, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[int]:
    """Serve it on loopback, and yield the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((reviewer,))  # type: ignore[arg-type]
    address = f"127.0.0.1:{port}"
    bound = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(grace=None)
