"""Money: whole nano-USD, so that sums are exact."""

from __future__ import annotations

import math


class NanoUsd(int):
    """An amount in nano-USD (one billionth of a US dollar): an int that can also say itself in dollars.

    >>> NanoUsd(1_250_000).usd
    0.00125
    """

    @property
    def usd(self) -> float:
        """The amount in US dollars, rounded as floats are."""
        return self / 1_000_000_000

    @classmethod
    def from_usd(cls, usd: float) -> NanoUsd:
        """Return an amount in US dollars, rounded to a whole nano-USD; raises ValueError for NaN and infinity."""
        if not math.isfinite(usd):
            raise ValueError(f"{usd} US dollars is no amount; give a finite number")
        return cls(round(usd * 1_000_000_000))
