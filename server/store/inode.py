"""The lock on the database file itself, whatever its names and whatever became of the lock file beside it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from naiad.server.store.base import StoreLocked, StoreUnwritable


def hold_file(path: Path, real: Path) -> int:
    """Lock an existing file for as long as the descriptor that is returned stays open.

    Raises StoreLocked, and StoreUnwritable for a file of several names: SQLite keeps its write-ahead log beside the
    name that it was opened by, so what was written under one name would be missing under the other.

    It is closed after SQLite's connection: closing any descriptor of a file ends all of the process's locks of SQLite's
    kind on it. This lock is flock's, which SQLite does not see.
    """
    held = os.open(real, os.O_RDONLY | os.O_CLOEXEC)
    try:
        names = os.fstat(held).st_nlink
        if names > 1:
            raise StoreUnwritable(
                f"{path} has {names} names (hard links), of which each would have a write-ahead log of its own; "
                "remove the other names, or copy the file and give [storage] path the copy"
            )
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise StoreLocked(
            f"{path} is in use by another process; stop it, or give this one another [storage] path"
        ) from error
    except BaseException:
        os.close(held)
        raise
    return held
