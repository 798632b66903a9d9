"""Which data may go where: data classes from open to strict, what each permits, and how a request is classified.

A class permits a model when one entry of its `allow` fits the model, and every more open class permits it too. So the
permitted sets are nested by construction: raising a request's class can only take models away. What is unknown counts
as the strictest: a request of which nobody says what it holds, and a stored name that is configured no longer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from naiad.server.errors import NaiadError, nearest
from naiad.server.records import DataClass, ModelPut, PolicySet

ANY = "any"  # an entry of `allow` that fits every model
VENDOR = "vendor:"  # begins the entry that fits the models of a provider
_MOST_SHOWN = 5  # entries of `allow` in a sentence
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")


class Claims(NamedTuple):
    """What is said about the data of one request; the strictest of it holds. "" says nothing."""

    request: str = ""  # by the request itself
    task_class: str = ""  # the default of its task class
    workflow: str = ""  # the name of its workflow, of which the configuration may say something
    caller: str = ""  # the least that the caller's identity stands for: raises, and never stands in for the others
    content: str = ""  # the least that its messages call for: raises, and never stands in


class Treated(NamedTuple):
    """The class that a request is treated as."""

    data_class: str
    source: str  # which claim set it: "request", "task_class", "workflow", "caller", "content", or "unstated"
    no_store: bool


def zones_in(declared: str) -> frozenset[str]:
    """Return the zones of a declaration: names separated by commas."""
    return frozenset(zone for part in declared.split(",") if (zone := part.strip()))


def zones_of(model: ModelPut) -> frozenset[str]:
    """Return the zones that a model declares."""
    return zones_in(model.data_zone)


def vendor_of(model: ModelPut) -> str:
    """Return the entry that fits all models of this one's provider."""
    return VENDOR + model.name.partition("/")[0]


def zone_rule_broken(zone: str) -> bool:
    """Return whether a zone's name could be taken for something else, or is none."""
    return not _ZONE.match(zone) or zone == ANY or zone.startswith(VENDOR)


def fits(entry: str, model: ModelPut) -> bool:
    """Return whether an entry of `allow` fits a model. What a model declares can match as a zone only."""
    if "/" in entry:
        return entry == model.name
    if entry.startswith(VENDOR):
        return entry == vendor_of(model)
    return fits_zones(entry, zones_of(model))


def fits_zones(entry: str, zones: frozenset[str]) -> bool:
    """Return whether an entry of `allow` fits a place that is no model: by its zones, or because it fits everything."""
    return entry == ANY or entry in zones


