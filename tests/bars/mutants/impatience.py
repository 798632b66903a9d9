"""Sabotaged executions, each of which bar B6 must catch: no total timeout, and breakers that never open."""

from __future__ import annotations

import time

from naiad.adapters.errors import ProviderError
from naiad.server.attempts import Attempts
from naiad.server.breakers import Breakers, Leave
from naiad.server.completion import Completer
from naiad.server.walk import Walk

MUTANTS = ("no_total_timeout", "no_breaker")


class _Timeless(Attempts):
    """Has all the time in the world, whatever the caller's deadline."""

    def left_s(self, walk: Walk) -> float:
        return 3_600.0


class _TimelessCompleter(Completer):
    attempting = _Timeless


class _Trusting(Breakers):
    """Takes no failure in."""

    def failed(self, leave: Leave, error: ProviderError, fair_s: float = 0.0) -> None:
        self.abandoned(leave)


def completer_of(mutant: str) -> type[Completer]:
    """Return the completer, sabotaged with "no_total_timeout"."""
    return _TimelessCompleter if mutant == "no_total_timeout" else Completer


def breakers_of(mutant: str) -> Breakers:
    """Return breakers, sabotaged with "no_breaker"."""
    return (_Trusting if mutant == "no_breaker" else Breakers)(time.monotonic)
