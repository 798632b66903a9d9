"""From a call's metadata to who calls, and whether they may: authenticate, then look the role up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import structlog

from naiad.server.authorization import Role
from naiad.server.credentials import Caller
from naiad.server.errors import NaiadError
from naiad.server.keyring import KeyRing

log = structlog.get_logger(__name__)

CALLER: ContextVar[Caller] = ContextVar("caller")  # of the call that is being served; the guard sets it
_HEADER, _SCHEME = "authorization", "bearer "


class Identity:
    """Tells who calls by the keys."""

    def __init__(self, keys: KeyRing, now_ms: Callable[[], int]) -> None:
        self.keys = keys
        self._now_ms = now_ms

    def caller(self, method: str, metadata: Iterable[tuple[str, Any]] | None) -> Caller:
        """Return who calls; raises NaiadError UNAUTHENTICATED."""
        given = [value for key, value in metadata or () if key == _HEADER]
        caller = None
        if not given:
            caller = self.keys.authenticate(None)
        elif len(given) == 1 and given[0][: len(_SCHEME)].lower() == _SCHEME:
            caller = self.keys.authenticate(given[0][len(_SCHEME) :])
        if caller is None:
            log.debug("call_refused", method=method, reason="UNAUTHENTICATED", key_id="")
            raise unauthenticated(given=bool(given))
        return caller

    def check(self, caller: Caller, method: str, role: Role) -> None:
        """Raise NaiadError PERMISSION_DENIED for a caller whose role is below the one that a method asks for."""
        if caller.role < role:
            log.debug("call_refused", method=method, reason="PERMISSION_DENIED", key_id=caller.key_id)
            raise _denied(method, caller.role, role)

    def end_s(self, caller: Caller, end_s: float | None) -> float | None:
        """Return the loop's time at which a stream ends: its own end (None for never), or that of the credential."""
        until_ms = self.keys.end_of(caller)
        if until_ms is None:
            return end_s
        until_s = asyncio.get_running_loop().time() + max(0, until_ms - self._now_ms() + 1) / 1e3  # surely after it
        return until_s if end_s is None else min(end_s, until_s)

    def over(self, caller: Caller) -> bool:
        """Return whether a caller's credential has ended."""
        until_ms = self.keys.end_of(caller)
        return until_ms is not None and until_ms <= self._now_ms()


def unauthenticated(*, given: bool) -> NaiadError:
    """There is no credential, or none that opens anything: of which kind, nobody is told."""
    what = "the credential is unknown, expired or revoked" if given else "there is no credential"
    return NaiadError(
        "UNAUTHENTICATED", f"{what}; send a valid key as \"authorization: Bearer KEY\"",
        code="UNAUTHENTICATED", metadata={"scheme": "Bearer"},
    )  # fmt: skip


def _denied(method: str, role: Role, required: Role) -> NaiadError:
    return NaiadError(
        "PERMISSION_DENIED",
        f"{method} asks for the role {required.name.lower()}, and the credential has {role.name.lower()}; "
        "use a credential with the required role",
        code="PERMISSION_DENIED",
        metadata={"method": method, "role": role.name.lower(), "required": required.name.lower()},
    )
