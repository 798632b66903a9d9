"""A sabotaged server: it looks what is left of a budget, waits for the disk, and holds without looking again (B11)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from naiad.server.attempts import Attempts
from naiad.server.ceilings import Ceilings
from tests.bars.metered import serve

_reserve, _hold = Attempts._reserve, Ceilings.reserve


async def _check_then_add(self: Attempts, record: Any, name: str, model: Any, task: Any, left_s: float) -> Any:
    ceilings, now_ms = self._engine.ceilings, self._now_ms()
    accounts = ceilings._matching(record.workflow, record.task_class, record.key)
    short = ceilings._shortage(accounts, ceilings._most(model, task.needs), now_ms)
    if short is not None:
        return short
    await self._journal.written()
    return await _reserve(self, record, name, model, task, left_s)


def _unchecked(self: Ceilings, *arguments: Any) -> Any:
    self._shortage = lambda *_: None  # type: ignore[method-assign]
    try:
        return _hold(self, *arguments)
    finally:
        del self._shortage


if __name__ == "__main__":
    Attempts._reserve = _check_then_add  # type: ignore[method-assign]
    Ceilings.reserve = _unchecked  # type: ignore[method-assign, assignment]
    sys.exit(serve())
