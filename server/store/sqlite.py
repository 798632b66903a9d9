"""The embedded store: SQLite through aiosqlite, one connection and one owner for the file.

WAL with synchronous=FULL: a commit that returned survives a power cut. A lock file keeps a second server out, because
two connections would reopen the way to SQLite's WAL-reset corruption (versions 3.7.0 to 3.51.2) and to two posteriors.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import aiosqlite

from naiad.server.store.base import (
    CHANGES,
    AuditRow,
    Batch,
    DecisionFilter,
    EventRow,
    ReplyRow,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreTooNew,
    StoreUnwritable,
)
from naiad.server.store.inode import hold_file
from naiad.server.store.schema import MIGRATIONS, SCHEMA_VERSION, tables_of

_TENANT = 0
_EVENT = "seq, kind, at_ms, payload, uid, task_class, model, workflow, session, checksum"
_REPLY = "request_id, method, digest, reply, at_ms"
_AUDIT = "number, at_ms, payload, digest"
_CHANGES = ", ".join(f"'{kind}'" for kind in CHANGES)  # as in the index, so that it is used
_ROW = "(?,?,?,?,?,?,?,?,?,?,?)"
_MAX_VARIABLES = 32_000  # SQLite's default limit is 32,766


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

    def __repr__(self) -> str:
        return f"SqliteStore({self._path.name!r})"

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Open or create the file and bring its schema up to date.

        Raises StoreLocked, StoreTooNew, StoreUnwritable or StoreError; nothing is changed then.
        """
        real = _real(path)
        lock = _lock(path, real)
        held: int | None = None
        try:
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
            raise _explained(path, error) from error
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
            raise _explained(self._path, error) from error

    async def _write(self, statements: Sequence[tuple[str, Sequence[object]]]) -> None:
        async with self._whole:
            await self._db.transact(statements)

    async def commit(self, batch: Batch) -> None:
        """Write a batch; raises StoreError for what exists already, sqlite3.Error for a file that fails."""
        try:
            await self._write(list(_statements(batch)))
        except sqlite3.IntegrityError as error:
            raise StoreError(f"not written: {error}") from error

    async def last_sequence(self) -> int:
        """Return the newest sequence."""
        return int(await self._scalar("SELECT coalesce(max(seq), 0) FROM events"))

    async def events(self, after: int, limit: int) -> Sequence[EventRow]:
        """Return events in order, each checked against its checksum."""
        rows = await self._rows(
            f"SELECT {_EVENT} FROM events WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
            (_TENANT, after, limit),
        )
        return [_event(row) for row in rows]

    async def entries(self, uids: Iterable[int]) -> dict[int, bytes]:
        """Return ledger entries."""
        wanted = list(uids)
        rows = await self._rows(
            f"SELECT uid, payload, checksum FROM ledger WHERE tenant = ? AND uid IN ({_marks(wanted)})",  # noqa: S608
            (_TENANT, *wanted),
        )
        for uid, payload, checksum in rows:
            if _checksum(payload) != checksum:
                raise StoreCorrupt(f"the ledger entry of decision {uid} does not match its checksum; restore a backup")
        return {row[0]: row[1] for row in rows}

    async def decisions(self, uids: Iterable[int]) -> dict[int, EventRow]:
        """Return decisions."""
        wanted = list(uids)
        rows = await self._rows(
            f"SELECT {_EVENT} FROM events WHERE tenant = ? AND kind = 'decided' AND uid IN ({_marks(wanted)})",  # noqa: S608
            (_TENANT, *wanted),
        )
        return {row[4]: _event(row) for row in rows}

    async def list_decisions(self, wanted: DecisionFilter, limit: int) -> Sequence[EventRow]:
        """Return decisions, newest first."""
        conditions, values = ["tenant = ?", "kind = 'decided'"], [_TENANT]
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
            f"SELECT {_EVENT} FROM events WHERE {' AND '.join(conditions)} ORDER BY uid DESC LIMIT ?",  # noqa: S608
            (*values, limit),
        )
        return [_event(row) for row in rows]

    async def replies(self, request_ids: Iterable[str]) -> dict[str, ReplyRow]:
        """Return kept replies."""
        wanted = list(request_ids)
        rows = await self._rows(
            f"SELECT {_REPLY} FROM requests WHERE tenant = ? AND request_id IN ({_marks(wanted)})",  # noqa: S608
            (_TENANT, *wanted),
        )
        return {row[0]: ReplyRow(*row) for row in rows}

    async def audit(self, after: int, limit: int) -> Sequence[AuditRow]:
        """Return entries of the audit trail in order."""
        rows = await self._rows(
            f"SELECT {_AUDIT} FROM audit WHERE tenant = ? AND number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (_TENANT, after, limit),
        )
        return [AuditRow(*row) for row in rows]

    async def latest_audit(self, before: int | None, limit: int) -> Sequence[AuditRow]:
        """Return entries of the audit trail, newest first."""
        rows = await self._rows(
            f"SELECT {_AUDIT} FROM audit WHERE tenant = ? AND number < ? ORDER BY number DESC LIMIT ?",  # noqa: S608
            (_TENANT, (1 << 63) - 1 if before is None else before, limit),
        )
        return [AuditRow(*row) for row in rows]

    async def changes(self, after: int, limit: int) -> Sequence[int]:
        """Return sequences of changes."""
        rows = await self._rows(
            f"SELECT seq FROM events WHERE tenant = ? AND kind IN ({_CHANGES}) AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
            (_TENANT, after, limit),
        )
        return [row[0] for row in rows]

    async def save_snapshot(self, sequence: int, payload: bytes) -> None:
        """Keep a snapshot and the one before it."""
        await self._write(
            [
                (
                    "INSERT OR REPLACE INTO snapshots (tenant, seq, payload) VALUES (?,?,?)",
                    (_TENANT, sequence, payload),
                ),
                (
                    "DELETE FROM snapshots WHERE tenant = ? AND seq NOT IN "
                    "(SELECT seq FROM snapshots WHERE tenant = ? ORDER BY seq DESC LIMIT 2)",
                    (_TENANT, _TENANT),
                ),
            ]
        )

    async def snapshots(self) -> Sequence[tuple[int, bytes]]:
        """Return the snapshots, newest first."""
        rows = await self._rows("SELECT seq, payload FROM snapshots WHERE tenant = ? ORDER BY seq DESC", (_TENANT,))
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

    async def close(self) -> None:
        """Close the file and release its lock."""
        try:
            await self._db.close()
        finally:
            os.close(self._held)
            self._lock.close()


