"""The one place where an error becomes a gRPC status with its details."""

from __future__ import annotations

from typing import NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from naiad.server.errors import NaiadError
from naiad.v1 import decision_pb2, error_pb2

DOMAIN = "naiad.v1"
_PREFIX = "ERROR_REASON_"
_DETAILS_KEY = "grpc-status-details-bin"


def status_of(error: NaiadError) -> status_pb2.Status:
    """Return the status with exactly one ErrorInfo, and BadRequest and RetryInfo where they apply."""
    code = grpc.StatusCode[error.code]
    status = status_pb2.Status(code=code.value[0], message=error.message)
    _pack(
        status,
        error_details_pb2.ErrorInfo(reason=_PREFIX + error.reason, domain=DOMAIN, metadata=error.metadata),
    )
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        _pack(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in error.details:
        message = _detail(detail)
        if message is not None:
            _pack(status, message)
    return status


def _detail(detail: object) -> Message | None:
    """Return the message for a further fact that an error carries."""
    if isinstance(detail, Message):
        return detail
    if isinstance(detail, tuple) and detail and detail[0] == "excluded":
        return error_pb2.NoEligibleModelDetail(
            excluded=[decision_pb2.Exclusion(model=m, reason=r, detail=d) for m, r, d in detail[1]]
        )
    return None


def _pack(status: status_pb2.Status, message: Message) -> None:
    status.details.add().Pack(message)


async def abort(context: grpc.aio.ServicerContext, error: NaiadError) -> NoReturn:  # type: ignore[type-arg]
    """End the call with an error's status."""
    status = status_of(error)
    trailing: list[tuple[str, str | bytes]] = [(_DETAILS_KEY, status.SerializeToString())]
    if error.retry_after_s is not None:
        trailing.append(("grpc-retry-pushback-ms", str(int(error.retry_after_s * 1000))))
    await context.abort(grpc.StatusCode[error.code], error.message, tuple(trailing))
    raise AssertionError("abort returned")
