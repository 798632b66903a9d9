"""Naiad's own errors: each names its reason, its facts and its gRPC code by name; `status.py` turns them into a status.

The reasons are the values of `ErrorReason` in proto/naiad/v1/error_reason.proto without their prefix; a test holds the
two lists against each other, and the codes and metadata keys against the comments there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

_MOST_COMPARED = 100


class NaiadError(Exception):
    """A call cannot be carried out, for a reason that the caller can act on."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        code: str = "INVALID_ARGUMENT",
        metadata: Mapping[str, object] | None = None,
        field: str = "",
        retry_after_s: float | None = None,
        details: Iterable[object] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.code = code
        self.metadata = {key: str(value)[:200] for key, value in (metadata or {}).items()}
        if field:
            self.metadata["field"] = field
        self.field = field
        self.retry_after_s = retry_after_s
        self.details = tuple(details)  # further facts that the wire layer knows how to attach


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like this one, or "" if none does.

    Comparing is slow, so of many names only some are looked at: those that begin alike, if there are any.
    """
    names = list(known)
    if len(names) > _MOST_COMPARED:
        names = [other for other in names if other[:4] == name[:4]] or names
    found = get_close_matches(name, names[:_MOST_COMPARED], n=1, cutoff=0.5)
    return found[0] if found else ""


def _hint(name: str, known: Iterable[str]) -> tuple[str, str]:
    near = nearest(name, known)
    return near, f"; did you mean {near!r}?" if near else ""


def unknown_model(name: str, known: Iterable[str], field: str = "model") -> NaiadError:
    """The model is not in the catalogue."""
    near, hint = _hint(name, known)
    return NaiadError(
        "UNKNOWN_MODEL",
        f"{field} names {name!r}, which is not in the catalogue{hint}; create it with CreateModel or correct the name",
        code="NOT_FOUND",
        metadata={"model": name, "nearest": near},
    )


def unknown_task_class(name: str, known: Iterable[str], *, deciding: bool = False) -> NaiadError:
    """The task class does not exist; deciding: and the call would have created it, had the configuration let it."""
    near, hint = _hint(name, known)
    remedy = "or set [policy] create_task_classes = true" if deciding else "or correct the name"
    return NaiadError(
        "UNKNOWN_TASK_CLASS",
        f"task_class {name!r} does not exist{hint}; create it with CreateTaskClass, {remedy}",
        code="NOT_FOUND",
        metadata={"task_class": name, "nearest": near},
    )


def unknown_attempt(decision_id: str, attempt_id: str) -> NaiadError:
    """No such attempt was made for the decision."""
    return NaiadError(
        "UNKNOWN_ATTEMPT",
        f"attempt_id {attempt_id!r} was not made for this decision; report its outcome first, or leave it empty",
        code="NOT_FOUND",
        metadata={"decision_id": decision_id, "attempt_id": attempt_id},
    )


def request_id_reused(request_id: str, method: str) -> NaiadError:
    """The same request id came with another method or body."""
    return NaiadError(
        "REQUEST_ID_REUSED",
        f"request_id {request_id!r} was used before for another request; "
        "use a new id for a new request, and repeat a request without changing it",
        code="ALREADY_EXISTS",
        metadata={"request_id": request_id, "method": method},
    )


def reply_not_available(request_id: str, method: str) -> NaiadError:
    """The request was carried out before, but its reply is not kept any more."""
    return NaiadError(
        "REPLY_NOT_AVAILABLE",
        f"request_id {request_id!r} was carried out before and its reply is no longer kept; "
        "read the result with GetDecision and ListDecisions instead of repeating it",
        code="ALREADY_EXISTS",
        metadata={"request_id": request_id, "method": method},
    )


def not_implemented(what: str, field: str = "") -> NaiadError:
    """This server does not have the method, or what a field asks for: then the guard adds of which method it is."""
    return NaiadError(
        "NOT_IMPLEMENTED",
        f"{what} is not implemented in this version of the server; leave it out, or update the server",
        code="UNIMPLEMENTED",
        metadata={"method": "" if field else what},
        field=field,
    )


def storage_failed(method: str = "") -> NaiadError:
    """The log could not be written; whether the change was kept is not known."""
    return NaiadError(
        "STORAGE_FAILED",
        "the log could not be written and the server stops; whether the change was kept is not known: "
        "repeat the request with the same request_id once the server is back",
        code="UNAVAILABLE",
        metadata={"method": method},
    )
