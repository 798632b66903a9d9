"""A circuit breaker as a value: which calls may leave for one model at one endpoint, given how the last ones ended.

    closed --5 failures in a row, or more than half of the last 20, or the provider names a time--> open
    open   --its time is over, and a call comes: the probe-->                                       half-open
    half-open --the probe succeeds--> closed      --the probe fails--> open, twice as long
              --the probe is given up (the caller left)--> open, for the next call to probe

Time is an argument, in seconds of one clock that only grows. Each call carries the era in which it began, so that what
began before a change of state cannot undo it: of an open breaker only probes are heard.

An opening lasts 1 s, then 2, 4 and 8 s, and a probe that has not ended after 8 s lets another go. So a provider that is
well is in use again within 10 s, as long as calls come for it at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

IN_A_ROW = 5
WINDOW = 20
FIRST_S, LONGEST_S = 1.0, 8.0
PROBE_S = 8.0
_MASK = (1 << WINDOW) - 1


class State(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"  # lets all through
    OPEN = "open"  # none, until its time is over
    HALF_OPEN = "half_open"  # none but the probe that is under way


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one breaker."""

    state: State = State.CLOSED
    why: str = ""  # it opened
    until_s: float = 0.0  # open: when a probe may go; half-open: when another may
    era: int = 0  # grows with each change of state
    opened: int = 0  # the era in which it opened last
    trips: int = 0  # openings since it was closed last
    row: int = 0  # failures in a row
    recent: int = 0  # the last results as bits, 1 for a failure
    known: int = 0  # how many of them there are

    def ready(self, now_s: float) -> bool:
        """Return whether a call may leave."""
        return self.state is State.CLOSED or now_s >= self.until_s

    def begin(self, now_s: float) -> Breaker:
        """Return the state once a call has left, whose era is the state's; raises ValueError when none may."""
        if self.state is State.CLOSED:
            return self
        if not self.ready(now_s):
            raise ValueError(f"the breaker is {self.state} until {self.until_s}; it is {now_s}")
        return replace(self, state=State.HALF_OPEN, era=self.era + 1, until_s=now_s + PROBE_S)

    def succeeded(self, era: int) -> Breaker:
        """Return the state after a call of an era went well."""
        if self.state is not State.CLOSED:
            return Breaker(era=self.era + 1) if era > self.opened else self
        return self._counted(failed=False) if era == self.era else self

    def failed(self, era: int, now_s: float) -> Breaker:
        """Return the state after a call of an era failed in a way that speaks against the provider."""
        if not self._hears(era):
            return self
        if self.state is not State.CLOSED:
            return self._open("the probe failed", now_s, self._pause_s())
        counted = self._counted(failed=True)
        failures = counted.recent.bit_count()
        if counted.row >= IN_A_ROW:
            return counted._open(f"{counted.row} calls in a row failed", now_s, counted._pause_s())
        if counted.known == WINDOW and 2 * failures > WINDOW:
            return counted._open(f"{failures} of the last {WINDOW} calls failed", now_s, counted._pause_s())
        return counted

    def told_to_wait(self, era: int, now_s: float, wait_s: float, why: str) -> Breaker:
        """Return the state after the provider refused a call of an era and said for how long it will."""
        return self._open(why, now_s, wait_s) if self._hears(era) else self

    def abandoned(self, era: int) -> Breaker:
        """Return the state after a call of an era ended without telling anything: a probe's place is free again."""
        if self.state is State.HALF_OPEN and era == self.era:
            return replace(self, state=State.OPEN, era=self.era + 1, until_s=0.0)
        return self

    def _hears(self, era: int) -> bool:
        return era == self.era if self.state is State.CLOSED else era > self.opened

    def _counted(self, *, failed: bool) -> Breaker:
        return replace(
            self,
            row=self.row + 1 if failed else 0,
            recent=(self.recent << 1 | failed) & _MASK,
            known=min(self.known + 1, WINDOW),
        )

    def _pause_s(self) -> float:
        return float(min(LONGEST_S, FIRST_S * 2**self.trips))

    def _open(self, why: str, now_s: float, wait_s: float) -> Breaker:
        era = self.era + 1
        return Breaker(
            state=State.OPEN, why=why, until_s=now_s + wait_s, era=era, opened=era, trips=min(self.trips + 1, 10)
        )
