"""How large numbers may be, from whatever side they come: so that every cost fits the 64 bits of nano-USD on the wire.

The largest cost is MOST_TOKENS read and as many written, at MOST_PER_MILLION each, plus MOST_MONEY for the request:
2.2e18 nano-USD, of which 63 bits hold 9.2e18.
"""

from __future__ import annotations

MOST_TOKENS = 1 << 40
MOST_PER_MILLION = 1_000 * 10**9  # nano-USD per million tokens
MOST_MONEY = 1_000_000 * 10**9  # nano-USD: a bill, a limit, the price of one request
MOST_INT64 = (1 << 63) - 1
LONGEST_SCHEMA = 65_536  # characters of a JSON Schema
MOST_LISTED = 64  # models that an objective lists
MOST_FEATURES = 64  # of a task class, and so of a request


def plain(value: float) -> str:
    """Return a number as it is, with every digit: %g would show 1000001 as 1e+06.

    >>> plain(1_000_001.0), plain(1e-9), plain(0.5), plain(1 << 40)
    ('1000001', '1e-09', '0.5', '1099511627776')
    """
    whole = isinstance(value, int) or (value.is_integer() and abs(value) < 1e15)
    return str(int(value)) if whole else repr(value)
