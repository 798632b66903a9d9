"""A reader of WatchArms that keeps the table its comments describe, and breaks off wherever a test likes."""

from __future__ import annotations

from typing import Any

import grpc

from naiad.v1 import insight_pb2, insight_service_pb2
from tests.e2e.live import path_of, refusal_of

Response = insight_service_pb2.WatchArmsResponse
Key = tuple[str, str]
PATIENCE_S = 120.0  # ends a test that would hang
NARROW = [  # what gRPC itself buffers for a reader that does not read: as little as HTTP/2 begins with
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 65_535),
]
QUICK = {"nanos": 100_000_000}


class Reader:
    """A table of arms, and the stream that feeds it."""

    def __init__(self, address: str, *, cursor: str = "", patience_s: float = PATIENCE_S, **fields: Any) -> None:
        self._channel = grpc.insecure_channel(address, options=NARROW)
        self._call: Any = self._channel.unary_stream(
            path_of("InsightService/WatchArms"),
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=Response.FromString,
        )
        self._patience_s = patience_s
        self._fields = {"interval": QUICK} | fields
        self.cursor = cursor
        self.table: dict[Key, insight_pb2.Arm] = {}
        self.responses: list[Response] = []  # of the stream that is open
        self.stream: Any = None

    def open(self) -> None:
        """Begin, or go on from the last cursor."""
        request = insight_service_pb2.WatchArmsRequest(cursor=self.cursor, **self._fields)
        self.responses = []
        self.stream = self._call(request, timeout=self._patience_s)

    def read(self) -> Response:
        """Take one response over; raises Refusal when the stream has ended."""
        try:
            response: Response = next(self.stream)
        except grpc.RpcError as error:
            raise refusal_of(error) from error
        if response.restart:
            self.table.clear()
        for arm in response.arms:
            self.table[arm.task_class, arm.model] = arm
        for name in response.removed:
            self.table.pop((name.task_class, name.model), None)
        self.cursor = response.cursor
        self.responses.append(response)
        return response

    def catch_up(self, sequence: int) -> Response:
        """Read up to a checkpoint that knows of every event up to a place in the log."""
        while not ((response := self.read()).checkpoint and response.sequence >= sequence):
            pass
        return response

    def close(self) -> None:
        """Break off."""
        if self.stream is not None:
            self.stream.cancel()
        self._channel.close()


def table_of(arms: Any) -> dict[Key, insight_pb2.Arm]:
    """Return ListArms' arms as a reader's table."""
    return {(arm.task_class, arm.model): arm for arm in arms}