def _real(path: Path) -> Path:
    """Return the file itself: SQLite would take "file:x" for a URI, and follow links and ".." in its own way."""
    return Path(os.path.realpath(path))


def _lock(path: Path, real: Path) -> IO[str]:
    """Take the lock file beside the store; raises StoreLocked with the holder's pid, or StoreUnwritable.

    real: the file itself; a link leads to it, so it must lead to the same lock.
    """
    if real.is_dir():
        raise StoreUnwritable(f"{path} is a folder; give [storage] path a file in it, as {path / 'naiad.db'}")
    name = real.with_name(real.name + ".lock")
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        handle = open(name, "a+", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        file = next((above for above in real.parents if above.exists() and not above.is_dir()), None)
        if file is not None:
            raise StoreUnwritable(
                f"cannot make {path}: {file} is a file, and no folder; give [storage] path or --data-dir another one"
            ) from error
        raise StoreUnwritable(
            f"cannot write {name}: {error.strerror}; give [storage] path a folder that this user may write"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        holder = handle.read(20).strip() or "unknown"
        handle.close()
        raise StoreLocked(
            f"{path} is in use by the server with process id {holder}; stop it, or give this one another [storage] path"
        ) from error
    handle.seek(0)
    handle.truncate()
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _explained(path: Path, error: sqlite3.Error) -> StoreError:
    text = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreUnwritable(f"{path} cannot be written ({text}); check the permissions of the file and its folder")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(f"{path} is locked by another program ({text}); close it, then start again")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreCorrupt(f"{path} is not a healthy SQLite database ({text}); restore a backup or give another path")
    return StoreError(f"{path} cannot be used: {text}")


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=8).digest()


def _event(row: sqlite3.Row) -> EventRow:
    payload = row[3]
    if not isinstance(payload, bytes) or _checksum(payload) != row[9]:
        raise StoreCorrupt(f"event {row[0]} ({row[1]}) does not match its checksum; restore a backup")
    return EventRow(row[0], row[1], row[2], payload, row[4], row[5], row[6], row[7], row[8])


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _statements(batch: Batch) -> Iterable[tuple[str, list[object]]]:
    """Yield multi-row inserts: one statement is one trip to the thread and one hand-over of the interpreter lock."""
    rows: list[list[object]] = [
        [
            _TENANT, e.sequence, e.kind, e.at_ms, e.payload, e.uid, e.task_class, e.model, e.workflow, e.session,
            _checksum(e.payload),
        ]
        for e in batch.events
    ]  # fmt: skip
    yield from _inserts(f"INSERT INTO events (tenant, {_EVENT}) VALUES ", _ROW, rows)  # noqa: S608
    yield from _inserts(
        "INSERT OR REPLACE INTO ledger (tenant, uid, payload, checksum) VALUES ",
        "(?,?,?,?)",
        [[_TENANT, uid, payload, _checksum(payload)] for uid, payload in batch.entries.items()],
    )
    yield from _inserts(
        f"INSERT INTO requests (tenant, {_REPLY}) VALUES ",  # noqa: S608
        "(?,?,?,?,?,?)",
        [[_TENANT, r.request_id, r.method, r.digest, r.reply, r.at_ms] for r in batch.replies],
    )
    yield from _inserts(
        f"INSERT INTO audit (tenant, {_AUDIT}) VALUES ",  # noqa: S608
        "(?,?,?,?,?)",
        [[_TENANT, *row] for row in batch.audit],
    )


def _inserts(head: str, row: str, rows: list[list[object]]) -> Iterable[tuple[str, list[object]]]:
    if not rows:
        return
    step = _MAX_VARIABLES // len(rows[0])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        yield head + ",".join([row] * len(part)), [value for values in part for value in values]
