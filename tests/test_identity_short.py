"""Bar B10 in short: every cell over one transport, a few keys ended, and each sabotage caught."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.bars.b10_identity import TRANSPORTS, Bar
from tests.bars.canaries import fragments, hits
from tests.bars.mutants.identity import SABOTAGES

SLOW_S = 20.0  # the bar holds the figure; here only that it ends at all


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_may_do_what(transport: str) -> None:
    bar = Bar(random.randrange(1 << 31), 3, reach_s=SLOW_S)
    asyncio.run(bar.run((transport,)))
    assert bar.failures == []
    assert bar.cells > 700
    assert bar.revocations == 3
    assert bar.searched > 100_000


@pytest.mark.parametrize("sabotage", sorted(SABOTAGES))
def test_a_sabotage_is_caught(sabotage: str) -> None:
    bar = Bar(random.randrange(1 << 31), 2, sabotage)
    asyncio.run(bar.run(("plaintext",)))
    assert bar.failures != []


def test_secrets_are_found_in_every_form_and_in_part() -> None:
    secret = "Zk3-vQ9_xT7wLm2pR8sNd4hJb6cYf1gA0eUiOoKaVqE"
    wanted = fragments([secret])
    import base64

    for form in (secret, secret[10:18], secret[::-1][3:12], secret.encode().hex(), secret.encode().hex().upper()[7:30]):
        assert hits(b"\x00noise " + form.encode() + b" noise", wanted), form
    for prefix in (b"", b"x", b"xy", b"naiad_a_"):
        assert hits(base64.b64encode(prefix + secret.encode() + b"tail"), wanted), prefix
    assert hits(secret[:7].encode() + b" " + secret[8:15].encode(), wanted) == []
