"""A real server process on a loopback socket, and a caller that knows the API by its descriptors only."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from naiad.v1 import insight_service_pb2
from tests.fuzz.messages import methods
from tests.server.reasons import check

METHODS = methods()
UNKNOWN_FEEDBACK = "f" + "0" * 16 + "-" + "0" * 16
BASE = """
[server]
listen = "127.0.0.1:0"
[[models]]
name = "echo/small"
input_usd_per_million = 0.1
output_usd_per_million = 0.2
context_window = 8000
capabilities = ["streaming"]
[[models]]
name = "echo/large"
input_usd_per_million = 1.0
output_usd_per_million = 4.0
capabilities = ["vision", "tools", "json_schema", "streaming", "system_prompt"]
"""


@dataclass(eq=False)
class Refusal(Exception):
    """How a call failed: code, and what the status details hold."""

    code: str
    message: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    retry_after_s: float | None = None
    others: tuple[Any, ...] = ()  # further details, as google.protobuf.Any


def refusal_of(failed: grpc.RpcError) -> Refusal:
    """Read a failed call; asserts that a status with details has exactly one ErrorInfo and agrees with the call."""
    error: Any = failed  # the code, the details and the metadata are not part of the base class
    code, message = error.code().name, error.details() or ""
    trailing = error.trailing_metadata() or ()
    found = [value for key, value in trailing if key == "grpc-status-details-bin"]
    if not found:
        return Refusal(code, message)
    status = status_pb2.Status.FromString(found[0])
    assert grpc.StatusCode[code].value[0] == status.code
    assert status.message == message
    infos, bad, retries, others = [], [], [], []
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            infos.append(error_details_pb2.ErrorInfo.FromString(detail.value))
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad.append(error_details_pb2.BadRequest.FromString(detail.value))
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retries.append(error_details_pb2.RetryInfo.FromString(detail.value))
        else:
            others.append(detail)
    assert len(infos) == 1, f"{len(infos)} ErrorInfo in {status}"
    assert infos[0].domain == "naiad.v1"
    delay = retries[0].retry_delay if retries else None
    return Refusal(
        code,
        message,
        infos[0].reason.removeprefix("ERROR_REASON_"),
        dict(infos[0].metadata),
        tuple(v.field for b in bad for v in b.field_violations),
        None if delay is None else delay.seconds + delay.nanos / 1e9,
        tuple(others),
    )


def path_of(method: str) -> str:
    """Return the path of "Service/Method" on the wire."""
    return f"/naiad.v1.{method}"


def build(method: str, fields: Message | dict[str, Any]) -> Message:
    """Return the request message of a method."""
    return fields if isinstance(fields, Message) else GetMessageClass(METHODS[method].input_type)(**fields)


class Caller:
    """Calls methods by name over a channel of its own."""

    def __init__(self, address: str, key: str = "", credentials: grpc.ChannelCredentials | None = None) -> None:
        self.address = address
        self.metadata = (("authorization", f"Bearer {key}"),) if key else ()
        options = [("grpc.max_send_message_length", -1)]
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options=options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options=options)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _callable(self, method: str) -> Any:
        output = GetMessageClass(METHODS[method].output_type)
        streams = METHODS[method].server_streaming
        return (self._channel.unary_stream if streams else self._channel.unary_unary)(
            path_of(method), request_serializer=lambda m: m.SerializeToString(), response_deserializer=output.FromString
        )

    def call(
        self, method: str, request: Message | None = None, *, timeout_s: float | None = 20.0, **fields: Any
    ) -> Any:
        """Call a method that ends by itself, and return its reply, a list of them for a stream; raises Refusal."""
        message = build(method, fields if request is None else request)
        try:
            reply = self._callable(method)(message, timeout=timeout_s, metadata=self.metadata)
            return list(reply) if METHODS[method].server_streaming else reply
        except grpc.RpcError as error:
            raise refusal_of(error) from error

    def refused(self, method: str, request: Message | None = None, **fields: Any) -> Refusal:
        """Call a method that must be refused; checks the refusal against the documented catalogue."""
        with pytest.raises(Refusal) as caught:
            self.call(method, request, **fields)
        refusal = caught.value
        if refusal.reason:
            check(refusal.reason, refusal.code, refusal.metadata)
            if "field" in refusal.metadata:
                assert refusal.metadata["field"] in refusal.fields
        return refusal

    # -- state -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until everything queued before is committed: a retraction of nothing passes the journal in order."""
        refusal = self.refused("FeedbackService/RetractFeedback", feedback_id=UNKNOWN_FEEDBACK)
        assert refusal.reason == "UNKNOWN_FEEDBACK"

    def arms(self, **fields: Any) -> insight_service_pb2.ListArmsResponse:
        """Return every arm, after everything queued is committed."""
        self.settle()
        reply: insight_service_pb2.ListArmsResponse = self.call("InsightService/ListArms", page_size=1_000, **fields)
        return reply

    def state(self) -> tuple[bytes, bytes]:
        """Return what no refused call may change: place in the log with every arm, and the catalogue."""
        arms = self.arms().SerializeToString(deterministic=True)
        return arms, self.catalogue()

    def catalogue(self) -> bytes:
        """Return models and task classes."""
        models = self.call("CatalogService/ListModels", page_size=1_000)
        classes = self.call("CatalogService/ListTaskClasses", page_size=1_000)
        return bytes(models.SerializeToString(deterministic=True) + classes.SerializeToString(deterministic=True))

    def verify(self) -> Any:
        """Return VerifyLog's reply after asserting that live and replayed state are equal."""
        reply = self.call("AdminService/VerifyLog", timeout_s=60.0)
        assert reply.statistics_equal
        assert reply.beliefs_equal
        assert reply.budgets_equal
        return reply

    # -- short ways ------------------------------------------------------------------------------------------------

    def decide(self, task_class: str = "e2e", **fields: Any) -> Any:
        """Decide for a request of 100 tokens."""
        return self.call("RouterService/Decide", task_class=task_class, input_tokens=100, **fields)

    def outcome(self, decision_id: str, **fields: Any) -> Any:
        """Report an attempt that succeeded."""
        values: dict[str, Any] = {"input_tokens": 100, "output_tokens": 50, "latency": {"nanos": 250_000_000}} | fields
        return self.call("FeedbackService/ReportOutcome", decision_id=decision_id, **values)

    def score(self, decision_id: str, score: float, source: int = 1, **fields: Any) -> Any:
        """Report a human's score, or another source's."""
        return self.call(
            "FeedbackService/ReportFeedback", decision_id=decision_id, score=score, source=source, **fields
        )