class Governance:
    """The rules in force; immutable, a pure function of a policy. Without classes there are none."""

    def __init__(
        self,
        classes: tuple[DataClass, ...] = (),
        workflows: Mapping[str, str] | None = None,
        zones: Iterable[str] = (),
    ) -> None:
        self._classes = classes
        self._workflows = workflows or {}  # name -> its data class
        self._zones = frozenset(zones)  # that models may declare
        self._rank = {entry.name: rank for rank, entry in enumerate(self._classes)}
        self._kept_private = [any(c.no_store for c in self._classes[: i + 1]) for i in range(len(self._classes))]
        self.enforced = bool(self._classes)

    def __repr__(self) -> str:
        return f"Governance({' < '.join(entry.name for entry in self._classes) or 'no rules'})"

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, from open to strict."""
        return tuple(entry.name for entry in self._classes)

    # -- classifying -----------------------------------------------------------------------------------------------

    def classify(self, claims: Claims) -> Treated:
        """Return the class that a request is treated as; raises UNKNOWN_DATA_CLASS for a name in the request."""
        if claims.request and claims.request not in self._rank:
            raise self._unknown(claims.request, "data_class")
        return self.treat(claims)

    def treat(self, claims: Claims, at_least: str = "") -> Treated:
        """Return the class, a name that is not configured being the strictest.

        at_least: the class that the request was treated as before, "" for none: it is never treated as a more open one.
        """
        if not self.enforced:
            return Treated("", "", False)
        strictest = len(self._classes) - 1
        workflow = self._workflows.get(claims.workflow, "")
        rank, source = -1, "unstated"
        for said, by in ((claims.request, "request"), (claims.task_class, "task_class"), (workflow, "workflow")):
            if said and (found := self._rank.get(said, strictest)) > rank:
                rank, source = found, by
        if rank < 0:
            rank = strictest
        for least, by in ((claims.caller, "caller"), (claims.content, "content")):
            if least and (found := self._rank.get(least, strictest)) > rank:
                rank, source = found, by
        if at_least:
            rank = max(rank, self._rank.get(at_least, strictest))
        return Treated(self._classes[rank].name, source, self._kept_private[rank])

    def no_store(self, data_class: str) -> bool:
        """Return whether free text about requests of a class is not to be written; without rules nothing forbids it."""
        return self.enforced and self._kept_private[self._rank.get(data_class, -1)]

    @property
    def ever_no_store(self) -> bool:
        """Whether any class forbids writing."""
        return any(self._kept_private)

    # -- permitting ------------------------------------------------------------------------------------------------

    def ground(self, model: ModelPut, data_class: str) -> str:
        """Return the entry of `allow` by which a class may go to a model, "" if it may not; ANY without rules.

        A model made of others sees nothing itself: each of its members is asked about when it is called.
        """
        if not self.enforced:
            return ANY
        if model.composite is not None:
            return "its members"
        return self._ground(lambda allowed: fits(allowed, model), data_class)

    def _ground(self, fitting: Callable[[str], bool], data_class: str) -> str:
        found = ""
        for entry in self._classes[: self._rank.get(data_class, len(self._classes) - 1) + 1]:
            found = next((allowed for allowed in entry.allow if fitting(allowed)), "")
            if not found:
                return ""
        return found

    def objection(self, model: ModelPut, data_class: str) -> str:
        """Return why a class may not go to a model, as a sentence without its full stop; "" if it may."""
        if self.ground(model, data_class):
            return ""
        why = self._objection(lambda allowed: fits(allowed, model), data_class)
        return f"{why}; the model is in {_listed(zones_of(model))}, of {vendor_of(model)}"

    def objection_to(self, declared: str, data_class: str) -> str:
        """Return why a class may not go to a place in these zones that is no model, as a callback; "" if it may."""
        zones = zones_in(declared)
        if not self.enforced or self._ground(lambda allowed: fits_zones(allowed, zones), data_class):
            return ""
        return f"{self._objection(lambda allowed: fits_zones(allowed, zones), data_class)}; it is in {_listed(zones)}"

    def _objection(self, fitting: Callable[[str], bool], data_class: str) -> str:
        rank = self._rank.get(data_class, len(self._classes) - 1)
        name = self._classes[rank].name
        own_first = (self._classes[rank], *self._classes[:rank])
        broken = next(c for c in own_first if not any(fitting(allowed) for allowed in c.allow))
        through = "" if broken.name == name else f", and what is stricter than {broken.name!r} goes where that may go"
        allowed = ", ".join(broken.allow[:_MOST_SHOWN]) or "nowhere"
        if len(broken.allow) > _MOST_SHOWN:
            allowed += f" and {len(broken.allow) - _MOST_SHOWN} more"
        return f"data class {name!r} may not go there{through}: {broken.name!r} may go to {allowed}"

    # -- names -----------------------------------------------------------------------------------------------------

    def check_class(self, name: str, field: str) -> None:
        """Raise UNKNOWN_DATA_CLASS for a name that is not configured, where there are rules."""
        if self.enforced and name and name not in self._rank:
            raise self._unknown(name, field)

    def check_zones(self, model: ModelPut, field: str) -> None:
        """Raise UNKNOWN_DATA_ZONE for a model with a zone that is not configured, where there are rules."""
        if self.enforced:
            for zone in sorted(zones_of(model) - self._zones):
                near = nearest(zone, sorted(self._zones))
                hint = (
                    f"did you mean {near!r}?" if near else f"the zones are {', '.join(sorted(self._zones)) or 'none'}"
                )
                raise NaiadError(
                    "UNKNOWN_DATA_ZONE",
                    f"{field} names {zone!r}, which is not configured; {hint} Or add it to governance.zones",
                    metadata={"value": zone, "nearest": near},
                    field=field,
                )

    def _unknown(self, name: str, field: str) -> NaiadError:
        near = nearest(name, self._rank)
        hint = f"did you mean {near!r}?" if near else f"the classes are {', '.join(self.names)}."
        return NaiadError(
            "UNKNOWN_DATA_CLASS",
            f"{field} is {name[:64]!r}, which is not configured; {hint} Or leave it out, which never opens anything",
            metadata={"value": name, "nearest": near},
            field=field,
        )


def _listed(zones: frozenset[str]) -> str:
    return ", ".join(sorted(zones)[:_MOST_SHOWN]) or "no zone"


def governance_of(policy: PolicySet) -> Governance:
    """Return the rules that a policy sets."""
    return Governance(policy.data_classes, policy.workflow_data, policy.data_zones)
