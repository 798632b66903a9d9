"""Bar B1 in short: a few kills of a real server under load, and for a server that answers before it commits."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from tests.bars.b01_kill import Bar, main, upper_bound

KILLS = 6
MUTANT_KILLS = 12  # at most; it is nearly always caught by the second


def test_nothing_acknowledged_is_lost_by_a_kill(capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 31)
    code = main(["--seed", str(seed), "--n", str(KILLS)])
    figures = json.loads(capsys.readouterr().out)
    assert (code, figures["examples"]) == (0, []), figures
    assert figures["trials"] == KILLS
    assert figures["least_writes_in_flight"] >= 16
    assert figures["acked"] > 100  # the load was one
    assert figures["drains"] == 1


def test_a_server_that_answers_before_it_commits_is_caught() -> None:
    bar = Bar(random.randrange(1 << 31), MUTANT_KILLS, "ack_before_commit")
    asyncio.run(bar.run())
    assert any("acknowledged" in failure for failure in bar.failures), bar.report(0, 0.0)


@pytest.mark.parametrize(
    ("failures", "trials", "bound"), [(0, 200, 0.01487), (0, 1, 0.95), (1, 10, 0.3942), (3, 3, 1.0)]
)
def test_the_bound_is_the_exact_one(failures: int, trials: int, bound: float) -> None:
    """1 - 0.05^(1/n) without failures (about 3/n); tabulated Clopper-Pearson otherwise."""
    assert upper_bound(failures, trials) == pytest.approx(bound, abs=1e-4)