class Process:
    """`naiad serve` as a process of its own."""

    def __init__(self, folder: Path, config: str | None = BASE, *arguments: str) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "naiad.server", "serve", "--data-dir", str(folder / "data"), *arguments]
        if config is not None:
            file = folder / "naiad.toml"
            file.write_text(config, encoding="utf-8")
            command += ["--config", str(file)]
        if "--listen" not in arguments:
            command += ["--listen", "127.0.0.1:0"]
        self._errors = open(folder / "stderr.txt", "ab")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=folder, env=dict(os.environ)
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("naiad listening on "):
            self.process.wait(20)
            raise RuntimeError(f"the server did not start ({self.process.returncode}): {self.errors()}")
        self.address = line.removeprefix("naiad listening on ").strip()

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.folder / "data" / "naiad.db"

    def errors(self) -> str:
        """Return what the server wrote to standard error."""
        return (self.folder / "stderr.txt").read_text(encoding="utf-8", errors="replace")

    def stop(self, number: int = signal.SIGTERM, wait_s: float = 40.0) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(wait_s)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()
        return code


@dataclass
class Live:
    """A served process with a caller."""

    process: Process
    caller: Caller


@contextmanager
def live(
    folder: Path, config: str | None = BASE, *arguments: str, key: str = "",
    credentials: grpc.ChannelCredentials | None = None,
) -> Iterator[Live]:  # fmt: skip
    """Serve for the length of a block; asserts that the server ends well."""
    folder.mkdir(parents=True, exist_ok=True)
    process = Process(folder, config, *arguments)
    caller = Caller(process.address, key, credentials)
    try:
        yield Live(process, caller)
    finally:
        caller.close()
        code = process.stop()
    assert code == 0, process.errors()


async def gather_calls(address: str, method: str, requests: list[Any], timeout_s: float = 60.0) -> list[Any]:
    """Call a method with all requests at once; return replies and Refusals in their order."""
    output = GetMessageClass(METHODS[method].output_type)
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(
            path_of(method), request_serializer=lambda m: m.SerializeToString(), response_deserializer=output.FromString
        )

        async def one(request: Any) -> Any:
            try:
                return await call(build(method, request), timeout=timeout_s)
            except grpc.aio.AioRpcError as error:
                return refusal_of(error)

        return await asyncio.gather(*(one(request) for request in requests))
