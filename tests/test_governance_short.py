"""Bar B9 in short: no forbidden receipt through faults and edits, and each hole in the way out is found."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import structlog

from tests.bars.b09_governance import Bar, quiet

HOLES = (
    "skip_fallback",
    "skip_hedge",
    "skip_ensemble",
    "skip_cache",
    "stale_permit",
    "check_then_wait",
    "connect_then_send",
    "skip_recall",
)
HISTORIES, MOST = 150, 1_000  # of a clean run, and until a hole must be found


@pytest.fixture
def seed() -> Iterator[int]:
    """A seed that differs with each run; no logging of refusals."""
    before = structlog.get_config() if structlog.is_configured() else None
    quiet()
    yield random.randrange(1 << 31)
    if before is None:
        structlog.reset_defaults()
    else:
        structlog.configure(**before)


async def test_no_data_goes_where_it_may_not(seed: int) -> None:
    bar = Bar(seed, HISTORIES)
    await bar.run()
    assert bar.failures == [], seed
    assert bar.counts["edits"] > HISTORIES
    assert bar.counts["received fallback"] > 0
    assert bar.counts["quoted"] > 0
    assert bar.counts["streams"] > 0
    assert bar.unseen() == [], seed


@pytest.mark.parametrize("hole", HOLES)
async def test_a_hole_is_found(hole: str, seed: int) -> None:
    bar = Bar(seed, MOST, hole)
    await bar.run()
    assert bar.failures, (hole, seed)
