"""Bar B10 in short: hostile endpoints lead nowhere, and a transport that connects by name again is caught.

Each run is a process of its own, for the bar watches all connections of its process.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bars.b10_endpoints import MUTANTS

ROOT = Path(__file__).resolve().parent.parent


def run(mutant: str, count: int) -> tuple[int, dict[str, Any]]:
    """Run the bar and return its exit code and figures."""
    seed = random.randrange(1 << 31)
    done = subprocess.run(
        [sys.executable, "tests/bars/b10_endpoints.py", "--seed", str(seed), "--n", str(count), "--mutant", mutant],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, figures


def test_nothing_is_reached() -> None:
    code, figures = run("", 320)
    assert (code, figures["failures"], figures["examples"]) == (0, 0, []), figures["seed"]
    assert figures["trials"] >= 320
    assert figures["ends"]["refused as configuration"] > 50
    assert figures["ends"]["refused at the connection"] > 50
    assert figures["ends"]["good, answered"] > 10, "the good endpoint is reached"


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant: str) -> None:
    code, figures = run(mutant, 96)
    assert (code, figures["caught"]) == (0, True), figures["seed"]
