"""`naiad` with a clock on the journal: how long each Complete waited until its outcome was on disk.

    python -m benchmarks.timed_server FILE serve ...

Everything else is `python -m naiad.server serve ...`. FILE gets a double for each wait, in seconds: from when the
outcome was handed to the journal until the call went on. That is the time in the queue, gathering (the journal waits
for company before it commits), the transaction, the folding and the wake-up.
"""

from __future__ import annotations

import os
import struct
import sys
from time import perf_counter
from typing import Any

from naiad.server.__main__ import main
from naiad.server.journal import Journal

_DOUBLE = struct.Struct("d")


def clocked(file: int) -> None:
    """Make every journal of this process write into the file how long `amend` took."""
    amend = Journal.amend

    async def timed(self: Journal, *arguments: Any, **named: Any) -> Any:
        began = perf_counter()
        try:
            return await amend(self, *arguments, **named)
        finally:
            os.write(file, _DOUBLE.pack(perf_counter() - began))

    Journal.amend = timed  # type: ignore[method-assign]


if __name__ == "__main__":
    clocked(os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    raise SystemExit(main())
