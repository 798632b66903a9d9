"""Cursors come back as they went out, to their own watch and filter only."""

from __future__ import annotations

import pytest

from naiad.server import cursors
from naiad.server.cursors import Cursor
from naiad.server.errors import NaiadError
from tests.server.reasons import check

LIFE = "0123456789abcdef"


@pytest.mark.parametrize("position", [0, 1, 10**9, (1 << 60) - 1])
def test_a_cursor_comes_back(position: int) -> None:
    cursor = Cursor(LIFE, position)
    assert cursors.decode(cursors.encode(cursor, "a", 1), "a", 1) == cursor


def test_none_is_none() -> None:
    assert cursors.decode("", "a") is None


GOOD = cursors.encode(Cursor(LIFE, 7), "a")


@pytest.mark.parametrize(
    "text",
    [
        cursors.encode(Cursor(LIFE, 7), "b"), GOOD[:-1], GOOD + "0", GOOD + "\n", " " + GOOD, GOOD.upper(), "7", "..",
        GOOD.replace(".7.", ".-7."), GOOD.replace(".7.", "..") , GOOD.replace(".7.", ".٧."), "\0", "x" * 10_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NaiadError) as caught:
        cursors.decode(text, "a")
    error = caught.value
    check(error.reason, error.code, error.metadata)
    assert (error.reason, error.field) == ("CURSOR_INVALID", "cursor")
    assert len(error.message) < 300
