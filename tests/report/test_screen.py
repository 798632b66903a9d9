"""Numbers as people read them, and text that cannot steer a terminal."""

from __future__ import annotations

import pytest

from naiad.server.report.screen import clean, nano_usd, number, plural, share, usd


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (0.0000912613, "0.0000913"), (0.000514949, "0.000515"), (0.05, "0.05"), (2.3, "2.3"), (54.48, "54.5"),
        (100, "100"), (1250.4, "1,250"), (-0.2, "-0.2"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_three_digits_without_an_exponent(value: float, shown: str) -> None:
    assert number(value) == shown


def test_money_shares_and_counts() -> None:
    assert usd(-0.5) == "-$0.5"
    assert nano_usd(514_949) == "$0.000515"
    assert [share(s) for s in (0.0, 0.003, 0.01, 0.5, 0.994, 1.0)] == ["0%", "0.3%", "1%", "50%", "99.4%", "100%"]
    assert (plural(1, "model"), plural(1250, "class", "es")) == ("1 model", "1,250 classes")


def test_what_is_not_printable_is_not_printed() -> None:
    assert clean("a\x1b[31mb\nc\u202e") == "a [31mb c "
