"""AdminService: proof that the log folds to what is served. The rest is not built yet."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import Any

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
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "naiad.server", "replay", "--from-stdin",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )  # fmt: skip
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("the replaying process has no pipes")
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it ends early where it finds damage
                await self._feed(process.stdin, upto)
            process.stdin.close()
            output, complaint = await asyncio.gather(process.stdout.read(), process.stderr.read())
            if await process.wait() != 0:
                raise _not_replayed(complaint.decode(errors="replace").strip())
        except StoreCorrupt as error:
            raise _damaged(str(error)) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return msgspec.json.decode(output, type=Digests)

    async def _feed(self, pipe: asyncio.StreamWriter, upto: int) -> None:
        """Send the settings and the events up to a sequence."""
        pipe.write(settings_of(self._config))
        position = 0
        while position < upto:
            rows = await self._store.events(position, min(_STEP, upto - position))
            for row in rows:
                if row.sequence <= upto:
                    pipe.write(frame(row.sequence, row.payload))
            position = rows[-1].sequence if rows else upto
            await pipe.drain()


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
