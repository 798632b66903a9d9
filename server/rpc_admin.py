"""AdminService: proof that the log folds to what is served. The rest is not built yet."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import msgspec
import structlog

from naiad.server import render
from naiad.server.config import Config
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.journal import Journal
from naiad.server.replay import Digests, frame, settings_of
from naiad.server.store.base import Store
from naiad.v1 import admin_service_pb2, admin_service_pb2_grpc

log = structlog.get_logger(__name__)
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
        replayed = await self._replay(live.sequence)
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
            env=dict(os.environ),
        )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the replaying process has no pipes")
        try:
            process.stdin.write(settings_of(self._config))
            position = 0
            while position < upto:
                rows = await self._store.events(position, min(_STEP, upto - position))
                for row in rows:
                    if row.sequence <= upto:
                        process.stdin.write(frame(row.sequence, row.payload))
                position = rows[-1].sequence if rows else upto
                await process.stdin.drain()
            process.stdin.close()
            output = await process.stdout.read()
            if await process.wait() != 0:
                raise NaiadError(
                    "INTERNAL", "the replaying process failed; see the server's log", code="INTERNAL",
                    metadata={"incident_id": "replay"},
                )  # fmt: skip
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return msgspec.json.decode(output, type=Digests)
