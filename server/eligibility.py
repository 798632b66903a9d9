"""The one function that says which models a request may use, and why not the others.

Every call that leaves the process asks it, at decide time and again before each attempt. It fails closed: what is
unknown about a model counts against it where a rule needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from naiad.server.catalog import Catalog
from naiad.server.errors import NaiadError
from naiad.server.records import Exclusion, ModelPut


class Reason(IntEnum):
    """Why a model is excluded; numbered as ExclusionReason in the API."""

    POLICY = 1
    NOT_ALLOWED = 2
    CONTEXT_WINDOW = 4
    CAPABILITY = 5
    DISABLED = 6
    NO_PRICE = 7
    NO_ENDPOINT = 12


class Capability(IntEnum):
    """What a model can do beyond text; numbered as in the API."""

    VISION = 1
    TOOLS = 2
    JSON_SCHEMA = 3
    STREAMING = 4
    REASONING = 5
    SYSTEM_PROMPT = 6


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of a model."""

    input_tokens: int
    max_output_tokens: int  # reserved in the context window
    explicit_output: bool = False  # the caller set max_output_tokens, so the model must be able to write that much
    allowed: frozenset[str] = frozenset()  # empty: all
    capabilities: frozenset[int] = frozenset()


def refusal(
    model: ModelPut, needs: Needs, policy_models: frozenset[str], endpoints: frozenset[str]
) -> Exclusion | None:
    """Return why a model may not be used for a request, or None if it may.

    policy_models: the policy's list, empty for all; endpoints: profiles that have an adapter.
    """
    if model.disabled:
        return Exclusion(model.model, Reason.DISABLED, "disabled in the catalogue")
    if policy_models and model.name not in policy_models:
        return Exclusion(model.model, Reason.POLICY, "not in the policy's models")
    if needs.allowed and model.name not in needs.allowed:
        return Exclusion(model.model, Reason.NOT_ALLOWED, "not in the request's allowed_models")
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
    if model.context_window is not None and needs.input_tokens + reserved > model.context_window:
        return Exclusion(
            model.model,
            Reason.CONTEXT_WINDOW,
            f"needs {needs.input_tokens} + {reserved} tokens; the context window holds {model.context_window}",
        )
    return None


def split(
    catalog: Catalog, needs: Needs, policy_models: frozenset[str], endpoints: frozenset[str]
) -> tuple[list[int], list[Exclusion]]:
    """Return the ids of the eligible models, and an Exclusion for each of the others; raises when none is left."""
    eligible: list[int] = []
    excluded: list[Exclusion] = []
    for model in catalog.live:
        reason = refusal(model, needs, policy_models, endpoints)
        if reason is None:
            eligible.append(model.model)
        else:
            excluded.append(reason)
    if not eligible:
        raise none_left(catalog, excluded)
    return eligible, excluded


def none_left(catalog: Catalog, excluded: list[Exclusion]) -> NaiadError:
    """Build the error for a request that no model may serve."""
    counts: dict[str, int] = {}
    for exclusion in excluded:
        name = Reason(exclusion.reason).name
        counts[name] = counts.get(name, 0) + 1
    reasons = ", ".join(f"{name} x {count}" for name, count in sorted(counts.items()))
    facts = "; ".join(f"{catalog.models[e.model].name}: {e.detail}" for e in excluded[:8]) or "the catalogue is empty"
    return NaiadError(
        "NO_ELIGIBLE_MODEL",
        f"no model may be used for this request ({facts}); change the request or the catalogue accordingly",
        code="FAILED_PRECONDITION",
        metadata={"task_class": "", "models": len(excluded), "reasons": reasons},
        details=[("excluded", [(catalog.models[e.model].name, e.reason, e.detail) for e in excluded])],
    )
