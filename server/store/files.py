"""The files of a store: which file it is, who has it, and what SQLite's errors about it mean."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO

from naiad.server.store.base import StoreCorrupt, StoreError, StoreLocked, StoreUnwritable


def real_path(path: Path) -> Path:
    """Return the file itself: SQLite would take "file:x" for a URI, and follow links and ".." in its own way."""
    return Path(os.path.realpath(path))


def take_lock(path: Path, real: Path) -> IO[str]:
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


def explained(path: Path, error: sqlite3.Error) -> StoreError:
    """Return what an error of SQLite means for the file."""
    text = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreUnwritable(f"{path} cannot be written ({text}); check the permissions of the file and its folder")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(f"{path} is locked by another program ({text}); close it, then start again")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreCorrupt(f"{path} is not a healthy SQLite database ({text}); restore a backup or give another path")
    return StoreError(f"{path} cannot be used: {text}")
