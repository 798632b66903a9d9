"""How many tokens a key may use in any minute: held when a request is admitted, corrected by what it used.

A request is admitted at its input, as given or estimated, and all the output that is reserved for it. Of a completion
the tokens of all its attempts take the place of that; of a decision those of the first ReportOutcome within the minute.
Seconds of the monotonic clock. Nothing is written: a restart begins with a whole minute, as it does for requests.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from naiad.server.eligibility import Needs
from naiad.server.errors import NaiadError

WINDOW_S = 60
_MOST_EXPECTED = 50_000  # decisions whose reports are waited for, of a tenant
_UNTIL = WINDOW_S + 1  # tokens are counted by the second in which they were taken: until all of it is past


class TokenRate:
    """The tokens of one key by the second: in no minute are more than `per_minute` admitted."""

    __slots__ = ("_by_second", "_key_id", "_used", "per_minute")

    def __init__(self, key_id: str, per_minute: int) -> None:
        self._key_id = key_id
        self.per_minute = per_minute
        self._by_second: OrderedDict[int, int] = OrderedDict()
        self._used = 0

    def __repr__(self) -> str:
        return f"TokenRate({self._key_id!r}, {self._used} of {self.per_minute})"

    def left(self, now_s: float) -> int:
        """Return what may still be taken; below 0 where requests used more than was held for them."""
        while self._by_second and (oldest := next(iter(self._by_second))) + _UNTIL <= now_s:
            self._used -= self._by_second.pop(oldest)
        return self.per_minute - self._used

    def take(self, tokens: int, now_s: float) -> int:
        """Take tokens, and return the second that they count in; raises NaiadError, and then takes none."""
        if tokens > self.per_minute:
            rule = f"input and reserved output are at most the key's tokens_per_minute, {self.per_minute}"
            raise NaiadError(
                "INVALID_COMBINATION",
                f"the request may use {tokens} tokens; {rule}: set max_output_tokens lower, shorten the input, or use "
                "a key with a higher tokens_per_minute",
                metadata={"rule": rule}, field="max_output_tokens",
            )  # fmt: skip
        left = self.left(now_s)
        if tokens > left:
            raise self._limited(tokens, left, now_s)
        second = int(now_s)
        self._by_second[second] = self._by_second.get(second, 0) + tokens
        self._used += tokens
        return second

    def correct(self, second: int, difference: int) -> None:
        """Count more or fewer tokens in a second in which some were taken; not once its minute is past."""
        if second in self._by_second:
            self._by_second[second] += difference
            self._used += difference

    def _limited(self, tokens: int, left: int, now_s: float) -> NaiadError:
        wait_s, free = 0.0, left
        for second, used in self._by_second.items():
            wait_s, free = second + _UNTIL - now_s, free + used
            if free >= tokens:
                break
        return NaiadError(
            "RATE_LIMITED",
            f"the key {self._key_id} permits {self.per_minute} tokens a minute, {max(left, 0)} are left and the "
            f"request may use {tokens}; as many renew in {wait_s:.1f} s: wait as long as RetryInfo says, or use a key "
            "with a higher tokens_per_minute",
            code="RESOURCE_EXHAUSTED",
            metadata={
                "key_id": self._key_id, "limit": "tokens_per_minute", "value": self.per_minute, "left": max(left, 0),
                "needed": tokens,
            },
            retry_after_s=wait_s,
        )  # fmt: skip


@dataclass(slots=True)
class Charge:
    """The tokens that one request was admitted at; settled once."""

    rate: TokenRate
    second: int
    tokens: int

    def settle(self, used: int) -> None:
        """Let what was used take the place of what was held."""
        self.rate.correct(self.second, used - self.tokens)
        self.tokens = used


class TokenRates:
    """The token limits of a tenant's keys, and the decisions whose reports may correct them."""

    def __init__(self, rate_of: Callable[[str], TokenRate | None], monotonic: Callable[[], float]) -> None:
        self._rate_of = rate_of
        self._monotonic = monotonic
        self._expected: OrderedDict[int, Charge] = OrderedDict()  # by decision

    def __repr__(self) -> str:
        return f"TokenRates(expected={len(self._expected)})"

    def admit(self, key_id: str, needs: Needs) -> Charge | None:
        """Charge a request to its key, None where that has no limit; raises NaiadError."""
        rate = self._rate_of(key_id) if key_id else None
        if rate is None:
            return None
        tokens = needs.input_tokens + needs.max_output_tokens
        return Charge(rate, rate.take(tokens, self._monotonic()), tokens)

    def raise_to(self, charge: Charge, needs: Needs, calls: int) -> None:
        """Charge so many calls in place of one; raises NaiadError and leaves the charge as it was."""
        tokens = calls * (needs.input_tokens + needs.max_output_tokens)
        more = tokens - charge.tokens
        if more > 0:
            charge.rate.take(more, self._monotonic())
            charge.tokens = tokens

    def expect(self, uid: int, charge: Charge) -> None:
        """Let the report of a decision correct what it was charged."""
        self._expected[uid] = charge
        past = self._monotonic() - _UNTIL
        while len(self._expected) > _MOST_EXPECTED or next(iter(self._expected.values())).second <= past:
            self._expected.popitem(last=False)

    def reported(self, uid: int, used: int) -> None:
        """Take over what a decision's call used; only the first report counts."""
        charge = self._expected.pop(uid, None)
        if charge is not None:
            charge.settle(used)
