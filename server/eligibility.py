"""The one function that says which models a request may use, and why not the others.

It is asked at decide time, which gives the request its permit: an immutable value that travels with it. `egress` asks
again before each call leaves the process. It fails closed: what is unknown about a model counts against it where a rule
needs it. Breakers come last, and only ever take models away: where all that are left are open, nothing is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from naiad.adapters.tokens import tokens_of_bytes
from naiad.server.breakers import Breakers
from naiad.server.catalog import Catalog
from naiad.server.composites import judges as judges_of
from naiad.server.composites import quorum
from naiad.server.errors import NaiadError
from naiad.server.governance import Claims, Governance
from naiad.server.records import Exclusion, ModelPut


class Reason(IntEnum):
    """Why a model is excluded; numbered as ExclusionReason in the API."""

    POLICY = 1
    NOT_ALLOWED = 2
    DATA_ZONE = 3
    CONTEXT_WINDOW = 4
    CAPABILITY = 5
    DISABLED = 6
    NO_PRICE = 7
    UNAVAILABLE = 8
    BUDGET = 9
    KEY = 10
    NEWCOMER_CAP = 11
    NO_ENDPOINT = 12


class Capability(IntEnum):
    """What a model can do beyond text; numbered as in the API."""

    VISION = 1
    TOOLS = 2
    JSON_SCHEMA = 3
    STREAMING = 4
    REASONING = 5
    SYSTEM_PROMPT = 6


_Key = tuple[frozenset[str], frozenset[str], frozenset[int], str, tuple[str, ...], bool]  # what a split depends on
_NO_LIMIT = 1 << 62
_CALLED_BY_US = "is made of other models, which only Complete and StreamComplete call"
_MOST_KEPT_NAMES = 64  # of allowed models: what is kept of a thousand requests stays within a few MiB
# gRPC refuses metadata beyond 8 KiB. The message is in it twice, once in base64 with the details: 7 KiB in the end.
_MESSAGE_BYTES, _DETAILS_BYTES = 1_000, 2_500


class Needs(NamedTuple):
    """What a request asks of a model."""

    input_tokens: int
    max_output_tokens: int  # reserved in the context window
    explicit_output: bool = False  # the caller set max_output_tokens, so the model must be able to write that much
    allowed: frozenset[str] = frozenset()  # empty: all
    capabilities: frozenset[int] = frozenset()
    data_class: str = ""  # that it is treated as; where there are rules, "" is the strictest
    key_models: tuple[str, ...] = ()  # names and patterns that the caller's key permits; empty: all
    text_bytes: int = 0  # UTF-8, that input_tokens was estimated from; 0: the caller counted
    ratios: Mapping[int, float] = {}  # bytes a token, of models that are known to count otherwise than estimated
    composites: bool = False  # whether models made of others may be used: Naiad is to call them

    @property
    def framing_tokens(self) -> int:
        """Tokens of the input beside its text: what frames messages, images."""
        return self.input_tokens - tokens_of_bytes(self.text_bytes)

    def input_for(self, model: int) -> int:
        """Return the tokens that the input is for one model."""
        ratio = self.ratios.get(model) if self.text_bytes else None
        return self.input_tokens if ratio is None else self.framing_tokens + tokens_of_bytes(self.text_bytes, ratio)

    @property
    def most_input(self) -> int:
        """Return the tokens that the input is at most, whatever the model."""
        if not (self.text_bytes and self.ratios):
            return self.input_tokens
        least = min(self.ratios.values())
        return max(self.input_tokens, self.framing_tokens + tokens_of_bytes(self.text_bytes, least))


class Permit(msgspec.Struct, frozen=True, gc=False):
    """What one request may use. Only `Eligibility.permit` makes one, and nothing changes it."""

    models: frozenset[int]
    epoch: int  # of the rules that it was made under
    needs: Needs
    claims: Claims  # with "" as the task class's: that is looked up anew
    task_class: int
    via: int | None = None  # the composite whose parts it is for


def refusal(
    model: ModelPut,
    needs: Needs,
    policy_models: frozenset[str],
    endpoints: frozenset[str],
    governance: Governance,
    breakers: Breakers | None = None,
) -> Exclusion | None:
    """Return why a model may not be used for a request, or None if it may; of a composite, its members aside.

    policy_models: the policy's list, empty for all; endpoints: profiles that have an adapter; breakers: None does not
    ask whether the provider is well at this moment.
    """
    if model.deleted:
        return Exclusion(model.model, Reason.DISABLED, "deleted from the catalogue")
    if model.disabled:
        return Exclusion(model.model, Reason.DISABLED, "disabled in the catalogue")
    if governance.enforced and (objection := governance.objection(model, needs.data_class)):
        return Exclusion(model.model, Reason.DATA_ZONE, objection)
    if policy_models and model.name not in policy_models:
        return Exclusion(model.model, Reason.POLICY, "not in the policy's models")
    if needs.allowed and model.name not in needs.allowed:
        return Exclusion(model.model, Reason.NOT_ALLOWED, "not in the request's allowed_models")
    if needs.key_models and not named_by(needs.key_models, model.name):
        return Exclusion(model.model, Reason.KEY, "not among the models that the caller's key permits")
    if model.composite is not None:
        return None if needs.composites else Exclusion(model.model, Reason.CAPABILITY, _CALLED_BY_US)
    if model.prices is None:
        return Exclusion(model.model, Reason.NO_PRICE, "has no price; set it with UpdateModel, 0 is a price")
    if endpoints and model.endpoint not in endpoints:
        return Exclusion(model.model, Reason.NO_ENDPOINT, f"endpoint {model.endpoint!r} is not configured")
    if needs.capabilities and not needs.capabilities.issubset(model.capabilities):
        missing = sorted(needs.capabilities.difference(model.capabilities))
        names = ", ".join(Capability(c).name.lower() if c in list(Capability) else str(c) for c in missing)
        return Exclusion(model.model, Reason.CAPABILITY, f"lacks {names}")
    reserved = needs.max_output_tokens
    if model.max_output_tokens is not None:
        if needs.explicit_output and reserved > model.max_output_tokens:
            return Exclusion(
                model.model,
                Reason.CONTEXT_WINDOW,
                f"asked to write {reserved} tokens; can write {model.max_output_tokens}",
            )
        reserved = min(reserved, model.max_output_tokens)
    if model.context_window is not None and (read := needs.input_for(model.model)) + reserved > model.context_window:
        return Exclusion(
            model.model,
            Reason.CONTEXT_WINDOW,
            f"needs {read} + {reserved} tokens; the context window holds {model.context_window}",
        )
    if breakers is not None and (objection := breakers.objection(model)):
        return Exclusion(model.model, Reason.UNAVAILABLE, objection)
    return None


def named_by(patterns: Iterable[str], name: str) -> bool:
    """Return whether one of some names or patterns means a model; "*" stands for any characters."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class Eligibility:
    """Splits the catalogue for requests; what does not depend on a request's size is worked out once."""

    def __init__(self, catalog: Catalog, endpoints: frozenset[str], callbacks: Mapping[str, str] | None = None) -> None:
        self._catalog = catalog
        self._endpoints = endpoints
        self.callbacks = callbacks or {}  # that are configured, with the zones that each declares
        self._kept: dict[_Key, _Kept] = {}
        self._grounds: dict[str, dict[int, str]] = {}  # data class -> model -> the entry that permits it
        self._version = -1
        self._policy_models: frozenset[str] = frozenset()
        self.governance = Governance()
        self.epoch = 0  # place in the log of the last change of what this depends on
        self.breakers: Breakers | None = None  # of a server that calls providers
        self._thinned: _Thinned | None = None

    def __repr__(self) -> str:
        return f"Eligibility(epoch={self.epoch}, models={len(self._catalog.live)}, {self.governance!r})"

    def changed(self, sequence: int) -> None:
        """Begin another epoch: the event of this sequence changed the catalogue or the policy."""
        self.epoch = max(self.epoch + 1, sequence)

    def govern(self, policy_models: frozenset[str], governance: Governance) -> None:
        """Put another policy's rules in force."""
        self._policy_models, self.governance = policy_models, governance
        self._version = -1

    def permit(self, eligible: Iterable[int], needs: Needs, claims: Claims, task_class: int) -> Permit:
        """Return the permit of a request for which `split` returned these models.

        needs: with the data class that the request is treated as.
        """
        return Permit(frozenset(eligible), self.epoch, needs, claims._replace(task_class=""), task_class)

    def part_permit(self, permit: Permit, composite: int) -> Permit:
        """Return the permit to call the parts of a composite for a request, and nothing else."""
        found = self._catalog.members.get(composite) if composite in permit.models else None
        models = frozenset(found.all if found else ())
        return Permit(models, permit.epoch, permit.needs, permit.claims, permit.task_class, composite)

    def recheck(self, permit: Permit, model: int, *, at_present: bool = True) -> Exclusion | None:
        """Return why a model may not be called under a permit at this moment, None if it may.

        The model must be in the permit, and the present rules must let the request go there, whatever they were when
        the permit was made. The request is classified anew, and never as more open than before. at_present: whether
        its breaker is asked, too.
        """
        if model not in permit.models:
            return Exclusion(model, Reason.NOT_ALLOWED, "not among the models that the request was permitted")
        entry, needs = self._catalog.models[model], self._needs_now(permit)
        breakers = self.breakers if at_present else None
        if permit.via is None:
            return self._why(entry, needs, self._policy_models, breakers)
        whole, members = self._catalog.models[permit.via], self._catalog.members.get(permit.via)
        found = refusal(whole, needs, self._policy_models, self._endpoints, self.governance)
        if found is not None or members is None or model not in members.all:
            why = f"{whole.name} {found.detail}" if found else f"no part of {whole.name} any more"
            return Exclusion(model, found.reason if found else Reason.NOT_ALLOWED, why)
        return self._part_refusal(entry, needs, breakers, judges=model == members.judge)

    def recheck_callback(self, permit: Permit, name: str) -> Exclusion | None:
        """Return why an answer may not go to a callback under a part's permit at this moment, None if it may.

        It must be the check of the composite that the permit is for, as that is now; and the present rules must let
        the request's data go where the callback is, as in `recheck`.
        """
        if permit.via is None or not permit.models:
            return Exclusion(permit.via or 0, Reason.NOT_ALLOWED, "the request has no permit for a callback")
        whole, needs = self._catalog.models[permit.via], self._needs_now(permit)
        found = refusal(whole, needs, self._policy_models, self._endpoints, self.governance)
        check = None if whole.composite is None else whole.composite.check
        if found is None and (check is None or check.callback != name):
            found = Exclusion(whole.model, Reason.NOT_ALLOWED, f"callback {name!r} is not its check any more")
        return found or self._callback_refusal(whole, name, needs.data_class)

    def _callback_refusal(self, whole: ModelPut, name: str, data_class: str) -> Exclusion | None:
        """Return why a cascade's answers may not go to its callback, None if they may."""
        zones = self.callbacks.get(name)
        if zones is None:
            return Exclusion(whole.model, Reason.NO_ENDPOINT, f"its callback {name!r} is not configured")
        objection = self.governance.objection_to(zones, data_class)
        return Exclusion(whole.model, Reason.DATA_ZONE, f"its callback {name!r}: {objection}") if objection else None

    def _part_refusal(
        self, part: ModelPut, needs: Needs, breakers: Breakers | None, *, judges: bool = False
    ) -> Exclusion | None:
        """Return why a model may not be called as a part of a composite, whose name stands for its parts' in lists.

        A judge answers a question of ours about texts: the request's capabilities are not asked of it.
        """
        asked = needs._replace(
            allowed=frozenset(),
            key_models=(),
            composites=False,
            capabilities=needs.capabilities - {int(Capability.STREAMING)},
        )  # a part is asked for its whole answer
        if judges:
            asked = asked._replace(capabilities=frozenset(), explicit_output=False)
        return refusal(part, asked, frozenset(), self._endpoints, self.governance, breakers)

    def _why(
        self, model: ModelPut, needs: Needs, policy_models: frozenset[str], breakers: Breakers | None = None
    ) -> Exclusion | None:
        """Return why a model may not be used for a request; a composite may while enough of its members may."""
        found = refusal(model, needs, policy_models, self._endpoints, self.governance, breakers)
        composite = model.composite
        if found is not None or composite is None:
            return found
        if composite.check is not None and composite.check.callback:
            unfit = self._callback_refusal(model, composite.check.callback, needs.data_class)
            if unfit is not None:
                return unfit
        models, members, least = self._catalog.models, self._catalog.members[model.model], quorum(composite)
        if members.judge is None and (names := judges_of(composite)):
            return Exclusion(model.model, Reason.DISABLED, f"its judge {names[0]} is not there")
        if members.judge is not None:
            unfit = self._part_refusal(models[members.judge], needs, breakers, judges=True)
            if unfit is not None:
                return Exclusion(model.model, unfit.reason, f"its judge {models[members.judge].name}: {unfit.detail}")
        away = [e for m in members.models if (e := self._part_refusal(models[m], needs, breakers)) is not None]
        if len(members.models) - len(away) >= least:
            return None
        why = "; ".join(f"{models[e.model].name}: {e.detail}" for e in away[:4])
        reason = away[0].reason if away else Reason.DISABLED
        return Exclusion(model.model, reason, f"needs {least} of its {len(composite.members)} members ({why})")

    def _needs_now(self, permit: Permit) -> Needs:
        """Return a permit's needs with the data class that the present rules make of it."""
        claims = permit.claims._replace(task_class=self._catalog.task_classes[permit.task_class].data_class)
        needs = permit.needs
        if self.governance.enforced:
            needs = needs._replace(data_class=self.governance.treat(claims, at_least=needs.data_class).data_class)
        return needs

    def grounds(self, data_class: str, models: Iterable[int]) -> list[str]:
        """Return the entry of the rules by which each of these eligible models may see a data class."""
        self._refresh()
        kept = self._grounds.get(data_class)
        if kept is None:
            kept = {m.model: self.governance.ground(m, data_class) for m in self._catalog.live}
            self._grounds[data_class] = kept
        return [kept[model] for model in models]

    def _refresh(self) -> None:
        if self._version != self._catalog.version or len(self._kept) > 1_000:
            self._kept.clear()
            self._grounds.clear()
            self._version = self._catalog.version

    def split(
        self, needs: Needs, policy_models: frozenset[str], task_class: str = "", *, at_present: bool = True
    ) -> tuple[list[int], list[Exclusion]]:
        """Return the ids of the eligible models, and an Exclusion for each of the others; raises when none is left.

        at_present: whether providers that are not well at this moment are left out.
        """
        self._refresh()
        key = (
            policy_models, needs.allowed, needs.capabilities, needs.data_class, needs.key_models, needs.composites
        )  # fmt: skip
        kept = self._kept.get(key)
        if kept is None:
            kept = self._small(needs, policy_models)
            if len(needs.allowed) <= _MOST_KEPT_NAMES:
                self._kept[key] = kept
        largest = needs.max_output_tokens
        if needs.most_input + largest <= kept.window and (largest <= kept.output or not needs.explicit_output):
            eligible, excluded = kept.eligible, kept.excluded
        else:
            eligible, excluded = self._each(needs, policy_models)
        if at_present and self.breakers is not None and self.breakers.troubled:
            eligible, excluded = self._present(self.breakers, eligible, excluded, needs)
        if not eligible:
            raise self.none_left(excluded, task_class)
        return eligible, excluded

    def none_left(self, excluded: list[Exclusion], task_class: str = "") -> NaiadError:
        """Build the error for a request that no model may serve, or none at this moment."""
        models, breakers = self._catalog.models, self.breakers
        gone = [models[e.model] for e in excluded if e.reason == Reason.UNAVAILABLE]
        wait_s = None
        if gone and breakers is not None:
            wait_s = min(self._ready_in_s(breakers, model) for model in gone)
        return none_left(self._catalog, excluded, task_class, wait_s)

    def _ready_in_s(self, breakers: Breakers, model: ModelPut) -> float:
        """Return in how many seconds a model may be tried; a composite when its judge and enough members may."""
        if model.composite is None:
            return breakers.ready_in_s(model)
        members = self._catalog.members[model.model]
        waits = sorted(breakers.ready_in_s(self._catalog.models[member]) for member in members.models)
        judge_s = 0.0 if members.judge is None else breakers.ready_in_s(self._catalog.models[members.judge])
        return max(waits[min(quorum(model.composite), len(waits)) - 1], judge_s) if waits else judge_s

    def _present(
        self, breakers: Breakers, eligible: list[int], excluded: list[Exclusion], needs: Needs
    ) -> tuple[list[int], list[Exclusion]]:
        """Leave out those whose breaker is open; the same lists as before where the same are out."""
        out = [found for model in eligible if (found := self._trouble(breakers, model, needs)) is not None]
        if not out:
            return eligible, excluded
        kept = self._thinned
        if kept is None or kept.eligible is not eligible or kept.excluded is not excluded or kept.out != out:
            gone = {exclusion.model for exclusion in out}
            left = [model for model in eligible if model not in gone]
            kept = self._thinned = _Thinned(eligible, excluded, out, left, excluded + out)
        return kept.left, kept.all

    def _trouble(self, breakers: Breakers, model: int, needs: Needs) -> Exclusion | None:
        """Return why an eligible model cannot be called at this moment, None if it can."""
        entry = self._catalog.models[model]
        if entry.composite is not None:
            return self._why(entry, needs, frozenset(), breakers)
        objection = breakers.objection(entry)
        return Exclusion(model, Reason.UNAVAILABLE, objection) if objection else None

    def _each(self, needs: Needs, policy_models: frozenset[str]) -> tuple[list[int], list[Exclusion]]:
        eligible: list[int] = []
        excluded: list[Exclusion] = []
        for model in self._catalog.live:
            reason = self._why(model, needs, policy_models)
            if reason is None:
                eligible.append(model.model)
            else:
                excluded.append(reason)
        return eligible, excluded

    def _small(self, needs: Needs, policy_models: frozenset[str]) -> _Kept:
        """Split for a request so small that size excludes nothing, and note up to which size that holds.

        Raises UNKNOWN_MODEL or MODEL_DELETED for an allowed model that the catalogue does not have.
        """
        for name in sorted(needs.allowed):
            self._catalog.model(name, "allowed_models")
        eligible, excluded = self._each(
            needs._replace(input_tokens=0, text_bytes=0, max_output_tokens=0), policy_models
        )
        parts = [m for i in eligible if (made := self._catalog.members.get(i)) is not None for m in made.all]
        models = [self._catalog.models[i] for i in (*eligible, *parts)]
        return _Kept(
            eligible,
            excluded,
            min((m.context_window for m in models if m.context_window is not None), default=_NO_LIMIT),
            min((m.max_output_tokens for m in models if m.max_output_tokens is not None), default=_NO_LIMIT),
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    eligible: list[int]
    excluded: list[Exclusion]
    window: int  # tokens that fit the context window of every eligible model
    output: int  # tokens that every eligible model can write


class _Thinned(NamedTuple):
    """A split without the models whose breaker is open."""

    eligible: list[int]
    excluded: list[Exclusion]
    out: list[Exclusion]
    left: list[int]
    all: list[Exclusion]


def none_left(
    catalog: Catalog, excluded: list[Exclusion], task_class: str = "", wait_s: float | None = None
) -> NaiadError:
    """Build the error for a request that no model may serve; it names as many models as a status can carry.

    One model of each reason comes first, so that no reason is hidden behind many models of another.
    wait_s: until one may, where it is only that providers are not well.
    """
    counts: dict[str, int] = {}
    turns = []  # how many of the same reason came before
    for exclusion in excluded:
        name = Reason(exclusion.reason).name
        turns.append(counts.get(name, 0))
        counts[name] = turns[-1] + 1
    varied = [excluded[at] for at in sorted(range(len(excluded)), key=turns.__getitem__)]
    reasons = ", ".join(f"{name} x {count}" for name, count in sorted(counts.items()))
    named = [(catalog.models[e.model].name, e.reason, e.detail) for e in varied]
    few = _within(named, _MESSAGE_BYTES)[:8]
    facts = "; ".join(f"{name}: {detail}" for name, _, detail in few) or "the catalogue is empty"
    if len(few) < len(named):
        facts += f"; and {len(named) - len(few)} more"
    metadata = {"task_class": task_class, "models": len(excluded), "reasons": reasons}
    details = [("excluded", _within(named, _DETAILS_BYTES))]
    if wait_s is not None:
        return NaiadError(
            "MODELS_UNAVAILABLE",
            f"every model that may be used for this request fails at present ({facts}); wait as long as RetryInfo says",
            code="UNAVAILABLE", metadata=metadata, details=details, retry_after_s=wait_s,
        )  # fmt: skip
    return NaiadError(
        "NO_ELIGIBLE_MODEL",
        f"no model may be used for this request ({facts}); change the request or the catalogue accordingly",
        code="FAILED_PRECONDITION", metadata=metadata, details=details,
    )  # fmt: skip


def _within(named: list[tuple[str, int, str]], most: int) -> list[tuple[str, int, str]]:
    """Return the first of the exclusions that take no more than so many bytes."""
    size = 0
    for count, (name, _, detail) in enumerate(named):
        size += len(name.encode()) + len(detail.encode()) + 8
        if size > most:
            return named[:count]
    return named
