"""A request on its way along the ranking: what is to be answered, how a model is asked, and what was tried so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

import msgspec

from naiad.adapters import errors as provider
from naiad.adapters.base import Answer
from naiad.adapters.base import Request as ProviderRequest
from naiad.server.ceilings import Shortage
from naiad.server.egress import Egress, Kind
from naiad.server.eligibility import Needs, Permit
from naiad.server.engine import Decision
from naiad.server.journal import Request
from naiad.server.notices import Notice
from naiad.server.records import Exclusion, Hold, ModelPut, Outcome

MAX_ATTEMPTS = 3


class Done(msgspec.Struct, frozen=True):
    """The reply kept on disk for a completion: which decision it was. The answer itself is kept in memory only."""

    uid: int
    attempt: str


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be answered; the upstream model is filled in for each attempt."""

    needs: Needs
    request: ProviderRequest
    max_attempts: int = MAX_ATTEMPTS
    counts_parts: bool = False  # whether the calls of a composite count one by one: where the caller set the number
    max_cost_nano_usd: int | None = None


class ReaderStalled(Exception):
    """Whoever is to read the answer does not: there is no room for more of it."""


class Asking(Protocol):
    """How a model is asked: for the whole answer, or for one that is passed on piece by piece."""

    @property
    def spoken(self) -> bool:
        """Whether a piece of this attempt's answer was passed on."""
        ...

    @property
    def final(self) -> bool:
        """Whether what was passed on may not be taken back, so that no other attempt may follow."""
        ...

    @property
    def first_s(self) -> float | None:
        """Seconds from the attempt's beginning to its first piece."""
        ...

    def began(self, walk: Walk, name: str, model: ModelPut) -> None:
        """Be told that an attempt begins."""
        ...

    async def pass_on(self, answer: Answer) -> None:
        """Be given an answer that was asked for in another way; raises ReaderStalled."""
        ...

    async def answers(self, walk: Walk, name: str, model: ModelPut, answer: Answer) -> None:
        """Be told which attempt's answer is returned, which may be an earlier one's; raises ReaderStalled."""
        ...

    async def ask(
        self, egress: Egress, permit: Permit | None, kind: Kind, model: int, request: ProviderRequest, *,
        timeout_s: float, fair_s: float,
    ) -> Answer:  # fmt: skip
        """Ask through the egress; raises as it does, and ReaderStalled."""
        ...


class Whole:
    """Asks for the whole answer."""

    spoken = final = False
    first_s: float | None = None

    def began(self, walk: Walk, name: str, model: ModelPut) -> None:
        """Tell nobody."""

    async def pass_on(self, answer: Answer) -> None:
        """Pass nothing on: the answer is returned."""

    async def answers(self, walk: Walk, name: str, model: ModelPut, answer: Answer) -> None:
        """Tell nobody."""

    async def ask(
        self, egress: Egress, permit: Permit | None, kind: Kind, model: int, request: ProviderRequest, *,
        timeout_s: float, fair_s: float,
    ) -> Answer:  # fmt: skip
        """Ask, and wait."""
        return await egress.call(permit, kind, model, request, timeout_s=timeout_s, fair_s=fair_s)


class Names:
    """Names of attempts, in order; one that was not made after all gives its name back."""

    def __init__(self) -> None:
        self._next = 1
        self._returned: list[int] = []

    def take(self) -> str:
        """Return the first name that is free."""
        if self._returned:
            return str(heappop(self._returned))
        self._next += 1
        return str(self._next - 1)

    def give_back(self, name: str) -> None:
        """Let the next attempt have a name."""
        heappush(self._returned, int(name))


@dataclass(slots=True)
class Walk:
    """One request on its way along the ranking."""

    decision: Decision
    task: Task
    request: Request
    deadline_s: float  # on the monotonic clock
    asking: Asking
    made: list[tuple[str, Outcome]] = field(default_factory=list)
    errors: list[provider.ProviderError] = field(default_factory=list)
    passed_over: list[Exclusion] = field(default_factory=list)
    short: Shortage | None = None
    spent: int = 0  # nano-USD, as far as it is known
    outgrown: int | None = None  # the largest context window that was too small, tokens
    over: bool = False  # nothing further may help
    parts: int = 0  # how many of the attempts were made for a composite, which counts once
    names: Names = field(default_factory=Names)
    refused: Made | None = None  # the first refusal that is routed around

    @property
    def more(self) -> int:
        """How many attempts may still be made."""
        counted = len(self.made) - (0 if self.task.counts_parts else self.parts)
        return 0 if self.over else self.task.max_attempts - counted


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt that was made: it has an answer or an error."""

    name: str
    outcome: Outcome
    answer: Answer | None
    error: provider.ProviderError | None
    hold: Hold | None
    notices: tuple[Notice, ...] = ()  # what the caller is told of the answer
