"""Logging: events with fields, as JSON lines or for a person, on standard error. Never a prompt, an answer or a key.

A log never ends what it tells of. A line that cannot be written is counted, and the next that can be is preceded by a
line `log_lines_dropped`; one that cannot be rendered is replaced by a line `log_line_failed`.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(style: str, level: str) -> None:
    """Set up structlog for the process; style "json" or "console", level one of debug, info, warning, error."""
    renderer: structlog.typing.Processor
    if style == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one prints local variables: prompts
        )
    tail: list[structlog.typing.Processor] = [renderer]
    if style == "json":
        tail.insert(0, structlog.processors.format_exc_info)
    render = _unfailing(
        [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True), *tail]
    )
    sink = Sink(sys.stderr, lambda lines: render(None, "warning", {"event": "log_lines_dropped", "lines": lines}))
    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )


def _unfailing(chain: list[structlog.typing.Processor]) -> Callable[[Any, str, MutableMapping[str, Any]], str]:
    """Return a processor that runs a chain; a defect in it costs the line its fields, and the caller nothing."""

    def render(logger: Any, name: str, event_dict: MutableMapping[str, Any]) -> str:
        event = str(event_dict.get("event"))
        try:
            made: Any = event_dict
            for processor in chain:
                made = processor(logger, name, made)
            return str(made)
        except Exception as defect:  # whatever it is, it must not end the call that the line is about
            return json.dumps(
                {"event": "log_line_failed", "level": "error", "of": event, "error": type(defect).__name__}
            )

    return render


class Sink:
    """Writes lines to the file under a stream, past its buffers, which would keep what could not be written.

    notice: renders the line that says how many were dropped.
    """

    def __init__(self, stream: TextIO, notice: Callable[[int], str]) -> None:
        buffer: Any = getattr(stream, "buffer", stream)
        self._write: Callable[[memoryview], int | None] = getattr(buffer, "raw", buffer).write
        self._notice = notice
        self._lock = threading.Lock()
        self._dropped = 0  # lines
        self._torn = False  # the last line that was begun was not finished

    def __repr__(self) -> str:
        return f"Sink(dropped={self._dropped})"

    def msg(self, line: str) -> None:
        """Write a line, or count it as dropped."""
        with self._lock:
            if self._dropped:
                if not self._put(self._notice(self._dropped)):
                    self._dropped += 1
                    return
                self._dropped = 0
            if not self._put(line):
                self._dropped += 1

    debug = info = warning = error = critical = msg

    def _put(self, line: str) -> bool:
        left = memoryview((("\n" if self._torn else "") + line + "\n").encode(errors="backslashreplace"))
        begun = False
        try:
            while left:
                written = self._write(left)
                if not written:  # None: it would block
                    break
                left, begun = left[written:], True
        except (OSError, ValueError):  # full, closed, gone
            pass
        self._torn = bool(left) and (begun or self._torn)
        return not left
