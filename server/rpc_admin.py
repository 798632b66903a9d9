"""AdminService: keys, budgets, the audit trail, and proof that the log folds to what is served; more is to come."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from typing import IO, Any

import msgspec
import structlog

from naiad.server import render
from naiad.server.audit_check import check
from naiad.server.budget_changes import BudgetChanges
from naiad.server.config import Config
from naiad.server.convert import number, request_of, text_id
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.journal import Journal
from naiad.server.keyring import KeyRing
from naiad.server.paging import slice_page
from naiad.server.records import BudgetPut
from naiad.server.replay import Digests, frame, settings_of
from naiad.server.rpc_audit import digest, list_events
from naiad.server.rpc_budgets import budget_changes, budget_from_proto, budget_to_proto
from naiad.server.rpc_keys import Keys
from naiad.server.store.base import Store, StoreCorrupt
from naiad.v1 import admin_pb2, admin_service_pb2, admin_service_pb2_grpc

log = structlog.get_logger(__name__)
_OURS = "naiad: "  # begins what the command line complains of
_STEP = 500  # events read at a time, so that no acknowledgement waits long


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """Keys, budgets, audit, backups and proof."""

    def __init__(
        self, journal: Journal, engine: Engine, store: Store, config: Config, budgets: BudgetChanges, keys: KeyRing,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._journal = journal
        self._engine = engine
        self._store = store
        self._config = config
        self._budgets = budgets
        self._now_ms = now_ms
        self._keys = Keys(keys, engine)

    async def CreateKey(self, request: Any, context: Any) -> admin_service_pb2.CreateKeyResponse:
        """Make a key."""
        return await self._keys.create(request)

    async def ListKeys(self, request: Any, context: Any) -> admin_service_pb2.ListKeysResponse:
        """List keys."""
        return self._keys.list(request)

    async def RotateKey(self, request: Any, context: Any) -> admin_service_pb2.RotateKeyResponse:
        """Give a key a new secret."""
        return await self._keys.rotate(request)

    async def RevokeKey(self, request: Any, context: Any) -> admin_service_pb2.RevokeKeyResponse:
        """End a key."""
        return await self._keys.revoke(request)

    async def CreateBudget(self, request: Any, context: Any) -> admin_service_pb2.CreateBudgetResponse:
        """Add a budget."""
        wanted = budget_from_proto(request.budget)
        entry = await self._budgets.create(wanted, request_of("AdminService/CreateBudget", request))
        return admin_service_pb2.CreateBudgetResponse(budget=self._shown([entry])[0])

    async def GetBudget(self, request: Any, context: Any) -> admin_service_pb2.GetBudgetResponse:
        """Return one budget."""
        entry = self._budgets.known(text_id(request.budget_id, "budget_id", required=True))
        return admin_service_pb2.GetBudgetResponse(budget=self._shown([entry])[0])

    async def ListBudgets(self, request: Any, context: Any) -> admin_service_pb2.ListBudgetsResponse:
        """List the budgets by id."""
        entries = self._engine.ceilings.entries()
        page, following = slice_page(entries, request.page_size, request.page_token, "budgets", self._engine.tenant)
        return admin_service_pb2.ListBudgetsResponse(budgets=self._shown(page), next_page_token=following)

    async def UpdateBudget(self, request: Any, context: Any) -> admin_service_pb2.UpdateBudgetResponse:
        """Change the name or the limit of a budget."""
        text_id(request.budget.budget_id, "budget.budget_id", required=True)
        wanted, changed = budget_changes(request.budget, request.update_mask.paths)
        entry = await self._budgets.update(
            wanted, changed, request.budget.revision, request_of("AdminService/UpdateBudget", request)
        )
        return admin_service_pb2.UpdateBudgetResponse(budget=self._shown([entry])[0])

    async def DeleteBudget(self, request: Any, context: Any) -> admin_service_pb2.DeleteBudgetResponse:
        """Remove a budget."""
        budget_id = text_id(request.budget_id, "budget_id", required=True)
        await self._budgets.delete(budget_id, request.revision, request_of("AdminService/DeleteBudget", request))
        return admin_service_pb2.DeleteBudgetResponse()

    async def ListAuditEvents(self, request: Any, context: Any) -> admin_service_pb2.ListAuditEventsResponse:
        """List the audit trail, the latest first."""
        await self._journal.written()
        return await list_events(self._store, request, self._engine.tenant)

    async def VerifyAudit(self, request: Any, context: Any) -> admin_service_pb2.VerifyAuditResponse:
        """Check the audit trail entry by entry."""
        known = digest(request.known_digest, "known_digest")
        stands, upto = await self._journal.trail()
        found = await check(self._store, stands, upto, known)
        return admin_service_pb2.VerifyAuditResponse(
            intact=found.intact,
            events_checked=found.entries,
            first_broken_sequence=found.first_broken,
            last_digest=found.last.digest,
        )

    def _shown(self, entries: Sequence[BudgetPut]) -> list[admin_pb2.Budget]:
        standings = self._engine.ceilings.standings(entries, self._now_ms())
        return [budget_to_proto(entry, standing) for entry, standing in zip(entries, standings, strict=True)]

    async def VerifyLog(self, request: Any, context: Any) -> admin_service_pb2.VerifyLogResponse:
        """Fold the log from event 0 in a process of its own and compare with what is served, bit for bit."""
        began = time.monotonic()
        live: Digests = await self._journal.probe(lambda: Digests.of(self._engine))
        until = int(number(request.until_sequence, "until_sequence", 0, live.sequence))
        replayed = await self._replay(until or live.sequence)
        if until:
            return admin_service_pb2.VerifyLogResponse(
                events_folded=replayed.events,
                sequence=replayed.sequence,
                replayed_statistics_digest=bytes.fromhex(replayed.statistics),
                replayed_beliefs_digest=bytes.fromhex(replayed.beliefs),
                replayed_budgets_digest=bytes.fromhex(replayed.budgets),
                elapsed=render.duration(time.monotonic() - began),
            )
        return admin_service_pb2.VerifyLogResponse(
            events_folded=replayed.events,
            sequence=live.sequence,
            live_statistics_digest=bytes.fromhex(live.statistics),
            replayed_statistics_digest=bytes.fromhex(replayed.statistics),
            live_beliefs_digest=bytes.fromhex(live.beliefs),
            replayed_beliefs_digest=bytes.fromhex(replayed.beliefs),
            live_budgets_digest=bytes.fromhex(live.budgets),
            replayed_budgets_digest=bytes.fromhex(replayed.budgets),
            statistics_equal=live.statistics == replayed.statistics,
            beliefs_equal=live.beliefs == replayed.beliefs,
            budgets_equal=live.budgets == replayed.budgets,
            elapsed=render.duration(time.monotonic() - began),
        )

    async def _replay(self, upto: int) -> Digests:
        with tempfile.TemporaryFile() as complaints:
            process = await _replaying_process(complaints)
            try:
                # A thread at a time: a call that held one while it waits for another would lock calls out together.
                with contextlib.suppress(BrokenPipeError):  # it ends early where it finds damage
                    await self._feed(process.stdin, upto)
                output = await asyncio.to_thread(process.stdout.read)  # a line, so that it waits for no reader
                code = await asyncio.to_thread(process.wait)
                if code != 0:
                    complaints.seek(0)
                    raise _not_replayed(code, complaints.read().decode(errors="replace").strip())
            except StoreCorrupt as error:
                raise _damaged(str(error)) from error
            finally:
                _end(process)
        return msgspec.json.decode(output, type=Digests)

    async def _feed(self, pipe: IO[bytes], upto: int) -> None:
        """Send the settings and the events up to a sequence, and close the pipe."""
        await asyncio.to_thread(pipe.write, settings_of(self._config))
        position = 0
        while position < upto:
            rows = await self._store.events(position, min(_STEP, upto - position))
            frames = b"".join(frame(row.sequence, row.payload) for row in rows if row.sequence <= upto)
            await asyncio.to_thread(pipe.write, frames)
            position = rows[-1].sequence if rows else upto
        await asyncio.to_thread(pipe.close)


async def _replaying_process(complaints: IO[bytes]) -> Any:
    """Start the process, in a thread: forked by the loop, beside gRPC's threads, it now and then had its pipes closed.

    In a session of its own, the terminal's Ctrl-C, which lets the server finish its calls, does not reach it.
    """
    command = [sys.executable, "-m", "naiad.server", "replay", "--from-stdin"]
    starting = asyncio.ensure_future(
        asyncio.to_thread(
            subprocess.Popen, command,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True,
        )
    )  # fmt: skip
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        _end(await starting)
        raise
    except OSError as error:
        raise _failed(f"cannot be started: {error.strerror}", type(error).__name__) from error


def _end(process: Any) -> None:
    """Kill the process with all that it started, collect it and close its pipes."""
    if process.poll() is None:  # so its number, which is that of its group, is nobody else's yet
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def _not_replayed(code: int, complaint: str) -> NaiadError:
    """Build the error for a fold that ended with an exit code and these words on standard error."""
    line = complaint.rpartition("\n")[2]
    if line.startswith(_OURS):
        return _damaged(line.removeprefix(_OURS))
    if code < 0:
        name = signal.Signals(-code).name
        return _failed(f"was ended by {name}, perhaps for want of memory", name)
    kind = line.partition(":")[0]
    return _failed(f"ended with exit code {code} and {kind or 'no word'}", kind)


def _failed(what: str, error: str) -> NaiadError:
    incident = uuid.uuid4().hex
    log.error("replay_failed", incident_id=incident, error=error)
    return NaiadError(
        "INTERNAL", f"the process that folds the log {what}; whether the log is sound is not known: call again, "
        f"or stop the server and run naiad replay; if it happens again, report it with incident_id {incident}",
        code="INTERNAL", metadata={"incident_id": incident},
    )  # fmt: skip


def _damaged(damage: str) -> NaiadError:
    return NaiadError("LOG_DAMAGED", damage, code="DATA_LOSS", metadata={"damage": damage})
