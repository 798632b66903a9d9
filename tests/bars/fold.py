"""Folds a stopped server's database from event 0 in a process of its own: `python fold.py DATABASE` prints JSON.

It reads the file with the standard library alone, so the server's own store, journal and snapshots have no part in it.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

from naiad.server.config import load
from naiad.server.records import decode
from naiad.server.replay import Replay


def fold(database: Path) -> dict[str, object]:
    """Return the digests of the state that the log folds to; raises LogMismatch."""
    replay = Replay(load(None).belief)
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        for sequence, payload in connection.execute("SELECT seq, payload FROM events ORDER BY seq"):
            replay.feed(sequence, decode(payload))
    connection.close()
    found = replay.digests()
    return {
        "sequence": found.sequence,
        "events": found.events,
        "statistics": found.statistics,
        "beliefs": found.beliefs,
    }


if __name__ == "__main__":
    print(json.dumps(fold(Path(sys.argv[1]))))
