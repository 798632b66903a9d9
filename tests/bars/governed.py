"""Histories for bar B9: random rules, data classes, faults and edits of the rules, over every kind of call.

The oracle is written apart from the server's code, and knows only what was acknowledged: while an edit is under way
both the rules before and those after it may be in force. A receipt is forbidden when the model may not see the
request's data under any rules that may be in force, or might not when the request was decided.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from naiad.adapters.base import Answer, Finished, FinishReason, Request, StreamEvent, TextPart, Usage
from naiad.adapters.departure import checking, depart
from naiad.adapters.errors import AuthenticationFailed, Overloaded, ProviderError, ServerError
from naiad.server.egress import Departure, Kind

KINDS = tuple(Kind)
ZONES = ("on_prem", "private_cloud", "region:eu", "region:us")
VENDORS = ("a", "b", "c")
CLASSES = ("open", "inner", "secret", "top")
_FAULTS = (Overloaded, ServerError, AuthenticationFailed)


@dataclass(frozen=True, slots=True)
class Place:
    """A model as the oracle knows it."""

    zones: frozenset[str]
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that says what may go where."""

    places: dict[str, Place]
    classes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    workflows: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)  # of task classes
    listed: tuple[str, ...] = ()  # the policy's models


class Said(NamedTuple):
    """What a request says of its data, and whom it allows."""

    request: str
    task_class: str
    workflow: str
    caller: str
    allowed: frozenset[str]
    key: tuple[str, ...] = ()  # models that the key permits: names, and "vendor/*"


def matches(entry: str, name: str, zones: frozenset[str]) -> bool:
    """Return whether one entry of a rule means a model."""
    return entry in zones or entry in ("any", name, "vendor:" + name.split("/")[0])


def may_see(rules: Rules, said: Said, name: str) -> bool:
    """Return whether a request may go to a model."""
    place = rules.places.get(name)
    if place is None or not place.usable or (rules.listed and name not in rules.listed):
        return False
    if said.allowed and name not in said.allowed:
        return False
    if said.key and name not in said.key and name.split("/")[0] + "/*" not in said.key:
        return False
    if not rules.classes:
        return True
    order = [known for known, _ in rules.classes]
    level = {known: rank for rank, known in enumerate(order)}
    last = len(order) - 1
    told = [said.request, rules.defaults.get(said.task_class, ""), rules.workflows.get(said.workflow, "")]
    ranks = [level.get(one, last) for one in told if one] or [last]
    if said.caller:
        ranks.append(level.get(said.caller, last))
    return all(any(matches(e, name, place.zones) for e in allow) for _, allow in rules.classes[: max(ranks) + 1])


@dataclass(slots=True)
class Sent:
    """A request under way: what it says, and the rules that may have been in force when it was decided."""

    said: Said
    decided_under: tuple[Rules, ...] = ()


class Oracle:
    """Judge of receipts."""

    def __init__(self, rules: Rules) -> None:
        self.acknowledged = rules
        self.pending: Rules | None = None
        self.epoch = 0  # of the last acknowledged edit
        self.sent: dict[str, Sent] = {}
        self.forbidden: list[str] = []
        self.counts: Counter[str] = Counter()
        self.edited = asyncio.Event()
        self.over = False  # no more edits will come

    def possible(self) -> tuple[Rules, ...]:
        """Return the rules that may be in force."""
        return (self.acknowledged,) if self.pending is None else (self.acknowledged, self.pending)

    def acknowledge(self, epoch: int) -> None:
        """Take over the pending edit."""
        if self.pending is None:
            raise RuntimeError("nothing is pending")
        if epoch <= self.epoch:
            self.forbidden.append(f"an acknowledged edit left the epoch at {epoch}")
        self.acknowledged, self.pending, self.epoch = self.pending, None, epoch
        self.counts["edits"] += 1
        self.wake()

    def wake(self) -> None:
        """Let those go on who wait for an edit."""
        self.edited.set()
        self.edited = asyncio.Event()

    def received(self, canary: str, name: str) -> None:
        """Judge what a provider was just sent."""
        sent = self.sent[canary]
        kind, epoch, departure = "?", -1, checking()
        if isinstance(departure, Departure):
            kind, epoch = departure.dispatch.kind.value, departure.dispatch.epoch
        self.counts[f"received {kind}"] += 1
        if not any(may_see(rules, sent.said, name) for rules in self.possible()):
            self.forbidden.append(f"{kind}: {name} was sent {canary} ({sent.said}), which the rules forbid")
        if sent.decided_under and not any(may_see(rules, sent.said, name) for rules in sent.decided_under):
            self.forbidden.append(f"{kind}: {name} was sent {canary} ({sent.said}), which its decision did not permit")
        if epoch < self.epoch:
            self.forbidden.append(f"{kind}: {name} was sent {canary} under epoch {epoch}; {self.epoch} is acknowledged")

    def quoted(self, canary: str, name: str) -> None:
        """Judge an answer of a model that was kept, and was just given again."""
        said = self.sent[canary].said
        self.counts["quoted"] += 1
        if not any(may_see(rules, said, name) for rules in self.possible()):
            self.forbidden.append(f"quoted: {name} to {canary} ({said}), which the rules forbid")


