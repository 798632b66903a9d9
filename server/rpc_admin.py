"""AdminService: proof that the log folds to what is served. The rest is not built yet."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from typing import IO, Any

import msgspec
import structlog

from naiad.server import render
from naiad.server.config import Config
from naiad.server.convert import number
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.journal import Journal
from naiad.server.replay import Digests, frame, settings_of
from naiad.server.store.base import Store, StoreCorrupt
from naiad.v1 import admin_service_pb2, admin_service_pb2_grpc

log = structlog.get_logger(__name__)
_OURS = "naiad: "  # begins what the command line complains of
_STEP = 500  # events read at a time, so that no acknowledgement waits long


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """Keys, budgets, audit, backups and proof."""

    def __init__(self, journal: Journal, engine: Engine, store: Store, config: Config) -> None:
        self._journal = journal
        self._engine = engine
        self._store = store
        self._config = config

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
                elapsed=render.duration(time.monotonic() - began),
            )
        return admin_service_pb2.VerifyLogResponse(
            events_folded=replayed.events,
            sequence=live.sequence,
            live_statistics_digest=bytes.fromhex(live.statistics),
            replayed_statistics_digest=bytes.fromhex(replayed.statistics),
            live_beliefs_digest=bytes.fromhex(live.beliefs),
            replayed_beliefs_digest=bytes.fromhex(replayed.beliefs),
            statistics_equal=live.statistics == replayed.statistics,
            beliefs_equal=live.beliefs == replayed.beliefs,
            elapsed=render.duration(time.monotonic() - began),
        )

    async def _replay(self, upto: int) -> Digests:
        # Not by the event loop: beside gRPC's threads its fork now and then came back with its pipes closed.
        with tempfile.TemporaryFile() as complaints:
            process = await asyncio.to_thread(_replaying_process, complaints)
            try:
                # A thread at a time: a call that held one while it waits for another would lock calls out together.
                with contextlib.suppress(BrokenPipeError):  # it ends early where it finds damage
                    await self._feed(process.stdin, upto)
                output = await asyncio.to_thread(process.stdout.read)  # a line, so that it waits for no reader
                if await asyncio.to_thread(process.wait) != 0:
                    complaints.seek(0)
                    raise _not_replayed(complaints.read().decode(errors="replace").strip())
            except StoreCorrupt as error:
                raise _damaged(str(error)) from error
            finally:
                process.kill()  # does nothing to one that has ended
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
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


def _replaying_process(complaints: IO[bytes]) -> Any:
    return subprocess.Popen(
        [sys.executable, "-m", "naiad.server", "replay", "--from-stdin"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
    )  # fmt: skip


def _not_replayed(complaint: str) -> NaiadError:
    """Build the error for a fold that ended with these words on standard error."""
    line = complaint.rpartition("\n")[2]
    if line.startswith(_OURS):
        return _damaged(line.removeprefix(_OURS))
    log.error("replay_failed", error=line.partition(":")[0])
    return NaiadError(
        "INTERNAL", "the replaying process failed; see the server's log", code="INTERNAL",
        metadata={"incident_id": "replay"},
    )  # fmt: skip


def _damaged(damage: str) -> NaiadError:
    return NaiadError("LOG_DAMAGED", damage, code="DATA_LOSS", metadata={"damage": damage})
