"""Anthropic's list of models: https://platform.claude.com/docs/en/api/models/list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from naiad.adapters.errors import MalformedAnswer
from naiad.adapters.exchange import Reply
from naiad.adapters.listing import (
    JSON_SCHEMA,
    REASONING,
    STREAMING,
    SYSTEM_PROMPT,
    TOOLS,
    VISION,
    ListedModel,
)

PER_PAGE = "1000"  # the most that one page holds
_OF_ALL = frozenset({STREAMING, SYSTEM_PROMPT, TOOLS})
"""What the Messages API has for each of its models, and what the list leaves unsaid."""


class _Support(msgspec.Struct):
    supported: bool = False


class _Capabilities(msgspec.Struct):
    image_input: _Support | None = None
    structured_outputs: _Support | None = None
    thinking: _Support | None = None


class _Model(msgspec.Struct):
    id: str = ""
    lifecycle: str | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    retires_at: datetime | None = None
    capabilities: _Capabilities | None = None


class _Page(msgspec.Struct):
    data: list[_Model]
    has_more: bool | None = None
    last_id: str | None = None


def listed(reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
    """Read a page, as `WireFormat.listed` says; a model that is retired can no longer be asked and is left out."""
    said: _Page = reply.json(_Page)
    following = (said.last_id or "") if said.has_more else ""
    if following and following == page:
        raise reply.asked.error(MalformedAnswer, "the list of models comes back to the same page", status=200)
    return [_listed(model) for model in said.data if model.id and model.lifecycle != "retired"], following


def _listed(model: _Model) -> ListedModel:
    retires = model.retires_at
    return ListedModel(
        model.id,
        _tokens(model.max_input_tokens),
        _tokens(model.max_tokens),
        retires.replace(tzinfo=UTC) if retires and retires.tzinfo is None else retires,
        _capabilities(model.capabilities),
    )


def _tokens(count: int | None) -> int | None:
    return count if count and count > 0 else None


def _capabilities(said: _Capabilities | None) -> frozenset[str]:
    if said is None:
        return frozenset()
    supports = {VISION: said.image_input, JSON_SCHEMA: said.structured_outputs, REASONING: said.thinking}
    return _OF_ALL | {name for name, support in supports.items() if support and support.supported}
