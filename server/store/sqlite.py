"""The embedded store: SQLite through aiosqlite, one connection and one owner for the file.

WAL with synchronous=FULL: a commit that returned survives a power cut. A lock file keeps a second server out, because
two connections would reopen the way to SQLite's WAL-reset corruption (versions 3.7.0 to 3.51.2) and to two posteriors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import IO, Any

import aiosqlite

from naiad.server.store.base import (
    CHANGES,
    AuditRow,
    Batch,
    CostKey,
    DecisionFilter,
    EventRow,
    KeyRow,
    ReplyRow,
    StoreCorrupt,
    StoreError,
    StoreTooNew,
    StoreUnwritable,
)
from naiad.server.store.files import explained, real_path, take_lock
from naiad.server.store.inode import hold_file
from naiad.server.store.rows import (
    AUDIT,
    COST,
    EVENT,
    REPLY,
    checksum,
    cost_inserts,
    cost_of,
    event_of,
    marks,
    statements,
)
from naiad.server.store.schema import MIGRATIONS, SCHEMA_VERSION, TENANT_STRIDE, tables_of

_KEYS = 5_000  # of running sums that are asked for at a time: four variables each
_CHANGES = ", ".join(f"'{kind}'" for kind in CHANGES)  # as in the index, so that it is used


class _Connection(aiosqlite.Connection):
    """A connection whose transactions take one trip to its thread: each trip is a hand-over of the interpreter lock."""

    def __init__(self, path: Path) -> None:
        super().__init__(lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False), 64)

    async def transact(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        """Run statements as one transaction, all or nothing."""
        await self._execute(self._transact, statements)  # type: ignore[no-untyped-call]

    def _transact(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        db = self._conn
        if len(statements) == 1:  # commits by itself
            db.execute(*statements[0])
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in statements:
                db.execute(sql, values)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


class SqliteStore:
    """The Store protocol on one SQLite file; open it with `SqliteStore.open`."""

    def __init__(self, path: Path, connection: _Connection, lock: IO[str], held: int) -> None:
        self._path = path
        self._db = connection
        self._lock = lock
        self._held = held  # the file itself, locked
        self._whole = asyncio.Lock()  # readers on the same connection must not look into an open transaction
        self._tenant = 0

    def __repr__(self) -> str:
        return f"SqliteStore({self._path.name!r}, tenant={self._tenant})"

    def of(self, tenant: int) -> SqliteStore:
        """Return the same file for another tenant."""
        other = copy(self)  # with the same connection, and the same lock around it
        other._tenant = tenant
        return other

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Open or create the file and bring its schema up to date.

        Raises StoreLocked, StoreTooNew, StoreUnwritable or StoreError; nothing is changed then.
        """
        real = real_path(path)
        lock = take_lock(path, real)
        held: int | None = None
        try:
            with contextlib.suppress(FileExistsError):  # a new one is its owner's; so are -wal and -shm
                os.close(os.open(real, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            sqlite3.connect(real).close()  # fails here, where no thread has begun, if it cannot be opened
            held = hold_file(path, real)
            connection = _Connection(real)
            await connection
        except BaseException as error:
            if held is not None:
                os.close(held)
            lock.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise StoreUnwritable(
                    f"cannot open {path}: {error}; check that the file and its folder are writable"
                ) from error
            raise
        store = cls(path, connection, lock, held)
        try:
            await store._prepare()
        except sqlite3.Error as error:
            await store.close()
            raise explained(path, error) from error
        except BaseException:
            await store.close()
            raise
        return store

    async def _prepare(self) -> None:
        db = self._db
        await db.execute("PRAGMA busy_timeout = 1000")
        version = await self._scalar("PRAGMA user_version")
        if version > SCHEMA_VERSION:
            raise StoreTooNew(
                f"{self._path} has schema {version}; this version of Naiad knows schemas up to {SCHEMA_VERSION}: "
                "start the newer Naiad that wrote it, or restore an older backup"
            )
        tables = {row[0] for row in await self._rows("SELECT name FROM sqlite_master WHERE type = 'table'", ())}
        if version < 0 or (version == 0 and tables):
            raise StoreCorrupt(
                f"{self._path} is a database of another program: it has tables, and no version of Naiad; "
                "give another [storage] path"
            )
        if missing := ", ".join(sorted(tables_of(version) - tables)):
            raise StoreCorrupt(f"{self._path} is damaged: it lacks the table {missing}; restore a backup")
        mode = await self._scalar("PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise StoreError(
                f"{self._path} cannot use write-ahead logging (SQLite answered {mode!r}); use a local disk"
            )
        await db.execute("PRAGMA synchronous = FULL")
        # A read-only file opens and even selects: take the write lock once, so that this shows now.
        await db.execute("BEGIN IMMEDIATE")
        try:
            for step in MIGRATIONS[version:]:
                for statement in step:
                    await db.execute(statement)
            await db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except BaseException:
            await db.execute("ROLLBACK")
            raise
        await db.execute("COMMIT")

    async def _scalar(self, sql: str) -> Any:
        rows = await self._rows(sql, ())
        return rows[0][0] if rows else None

    async def _rows(self, sql: str, values: Sequence[object]) -> list[sqlite3.Row]:
        """Return the rows of a query; raises StoreError where the file cannot be read."""
        try:
            async with self._whole:
                return list(await self._db.execute_fetchall(sql, values))
        except sqlite3.Error as error:
            raise explained(self._path, error) from error

    async def _write(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        async with self._whole:
            await self._db.transact(statements)

    async def commit(self, batch: Batch) -> None:
        """Write a batch; raises StoreError for what exists already, sqlite3.Error for a file that fails."""
        try:
            await self._write(list(statements(batch, self._tenant)))
        except sqlite3.IntegrityError as error:
            raise StoreError(f"not written: {error}") from error

    async def last_sequence(self) -> int:
        """Return the newest sequence."""
        first = self._tenant * TENANT_STRIDE
        rows = await self._rows(
            "SELECT coalesce(max(seq), ?) FROM events WHERE seq > ? AND seq < ?", (first, first, first + TENANT_STRIDE)
        )
        return int(rows[0][0]) - first

    async def events(self, after: int, limit: int) -> Sequence[EventRow]:
        """Return events in order, each checked against its checksum."""
        rows = await self._rows(
            f"SELECT {EVENT} FROM events WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?",  # noqa: S608
            (self._tenant * TENANT_STRIDE + after, (self._tenant + 1) * TENANT_STRIDE, limit),
        )
        return [event_of(row) for row in rows]

    async def entries(self, uids: Iterable[int]) -> dict[int, bytes]:
        """Return ledger entries."""
        wanted = list(uids)
        rows = await self._rows(
            f"SELECT uid, payload, checksum FROM ledger WHERE tenant = ? AND uid IN ({marks(wanted)})",  # noqa: S608
            (self._tenant, *wanted),
        )
        for uid, payload, kept in rows:
            if checksum(payload) != kept:
                raise StoreCorrupt(f"the ledger entry of decision {uid} does not match its checksum; restore a backup")
        return {row[0]: row[1] for row in rows}

    async def decisions(self, uids: Iterable[int]) -> dict[int, EventRow]:
        """Return decisions."""
        wanted = list(uids)
        rows = await self._rows(
            f"SELECT {EVENT} FROM events WHERE tenant = ? AND kind = 'decided' AND uid IN ({marks(wanted)})",  # noqa: S608
            (self._tenant, *wanted),
        )
        return {row[4]: event_of(row) for row in rows}

    async def list_decisions(self, wanted: DecisionFilter, limit: int) -> Sequence[EventRow]:
        """Return decisions, newest first."""
        conditions, values = ["tenant = ?", "kind = 'decided'"], [self._tenant]
        for condition, value in (
            ("uid < ?", wanted.before_uid),
            ("task_class = ?", wanted.task_class),
            ("model = ?", wanted.model),
            ("workflow = ?", wanted.workflow),
            ("session = ?", wanted.session),
            ("uid >= ?", wanted.from_uid),
            ("at_ms >= ?", wanted.start_ms),
            ("at_ms < ?", wanted.end_ms),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)  # type: ignore[arg-type]
        rows = await self._rows(
            f"SELECT {EVENT} FROM events WHERE {' AND '.join(conditions)} ORDER BY uid DESC LIMIT ?",  # noqa: S608
            (*values, limit),
        )
        return [event_of(row) for row in rows]

    async def replies(self, request_ids: Iterable[str]) -> dict[str, ReplyRow]:
        """Return kept replies."""
        wanted = list(request_ids)
        rows = await self._rows(
            f"SELECT {REPLY} FROM requests WHERE tenant = ? AND request_id IN ({marks(wanted)})",  # noqa: S608
            (self._tenant, *wanted),
        )
        return {row[0]: ReplyRow(*row) for row in rows}

    async def audit(self, after: int, limit: int) -> Sequence[AuditRow]:
        """Return entries of the audit trail in order."""
        rows = await self._rows(
            f"SELECT {AUDIT} FROM audit WHERE tenant = ? AND number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (self._tenant, after, limit),
        )
        return [AuditRow(*row) for row in rows]

    async def latest_audit(self, before: int | None, limit: int) -> Sequence[AuditRow]:
        """Return entries of the audit trail, newest first."""
        rows = await self._rows(
            f"SELECT {AUDIT} FROM audit WHERE tenant = ? AND number < ? ORDER BY number DESC LIMIT ?",  # noqa: S608
            (self._tenant, (1 << 63) - 1 if before is None else before, limit),
        )
        return [AuditRow(*row) for row in rows]

    async def changes(self, after: int, limit: int) -> Sequence[int]:
        """Return sequences of changes."""
        first = self._tenant * TENANT_STRIDE
        rows = await self._rows(
            f"SELECT seq FROM events WHERE tenant = ? AND kind IN ({_CHANGES}) AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
            (self._tenant, first + after, limit),
        )
        return [row[0] - first for row in rows]

    async def costs(self, keys: Iterable[CostKey]) -> dict[CostKey, bytes]:
        """Return running sums."""
        wanted = list(keys)
        found: dict[CostKey, bytes] = {}
        for start in range(0, len(wanted), _KEYS):
            part = wanted[start : start + _KEYS]
            rows = await self._rows(
                f"SELECT {COST} FROM costs WHERE tenant = ? AND (hour, workflow, task_class, model) IN "  # noqa: S608
                f"(VALUES {','.join(['(?,?,?,?)'] * len(part))})",
                (self._tenant, *[value for key in part for value in key]),
            )
            found.update(map(cost_of, rows))
        return found

    async def list_costs(
        self, from_hour: int, before_hour: int, after: CostKey | None, limit: int
    ) -> Sequence[tuple[CostKey, bytes]]:
        """Return running sums in the order of their keys."""
        rows = await self._rows(
            f"SELECT {COST} FROM costs WHERE tenant = ? AND hour < ? AND (hour, workflow, task_class, model) > "  # noqa: S608
            "(?,?,?,?) ORDER BY hour, workflow, task_class, model LIMIT ?",
            (self._tenant, before_hour, *(after or (from_hour, "", -1, -1)), limit),
        )
        return [cost_of(row) for row in rows]

    async def costs_built(self) -> bool:
        """Return whether the running sums are whole."""
        return bool(await self._rows("SELECT 1 FROM costs_built WHERE tenant = ?", (self._tenant,)))

    async def replace_costs(self, rows: Mapping[CostKey, bytes]) -> None:
        """Replace the running sums, all or nothing."""
        await self._write(
            [
                ("DELETE FROM costs WHERE tenant = ?", [self._tenant]),
                *cost_inserts(rows, self._tenant),
                ("INSERT OR REPLACE INTO costs_built (tenant) VALUES (?)", [self._tenant]),
            ]
        )

    async def save_snapshot(self, sequence: int, payload: bytes) -> None:
        """Keep a snapshot and the one before it."""
        await self._write(
            [
                (
                    "INSERT OR REPLACE INTO snapshots (tenant, seq, payload) VALUES (?,?,?)",
                    (self._tenant, sequence, payload),
                ),
                (
                    "DELETE FROM snapshots WHERE tenant = ? AND seq NOT IN "
                    "(SELECT seq FROM snapshots WHERE tenant = ? ORDER BY seq DESC LIMIT 2)",
                    (self._tenant, self._tenant),
                ),
            ]
        )

    async def snapshots(self) -> Sequence[tuple[int, bytes]]:
        """Return the snapshots, newest first."""
        rows = await self._rows(
            "SELECT seq, payload FROM snapshots WHERE tenant = ? ORDER BY seq DESC", (self._tenant,)
        )
        return [(row[0], row[1]) for row in rows]

    async def signing_keys(self) -> dict[int, bytes]:
        """Return all signing keys."""
        return {row[0]: row[1] for row in await self._rows("SELECT key_id, secret FROM signing_keys", ())}

    async def add_signing_key(self, key_id: int, secret: bytes) -> None:
        """Keep a signing key."""
        try:
            await self._write([("INSERT INTO signing_keys (key_id, secret) VALUES (?,?)", (key_id, secret))])
        except sqlite3.IntegrityError as error:
            raise StoreError(f"signing key {key_id} exists already") from error

    async def secrets(self) -> dict[str, bytes]:
        """Return the server's secrets."""
        return {row[0]: row[1] for row in await self._rows("SELECT name, secret FROM server_secrets", ())}

    async def add_secret(self, name: str, secret: bytes) -> None:
        """Keep a secret of the server."""
        await self._add("INSERT INTO server_secrets (name, secret) VALUES (?,?)", name, secret)

    async def tenants(self) -> dict[int, str]:
        """Return all tenants."""
        return {row[0]: row[1] for row in await self._rows("SELECT tenant, name FROM tenants ORDER BY tenant", ())}

    async def add_tenant(self, tenant: int, name: str) -> None:
        """Keep a tenant."""
        await self._add("INSERT INTO tenants (tenant, name) VALUES (?,?)", tenant, name)

    async def _add(self, sql: str, *values: object) -> None:
        try:
            await self._write([(sql, values)])
        except sqlite3.IntegrityError as error:
            raise StoreError(f"not written: {error}") from error

    async def keys(self) -> Sequence[KeyRow]:
        """Return the API keys of all tenants by id, each checked against its checksum."""
        rows = await self._rows("SELECT key_id, tenant, payload, checksum FROM api_keys ORDER BY key_id", ())
        for key_id, _, payload, kept in rows:
            if checksum(payload) != kept:
                raise StoreCorrupt(f"the API key {key_id} does not match its checksum; restore a backup")
        return [KeyRow(row[0], row[1], row[2]) for row in rows]

    async def close(self) -> None:
        """Close the file and release its lock."""
        try:
            await self._db.close()
        finally:
            os.close(self._held)
            self._lock.close()
