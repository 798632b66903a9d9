"""What a call can fail with: one class for each gRPC code that callers want to tell apart, all NaiadError.

>>> error = NotFound("no such model", reason="ERROR_REASON_UNKNOWN_MODEL", metadata={"model": "a/b"})
>>> error
NotFound('no such model', reason='ERROR_REASON_UNKNOWN_MODEL', metadata={'model': 'a/b'})
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import grpc

from naiad.client.values import Attempt, Exclusion
from naiad.v1.error_reason_pb2 import ErrorReason


@dataclass(frozen=True)
class FieldViolation:
    """One field of the request that breaks a rule."""

    field: str
    description: str


class NaiadError(Exception):
    """A call failed. The facts are fields; none of them holds a prompt, an answer or a key.

    Attributes:
        code: the gRPC status code.
        message: the value, the rule and the remedy, for a person.
        reason: name of the ErrorReason, such as "ERROR_REASON_UNKNOWN_MODEL"; "" when the server gave none,
            for instance because it could not be reached.
        metadata: the facts; error_reason.proto lists the keys of each reason.
        field_violations: the fields at fault.
        retry_after_s: how long the server asks to wait, in seconds; None if it does not.
        request_id: the request id that the call carried; "" for calls that change nothing. A call whose fate
            is not
            known can be repeated with it, without being done twice.
        attempts: calls to providers that were made and failed, where the server tells of them.
    """

    default_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_after_s: float | None = None,
        request_id: str = "",
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.field_violations = field_violations
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.attempts = attempts

    @property
    def error_reason(self) -> ErrorReason | None:
        """The reason as a value of the enum; None when there is none, or one newer than this client."""
        known: dict[str, Any] = dict(ErrorReason.items())
        return known.get(self.reason)

    def __str__(self) -> str:
        reason = self.reason.removeprefix("ERROR_REASON_") or self.code.name
        return f"{reason}: {self.message}"

    def __repr__(self) -> str:
        facts = {
            "code": self.code.name if self.code is not self.default_code else None,
            "reason": self.reason,
            "metadata": self.metadata,
            "field_violations": self.field_violations,
            "retry_after_s": self.retry_after_s,
            "request_id": self.request_id,
        }
        shown = "".join(f", {key}={value!r}" for key, value in facts.items() if value)
        return f"{type(self).__name__}({self.message!r}{shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message), self.__dict__


class InvalidArgument(NaiadError):
    """The request breaks a rule; `field_violations` says which."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(NaiadError):
    """What the request names does not exist."""

    default_code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(NaiadError):
    """What the request would create exists, or its request id was used for another request."""

    default_code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(NaiadError):
    """The state of the service forbids it; repeating does not help."""

    default_code = grpc.StatusCode.FAILED_PRECONDITION


class NoEligibleModel(FailedPrecondition):
    """No model may be used for the request; `excluded` has every model with its reason."""

    def __init__(self, message: str, *, excluded: tuple[Exclusion, ...] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.excluded = excluded


class Aborted(NaiadError):
    """The resource changed since it was read (REVISION_MISMATCH), or a stream was cut."""

    default_code = grpc.StatusCode.ABORTED


class OutOfRange(NaiadError):
    """The cursor is older than what is kept."""

    default_code = grpc.StatusCode.OUT_OF_RANGE


class ResourceExhausted(NaiadError):
    """The server, a rate or a budget is exhausted; `retry_after_s` says for how long, where that is known."""

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(NaiadError):
    """The server cannot be reached, or cannot do this now."""

    default_code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(NaiadError):
    """The time was up. Whether a change was made is not known: repeat it with the same request id."""

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unimplemented(NaiadError):
    """This server does not have the method, or what a field asks for."""

    default_code = grpc.StatusCode.UNIMPLEMENTED


class PermissionDenied(NaiadError):
    """The key does not permit it."""

    default_code = grpc.StatusCode.PERMISSION_DENIED


class Unauthenticated(NaiadError):
    """There is no key, or it is unknown, expired or revoked."""

    default_code = grpc.StatusCode.UNAUTHENTICATED


class Internal(NaiadError):
    """A defect of Naiad; metadata["incident_id"] finds it in the server's log."""

    default_code = grpc.StatusCode.INTERNAL


class Cancelled(NaiadError):
    """The server or the connection cancelled the call."""

    default_code = grpc.StatusCode.CANCELLED


ERRORS: Mapping[grpc.StatusCode, type[NaiadError]] = {
    cls.default_code: cls
    for cls in (
        InvalidArgument, NotFound, AlreadyExists, FailedPrecondition, Aborted, OutOfRange, ResourceExhausted,
        Unavailable, DeadlineExceeded, Unimplemented, PermissionDenied, Unauthenticated, Internal, Cancelled,
    )
}  # fmt: skip


def _rebuild(cls: type[NaiadError], message: str) -> NaiadError:
    """Return an error for unpickling, which then restores its fields."""
    return cls(message)
