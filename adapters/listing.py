"""A provider's own list of its models, in the providers' common terms.

Listing is asked of whoever has a list; an adapter of a wire format that has one implements `ModelLister` beside
`Adapter`. What a provider does not say stays unset: nothing is guessed here, and prices come from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

VISION, TOOLS, JSON_SCHEMA = "vision", "tools", "json_schema"
STREAMING, REASONING, SYSTEM_PROMPT = "streaming", "reasoning", "system_prompt"

CAPABILITIES = frozenset({VISION, TOOLS, JSON_SCHEMA, STREAMING, REASONING, SYSTEM_PROMPT})
"""What a listed model may be said to do: the words of the configuration's `capabilities`."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model as its provider lists it.

    Raises ValueError for an empty name, a number of tokens below 1, a time without a time zone, or a capability that is
    none of CAPABILITIES.
    """

    name: str  # the name that the provider knows, e.g. "gpt-5-mini"; not the inventory's "provider/model"
    context_window: int | None = None  # tokens of input and output together; None: not said
    max_output_tokens: int | None = None  # None: not said
    deprecated_at: datetime | None = None  # when the provider retires it; with a time zone; None: not said
    capabilities: frozenset[str] = frozenset()  # of CAPABILITIES; empty: nothing was said

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a listed model has no name; leave it out of the list")
        for field in ("context_window", "max_output_tokens"):
            tokens = getattr(self, field)
            if tokens is not None and tokens < 1:
                raise ValueError(f"{field} of {self.name!r} is {tokens}; give at least 1, or None where it is not said")
        if self.deprecated_at is not None and self.deprecated_at.utcoffset() is None:
            raise ValueError(f"deprecated_at of {self.name!r} is {self.deprecated_at}, without a time zone; give one")
        if unknown := self.capabilities - CAPABILITIES:
            raise ValueError(f"capabilities of {self.name!r} are {sorted(unknown)}; known are {sorted(CAPABILITIES)}")


@runtime_checkable
class ModelLister(Protocol):
    """An adapter whose provider lists its models.

    Laws: failures are `ProviderError`s with the provider, as of `Adapter`; `timeout_s` bounds the wall time of the
    whole listing, further pages included; the list has each name once, and nothing of a prompt or a key leaves with it
    beyond the credential.
    """

    async def list_models(self, timeout_s: float) -> tuple[ListedModel, ...]:
        """Return the models in the provider's order."""
        ...
