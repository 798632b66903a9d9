"""Cohere's list of models: https://docs.cohere.com/reference/list-models."""

from __future__ import annotations

from collections.abc import Sequence

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
_FEATURES = {"tools": TOOLS, "json_schema": JSON_SCHEMA, "vision": VISION, "reasoning": REASONING}
_OF_ALL = frozenset({STREAMING, SYSTEM_PROMPT})
"""What the chat API has for each of its models, and what the list leaves unsaid."""


class _Model(msgspec.Struct):
    name: str | None = None
    endpoints: list[str] | None = None
    context_length: float | None = None
    features: list[str] | None = None


class _Page(msgspec.Struct):
    models: list[_Model]
    next_page_token: str | None = None


def listed(reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
    """Read a page, as `WireFormat.listed` says; models that do not chat are left out.

    `is_deprecated` says that a model is on its way out and not when, so nothing is made of it.
    """
    said: _Page = reply.json(_Page)
    following = said.next_page_token or ""
    if following and following == page:
        raise reply.asked.error(MalformedAnswer, "the list of models comes back to the same page", status=200)
    chats = [model for model in said.models if model.name and "chat" in (model.endpoints or ())]
    return [_listed(model.name or "", model) for model in chats], following


def _listed(name: str, model: _Model) -> ListedModel:
    length = model.context_length
    window = int(length) if length is not None and 1 <= length < 1 << 40 else None
    said = model.features
    capabilities = frozenset() if said is None else _OF_ALL | {_FEATURES[f] for f in said if f in _FEATURES}
    return ListedModel(name, window, capabilities=capabilities)
