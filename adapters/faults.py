"""Simulated failures as values: which calls they befall, and what happens to those.

A fault befalls the calls of the endpoints and models that its patterns match, within its window of time, each n-th of
them or each with a probability. What it does is what a provider does:

* STATUS   a reply of this status and code
* REFUSE   no connection
* DELAY    the answer comes, later
* CUT      the stream breaks off after so many pieces; a reply that was to come whole breaks off
* STALL    nothing comes any more after so many pieces, until the endpoint's patience or the caller's runs out
* GARBAGE  after so many pieces something comes that is none
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class FaultKind(StrEnum):
    """What happens to a call."""

    STATUS = "status"
    REFUSE = "refuse"
    DELAY = "delay"
    CUT = "cut"
    STALL = "stall"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of failure; raises ValueError for one that could not be, or that the rest of it has no use for."""

    kind: FaultKind
    endpoint: str = "*"  # pattern of names, as of files: *, ?, [seq]
    model: str = "*"  # pattern of upstream names
    every: int | None = None  # each n-th call that matches
    probability: float | None = None  # of each call that matches; without it and `every`, all of them
    from_s: float = 0.0  # since the start
    until_s: float | None = None  # since the start; None: without an end
    status: int | None = None  # of STATUS
    code: str = ""  # of STATUS: the provider's word for it, e.g. "insufficient_quota"
    retry_after_s: float | None = None  # of STATUS
    delay_s: float | None = None  # of DELAY
    deltas: int = 0  # of CUT, STALL and GARBAGE: pieces of a stream that still come

    def __post_init__(self) -> None:
        self._check_when()
        own = {FaultKind.STATUS: ("status", "code", "retry_after_s"), FaultKind.DELAY: ("delay_s",)}
        own |= dict.fromkeys((FaultKind.CUT, FaultKind.STALL, FaultKind.GARBAGE), ("deltas",))
        for name, unset in (("status", None), ("code", ""), ("retry_after_s", None), ("delay_s", None), ("deltas", 0)):
            if getattr(self, name) != unset and name not in own.get(self.kind, ()):
                raise ValueError(f"{name} has no meaning for a fault of kind {self.kind.value!r}; leave it out")
        if self.kind is FaultKind.STATUS and not 300 <= (self.status or 0) <= 599:
            raise ValueError(f"status is {self.status}; give one of a failure, from 300 to 599")
        if self.kind is FaultKind.DELAY and not 0 < (self.delay_s or 0) <= 86_400:
            raise ValueError(f"delay_s is {self.delay_s}; give seconds above 0, at most 86,400")
        if self.retry_after_s is not None and not 0 <= self.retry_after_s <= 86_400:
            raise ValueError(f"retry_after_s is {self.retry_after_s}; give seconds from 0 to 86,400")
        if self.deltas < 0:
            raise ValueError(f"deltas is {self.deltas}; give at least 0")

    def _check_when(self) -> None:
        if self.every is not None and self.probability is not None:
            raise ValueError("every and probability exclude each other; give one of them")
        if self.every is not None and self.every < 1:
            raise ValueError(f"every is {self.every}; give at least 1")
        if self.probability is not None and not 0 < self.probability <= 1:
            raise ValueError(f"probability is {self.probability}; give a number above 0, at most 1")
        if not 0 <= self.from_s < (float("inf") if self.until_s is None else self.until_s):
            raise ValueError(
                f"from_s is {self.from_s} and until_s {self.until_s}; give a window that begins before it ends"
            )

    def matches(self, endpoint: str, model: str, at_s: float) -> bool:
        """Return whether the fault may befall a call; at_s: seconds since the start."""
        within = self.from_s <= at_s and (self.until_s is None or at_s < self.until_s)
        return within and fnmatchcase(endpoint, self.endpoint) and fnmatchcase(model, self.model)

    def __str__(self) -> str:
        return f"{', '.join(self._when())}: {self._what()}"

    def _when(self) -> Iterator[str]:
        yield "all endpoints" if self.endpoint == "*" else f"endpoint {self.endpoint}"
        yield "all models" if self.model == "*" else f"model {self.model}"
        if self.every is not None:
            yield (
                "every call" if self.every == 1 else f"call {self.every}, {2 * self.every}, {3 * self.every} and so on"
            )
        else:
            yield "every call" if self.probability in (None, 1.0) else f"{self.probability:.4g} of the calls"
        if self.from_s or self.until_s is not None:
            end = "on" if self.until_s is None else f"to {self.until_s:g} s"
            yield f"from {self.from_s:g} s {end} after the start"

    def _what(self) -> str:
        after = f"after {self.deltas} pieces of a stream" if self.deltas else "at once"
        match self.kind:
            case FaultKind.STATUS:
                code = f" ({self.code})" if self.code else ""
                wait = "" if self.retry_after_s is None else f", retry after {self.retry_after_s:g} s"
                return f"fails with status {self.status}{code}{wait}"
            case FaultKind.REFUSE:
                return "finds no connection"
            case FaultKind.DELAY:
                return f"is answered {self.delay_s:g} s later"
            case FaultKind.CUT:
                return f"breaks off {after}"
            case FaultKind.STALL:
                return f"falls silent {after}"
            case FaultKind.GARBAGE:
                return f"gets something that is no answer {after}"
