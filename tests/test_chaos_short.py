"""Bar B6 in short: a few of the twenty faults, and each sabotage is caught."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest
import structlog

from tests.bars.b06_chaos import FEWEST, main
from tests.bars.chaotic import FAULTS

SOME = ("no_end", "429_retry_after", "hang_midway")


@pytest.fixture
def seed() -> Iterator[str]:
    """A seed that differs with each run; no logging of the failures."""
    before = structlog.get_config() if structlog.is_configured() else None
    yield str(random.randrange(1 << 31))
    if before is None:
        structlog.reset_defaults()
    else:
        structlog.configure(**before)


def test_callers_hardly_notice(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--seed", seed, "--n", str(FEWEST * len(SOME)), "--faults", ",".join(SOME)])
    figures = json.loads(capsys.readouterr().out)
    assert (code, figures["failures"]) == (0, []), figures
    assert figures["trials"] == FEWEST * len(SOME)
    for fault in SOME:
        world = figures["faults"][fault]
        assert world["met_a_fault"] > 0, "the fault was one"
        assert world["attempts"] > 1.0
        assert world["recovery_s"] > 0.0


@pytest.mark.parametrize(
    ("mutant", "fault", "calls"), [("no_total_timeout", "hang_before", 12), ("no_breaker", "500", FEWEST)]
)
def test_a_sabotage_is_caught(
    mutant: str, fault: str, calls: int, seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--seed", seed, "--n", str(calls), "--faults", fault, "--mutant", mutant])
    figures = json.loads(capsys.readouterr().out)
    assert (code, bool(figures["failures"])) == (0, True), figures


def test_there_are_twenty_faults() -> None:
    assert len(FAULTS) == 20
