"""What the asynchronous client asks of event loops and tasks."""

from __future__ import annotations

import asyncio
from typing import Any

from naiad.client.surface import log_report_failure


def home(known: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop:
    """Return the running event loop, which must be the known one if there is one.

    Raises:
        RuntimeError: it is another; the connection would wait there for what happens elsewhere.
    """
    running = asyncio.get_running_loop()
    if known is not None and running is not known:
        raise RuntimeError(
            "AsyncClient belongs to the event loop that first used it, and this is another; make a client inside of "
            "each event loop (every asyncio.run has its own), or use Client"
        )
    return running


def log_failure(task: asyncio.Task[Any]) -> None:
    """Log the failure of a report that nobody waits for any more."""
    if not task.cancelled() and (failure := task.exception()):
        log_report_failure(failure)
