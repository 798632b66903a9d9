"""Reading streams, for both clients: the pieces of a reply, and watches that go on through breaks.

A reply in pieces is a call like any other until its first piece has come; from then on nothing is repeated.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, TypeVar

import grpc
import grpc.aio

from naiad.client.calls import Streaming
from naiad.client.errors import DeadlineExceeded, Internal, NaiadError, Unavailable
from naiad.client.status import error_of
from naiad.client.watching import Watch

T = TypeVar("T")


def pieces(client: Any, streaming: Streaming[T]) -> Generator[T, None, None]:
    """Yield what a call sends until its end, trying again as long as nothing has come.

    Raises:
        NaiadError: it failed.
    """
    settings, call, begun, ended = client._settings, streaming.call, False, False
    attempts = settings.begin(call)
    while True:
        left_s = attempts.left_s(settings.clock())
        if left_s == 0:
            raise DeadlineExceeded("the time was up before the call", request_id=call.request_id)
        stream = client._rpc(call, streams=True)(call.request, timeout=left_s, metadata=settings.metadata)
        try:
            for reply in stream:
                begun, piece = True, call.parse(reply)
                if piece is not None:
                    ended = streaming.last(piece)
                    yield piece
            if not ended:
                raise Internal("the server ended the stream before its last event", request_id=call.request_id)
            return
        except grpc.RpcError as failure:
            if ended:
                return
            error = error_of(failure, request_id=call.request_id)
            wait = attempts.after(error, now_s=settings.clock(), uniform=settings.uniform())
            if begun or wait is None or client._closed:
                raise error from failure
        finally:
            stream.cancel()  # does nothing where it has ended
        client._sleep(wait.delay_s)
        attempts = wait.then


async def pieces_async(client: Any, streaming: Streaming[T]) -> AsyncGenerator[T, None]:
    """Yield what a call sends until its end, trying again as long as nothing has come.

    Raises:
        NaiadError: it failed.
    """
    settings, call, begun, ended = client._settings, streaming.call, False, False
    attempts = settings.begin(call)
    while True:
        left_s = attempts.left_s(settings.clock())
        if left_s == 0:
            raise DeadlineExceeded("the time was up before the call", request_id=call.request_id)
        stream = client._rpc(call, streams=True)(call.request, timeout=left_s, metadata=settings.metadata)
        try:
            async for reply in stream:
                begun, piece = True, call.parse(reply)
                if piece is not None:
                    ended = streaming.last(piece)
                    yield piece
            if not ended:
                raise Internal("the server ended the stream before its last event", request_id=call.request_id)
            return
        except grpc.aio.AioRpcError as failure:
            if ended:
                return
            error = error_of(failure, request_id=call.request_id)
            wait = attempts.after(error, now_s=settings.clock(), uniform=settings.uniform())
            if begun or wait is None or client._closed:
                raise error from failure
        finally:
            stream.cancel()  # does nothing where it has ended
        await client._sleep(wait.delay_s)
        attempts = wait.then


def follow(client: Any, watch: Watch[T]) -> Generator[T, None, None]:
    """Yield what a stream sends, and open it again at its cursor when it breaks.

    Raises:
        NaiadError: it was refused, or broken for too long.
    """
    settings = client._settings
    state = watch.begin(settings.retry, now_s=settings.clock())
    while True:
        call, left_s = state.next_call(settings.clock())
        stream = client._rpc(call, streams=True)(call.request, timeout=left_s, metadata=settings.metadata)
        try:
            for reply in stream:
                item = call.parse(reply)
                state = state.received(item, now_s=settings.clock())
                yield item
            error: NaiadError = Unavailable("the server ended the stream")
        except grpc.RpcError as failure:
            error = error_of(failure)
        finally:
            stream.cancel()  # does nothing where it has ended
        pause = state.after(error, now_s=settings.clock(), uniform=settings.uniform())
        if pause is None or client._closed:
            raise error
        client._sleep(pause.delay_s)
        state = pause.then


async def follow_async(client: Any, watch: Watch[T]) -> AsyncGenerator[T, None]:
    """Yield what a stream sends, and open it again at its cursor when it breaks.

    Raises:
        NaiadError: it was refused, or broken for too long.
    """
    settings = client._settings
    state = watch.begin(settings.retry, now_s=settings.clock())
    while True:
        call, left_s = state.next_call(settings.clock())
        stream = client._rpc(call, streams=True)(call.request, timeout=left_s, metadata=settings.metadata)
        try:
            async for reply in stream:
                item = call.parse(reply)
                state = state.received(item, now_s=settings.clock())
                yield item
            error: NaiadError = Unavailable("the server ended the stream")
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure)
        finally:
            stream.cancel()  # does nothing where it has ended
        pause = state.after(error, now_s=settings.clock(), uniform=settings.uniform())
        if pause is None or client._closed:
            raise error
        await client._sleep(pause.delay_s)
        state = pause.then
