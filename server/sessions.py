"""Sessions: which model each has, and what it saves to stay with it while the provider has its prompt cached.

The table is bounded in entries and in idle time, and holds ids and counts only. It follows from the log: a fold builds
it up again. Time is that of the decisions.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from naiad.server.records import Prices

_LEAST_PREFIX = 1_024  # tokens; providers cache no shorter ones
_PER_MILLION = 1e6


class Left(IntEnum):
    """Why a session left its model."""

    INELIGIBLE = 1  # the rules, the request's needs or a budget do not permit it
    BETTER = 2  # another is surely better by now, what staying saves counted
    ALLOWANCE = 3  # it is below the quality floor, and the day's allowance does not pay for another turn


class Turn(NamedTuple):
    """The latest turn of a session."""

    model: int
    uid: int
    at_ms: int
    input_tokens: int


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How much of sessions is kept, and for how long."""

    entries: int = 100_000
    idle_ms: int = 3_600_000  # after which a session is forgotten
    prompt_cache_ms: int = 300_000  # for how long a provider is taken to keep a prompt; 0: it keeps none


class Sessions:
    """The sessions of one tenant; the one idle for longest goes first."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        self._newest = 0  # unique number of the latest decision that is in

    def __repr__(self) -> str:
        return f"Sessions({len(self._turns)})"

    def __len__(self) -> int:
        return len(self._turns)

    def latest(self, session: str, at_ms: int) -> Turn | None:
        """Return a session's latest turn; None if there is none, or it is too long ago."""
        turn = self._turns.get(session) if session else None
        return None if turn is None or at_ms - turn.at_ms > self._settings.idle_ms else turn

    def take(self, session: str, turn: Turn) -> None:
        """Take note of a decision; one that is not newer than all before changes nothing: it is in already."""
        if turn.uid <= self._newest:
            return
        self._newest = turn.uid
        if not session:
            return
        self._turns[session] = turn
        self._turns.move_to_end(session)
        oldest = turn.at_ms - self._settings.idle_ms
        while len(self._turns) > self._settings.entries or next(iter(self._turns.values())).at_ms < oldest:
            self._turns.popitem(last=False)

    def saving(self, turn: Turn, prices: Prices | None, input_tokens: int, at_ms: int) -> float:
        """Return what it saves to read the prompt so far from the provider's cache, nano-USD.

        input_tokens: of the turn that is decided; what it has in common with the one before is at most the shorter.
        """
        shared = min(turn.input_tokens, input_tokens)
        warm = at_ms - turn.at_ms < self._settings.prompt_cache_ms
        if not warm or shared < _LEAST_PREFIX or prices is None or prices.cached_input is None:
            return 0.0
        return max(0.0, shared * (prices.input - prices.cached_input) / _PER_MILLION)

    def state(self) -> list[tuple[str, Turn]]:
        """Return the sessions for a snapshot, the one idle for longest first."""
        return list(self._turns.items())

    def restore(self, turns: list[tuple[str, Turn]]) -> None:
        """Take over what a snapshot holds."""
        for session, turn in sorted(turns, key=lambda one: one[1].uid):
            self.take(session, turn)
