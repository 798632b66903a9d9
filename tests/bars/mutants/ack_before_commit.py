"""A sabotaged server: the journal folds and answers first and commits afterwards. Bar B1 must catch it.

Run like `naiad`: `python ack_before_commit.py serve --data-dir DIR`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from naiad.server.cli import main
from naiad.server.journal import Journal

_BEHIND_S = 0.01  # as a write-behind store would; a commit that follows at once is done before the answer has left


async def _write(self: Journal, batch: Any, items: Any) -> None:
    self._publish(items)
    await asyncio.sleep(_BEHIND_S)
    if batch:
        await self._store.commit(batch)


if __name__ == "__main__":
    Journal._write = _write  # type: ignore[method-assign]
    sys.exit(main())
