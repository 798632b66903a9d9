"""The Store suite, run on every store that ships."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from naiad.server.store.base import Store, StoreError
from naiad.server.store.memory import MemoryStore
from naiad.server.store.sqlite import SqliteStore
from tests.conformance.store_suite import StoreSuite


class TestMemory(StoreSuite):
    cannot_reopen = "memory keeps nothing beyond its process"
    cannot_tamper = "memory has no bytes on a disk that could change"

    def opener(self, folder: Any) -> Callable[[], Awaitable[Store]]:
        async def open_() -> Store:
            return MemoryStore()

        return open_


class TestSqlite(StoreSuite):
    refusals = (StoreError, sqlite3.IntegrityError)

    def opener(self, folder: Path) -> Callable[[], Awaitable[Store]]:
        async def open_() -> Store:
            return await SqliteStore.open(folder / "naiad.db")

        return open_

    async def tamper(self, store: Store, folder: Path, sequence: int) -> None:
        other = sqlite3.connect(folder / "naiad.db")  # a file that WAL mode lets another connection change
        try:
            other.execute("UPDATE events SET payload = CAST(payload || x'20' AS BLOB) WHERE seq = ?", (sequence,))
            other.commit()
        finally:
            other.close()
