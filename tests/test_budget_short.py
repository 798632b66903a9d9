"""Bar B11 in short: a few races for the last of a budget, and for servers that hold too late or give back too early."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from tests.bars.b11_budget import MUTANTS, Bar, main

TRIALS = 4
MUTANT_TRIALS = 20  # at most; both are nearly always caught by the third


def test_no_budget_is_overspent(capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 31)
    code = main(["--seed", str(seed), "--n", str(TRIALS)])
    figures = json.loads(capsys.readouterr().out)
    assert (code, figures["examples"]) == (0, []), figures
    assert figures["trials"] == TRIALS
    assert figures["reply_BUDGET_EXHAUSTED"] > TRIALS * 100  # it was a race
    assert figures["provider_calls"] >= 1


async def test_a_killed_server_overspends_no_budget() -> None:
    bar = Bar(random.randrange(1 << 31), 2, kills=1.0)
    await bar.run()
    assert bar.failures == [], bar.report(0, 0.0)
    assert bar.counts["kills"] == 2


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_sabotaged_server_is_caught(mutant: str) -> None:
    bar = Bar(random.randrange(1 << 31), MUTANT_TRIALS, mutant, kills=float(mutant == "release_overdue"))
    asyncio.run(bar.run())
    assert any("were billed" in failure for failure in bar.failures), bar.report(0, 0.0)
