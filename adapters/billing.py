"""What a vendor says that a call cost, where it says so in the usage of its replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from naiad.adapters.base import Bill
from naiad.adapters.pricing import NANO

_BEYOND = 1e12  # USD: an amount of which nothing more need be known


@dataclass(frozen=True, slots=True)
class BillInUsage:
    """The names of the fields, and how the bill is asked for. Amounts are USD.

    A call for which the vendor used the account's own key elsewhere is paid there, at what the upstream amount says,
    and the vendor's own charge, which may be 0, comes on top. Without the upstream amount such a bill is not whole.
    """

    amount: str  # of the usage
    asked: str = ""  # of the request, as {"include": true}; "": nobody has to ask
    own_key: str = ""  # of the usage: whether the account's own key paid upstream
    details: str = ""  # of the usage, which holds the next
    upstream: str = ""

    def request(self) -> Mapping[str, Any]:
        """Return what asks for the bill."""
        return {self.asked: {"include": True}} if self.asked else {}

    def of(self, usage: Any) -> Bill | None:
        """Return the bill in a reply's usage, None where there is none or it is not whole."""
        if not isinstance(usage, dict) or usage.get(self.amount) is None:
            return None
        amounts = [usage[self.amount]]
        if self.own_key and usage.get(self.own_key) is True:
            details = usage.get(self.details)
            amounts.append(details.get(self.upstream) if isinstance(details, dict) else None)
            if amounts[1] is None:
                return None
        return _bill(amounts)


def _bill(amounts: list[Any]) -> Bill:
    numbers = [a for a in amounts if isinstance(a, int | float) and not isinstance(a, bool)]
    if len(numbers) < len(amounts):
        return Bill(None, "no number")
    if not all(abs(number) < _BEYOND for number in numbers):  # nor is NaN
        return Bill(None, "no amount of money")
    usd = sum(map(_decimal, numbers), Decimal(0))
    said = f"{float(usd):.6g} USD"
    if min(numbers) < 0:
        return Bill(None, said)
    return Bill(int((usd * NANO).to_integral_value(ROUND_HALF_UP)), said)


def _decimal(number: float) -> Decimal:
    """Return the number as it was written: the shortest text that reads back as it."""
    return Decimal(repr(number))
