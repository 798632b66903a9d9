"""A sabotaged server: what a crash left held is given back instead of taken for spent. Bar B11 must catch it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from naiad.server.ceilings import Ceilings
from tests.bars.metered import serve


def _give_back(self: Ceilings, key: Any) -> None:
    self._close(key, 0, 0)


if __name__ == "__main__":
    Ceilings._charge = _give_back  # type: ignore[method-assign]
    sys.exit(serve())
