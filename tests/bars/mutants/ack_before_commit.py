"""A sabotaged server: the journal folds and answers first and commits afterwards. Bar B1 must catch it.

Run like `naiad`: `python ack_before_commit.py serve --data-dir DIR`.
"""

from __future__ import annotations

import sys
from typing import Any

from naiad.server.cli import main
from naiad.server.journal import Journal


async def _write(self: Journal, batch: Any, items: Any) -> None:
    self._publish(items)
    if batch.events or batch.entries or batch.replies:
        await self._store.commit(batch)


if __name__ == "__main__":
    Journal._write = _write  # type: ignore[method-assign]
    sys.exit(main())
