"""The server of bar B10: one method has a defect, so that there are tracebacks; and, if so wished, a sabotage.

Run like `naiad`: `python identity.py serve --data-dir DIR`. The environment variable B10_SABOTAGE names the sabotage.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

import structlog

from naiad.adapters.secret import Secret
from naiad.server import keyring
from naiad.server.authorization import Role
from naiad.server.cli import main
from naiad.server.credentials import Caller
from naiad.server.errors import NaiadError
from naiad.server.guard import Guard
from naiad.server.identity import Identity
from naiad.server.keyring import KeyRing
from naiad.server.rpc_router import RouterServicer

DEFECT = "b10.defect"
log = structlog.get_logger(__name__)


def defect() -> None:
    """Let Decide fail for one task class, with all that must not be told in its local variables."""
    decide = RouterServicer.Decide

    async def Decide(self: RouterServicer, request: Any, context: Any) -> Any:
        told = (list(context.invocation_metadata()), str(request))
        if request.task_class == DEFECT:
            raise RuntimeError(f"a defect that saw {len(told)} things")
        return await decide(self, request, context)

    RouterServicer.Decide = Decide  # type: ignore[method-assign]


def metadata_logged() -> None:
    """Log what a refusal was about, metadata and all."""
    caller = Identity.caller

    def logged(self: Identity, method: str, metadata: Any) -> Caller:
        try:
            return caller(self, method, metadata)
        except NaiadError as error:
            log.info("call_refused", error=f"{error}: {list(metadata or ())}")
            raise

    Identity.caller = logged  # type: ignore[method-assign]


def row_skipped() -> None:
    """Forget the row of one method."""
    check = Identity.check

    def skipped(self: Identity, caller: Caller, method: str, role: Role) -> None:
        check(self, caller, method, Role.CLIENT if method == "AdminService/ListKeys" else role)

    Identity.check = skipped  # type: ignore[method-assign]


def cached_by_prefix() -> None:
    """Remember who sent a credential by its first twenty characters."""
    authenticate, kept = KeyRing.authenticate, dict[str, Caller]()

    def cached(self: KeyRing, credential: str | None) -> Caller | None:
        prefix = (credential or "")[:20]
        if prefix in kept:
            return kept[prefix]
        caller = authenticate(self, credential)
        if caller is not None and prefix:
            kept[prefix] = caller
        return caller

    KeyRing.authenticate = cached  # type: ignore[method-assign]


def streams_left_open() -> None:
    """End no stream when its credential does."""
    Guard.recheck = lambda self: None  # type: ignore[method-assign]


def tenants_shared() -> None:
    """Serve everybody with the first tenant's state."""
    authenticate = KeyRing.authenticate

    def shared(self: KeyRing, credential: str | None) -> Caller | None:
        caller = authenticate(self, credential)
        return None if caller is None else dataclasses.replace(caller, tenant=0)

    KeyRing.authenticate = shared  # type: ignore[method-assign]


def secret_kept() -> None:
    """Write new secrets into the audit trail."""
    made: list[Secret] = []
    module: Any = keyring
    new_secret, put = module.new_secret, KeyRing._put

    def remembered(key_id: str) -> Secret:
        made.append(new_secret(key_id))
        return made[-1]

    async def told(self: KeyRing, caller: Any, key: Any, request: Any, facts: Any, why: str = "") -> None:
        await put(self, caller, key, request, {**facts, "secret": made[-1].reveal()}, why)

    module.new_secret = remembered
    KeyRing._put = told  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {
    found.__name__: found
    for found in (metadata_logged, row_skipped, cached_by_prefix, streams_left_open, tenants_shared, secret_kept)
}

if __name__ == "__main__":
    defect()
    if wanted := os.environ.get("B10_SABOTAGE"):
        SABOTAGES[wanted]()
    sys.exit(main())