class Provider:
    """A provider that connects, at times slowly, tells the oracle of every prompt that it is sent, and may fail."""

    def __init__(self, oracle: Oracle, rng: random.Random, provider: str) -> None:
        self.provider = provider
        self._oracle = oracle
        self._rng = rng

    def __repr__(self) -> str:
        return f"Provider({self.provider!r})"

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Connect, and answer or fail."""
        if self._rng.random() < 0.3:
            await asyncio.sleep(self._rng.choice((0.0, 0.003)))  # an edit may be acknowledged meanwhile
            depart()
        self._oracle.received(request.last_user_text, request.model)
        for _ in range(self._rng.choice((0, 0, 1, 3))):
            await asyncio.sleep(0)
        if self._rng.random() < 0.15:
            await asyncio.sleep(0.003)
        if self._rng.random() < 0.45:
            raise self._error(request.model)
        return Answer((TextPart("ok"),), FinishReason.STOP, Usage(1, 1), request.model)

    async def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Answer or fail in one piece."""
        yield Finished(await self.complete(request, timeout_s=timeout_s))

    async def aclose(self) -> None:
        """Hold nothing."""

    def _error(self, model: str) -> ProviderError:
        return self._rng.choice(_FAULTS)("scripted", provider=self.provider, model=model)


# -- random rules ------------------------------------------------------------------------------------------------------


def some_zones(rng: random.Random) -> frozenset[str]:
    """Return the zones of a model."""
    return frozenset(rng.sample(ZONES, rng.choice((0, 1, 1, 2))))


def some_classes(rng: random.Random, names: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return classes with their rules, the more open ones with more entries, as people would write them; or none."""
    entries = [*ZONES, *(f"vendor:{vendor}" for vendor in VENDORS), *names]
    count = rng.choice((0, 1, 2, 3, 3, 4))
    found = []
    for rank, name in enumerate(rng.sample(CLASSES, count) if rng.random() < 0.3 else CLASSES[:count]):
        few = max(1, 6 - 2 * rank)
        allow = ("any",) if rng.random() < 0.5 - 0.15 * rank else tuple(rng.sample(entries, rng.randint(few - 1, few)))
        found.append((name, allow))
    return tuple(found)


def some_rules(rng: random.Random) -> Rules:
    """Return a world's rules at its beginning."""
    names = [f"{rng.choice(VENDORS)}/{i}" for i in range(rng.randint(3, 6))]
    return Rules(
        places={name: Place(some_zones(rng)) for name in names},
        classes=some_classes(rng, names),
        workflows=some_flows(rng),
        defaults={"t0": "", "t1": rng.choice(("", *CLASSES, "retired"))},
    )


def some_flows(rng: random.Random) -> dict[str, str]:
    """Return what the configuration says of workflows."""
    return {"flow": rng.choice(CLASSES)} if rng.random() < 0.4 else {}


def edited(rng: random.Random, rules: Rules) -> tuple[str, Rules, Any]:
    """Return (what to do, the rules afterwards, whom it is about) of a random edit."""
    names = list(rules.places)
    name, roll = rng.choice(names), rng.random()
    place = rules.places[name]
    if roll < 0.3:
        after = replace(place, zones=some_zones(rng))
        return "zone", replace(rules, places=rules.places | {name: after}), name
    if roll < 0.45:
        return "usable", replace(rules, places=rules.places | {name: replace(place, usable=not place.usable)}), name
    if roll < 0.5:
        return "price", rules, name
    if roll < 0.6 and rules.classes:
        default = rng.choice(("", *(known for known, _ in rules.classes)))
        return "default", replace(rules, defaults=rules.defaults | {"t1": default}), "t1"
    listed = tuple(rng.sample(names, rng.randint(1, len(names)))) if rng.random() < 0.3 else ()
    classes = some_classes(rng, names) if rng.random() < 0.8 else rules.classes
    return "policy", replace(rules, classes=classes, workflows=some_flows(rng), listed=listed), None
