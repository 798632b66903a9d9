"""Money: whole nano-USD, so that sums are exact."""

from __future__ import annotations


class NanoUsd(int):
    """An amount in nano-USD (one billionth of a US dollar): an int that can also say itself in dollars.

    >>> NanoUsd(1_250_000).usd
    0.00125
    """

    @property
    def usd(self) -> float:
        """The amount in US dollars, rounded as floats are."""
        return self / 1_000_000_000
