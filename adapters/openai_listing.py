"""The list of models behind `/models`: each vendor adds what it likes to a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from naiad.adapters.errors import MalformedAnswer
from naiad.adapters.exchange import Reply
from naiad.adapters.listing import JSON_SCHEMA, TOOLS, VISION, ListedModel

_WINDOWS = ("context_length", "context_window", "max_context_length", "max_model_len")
_OUTPUTS = ("max_completion_tokens", "max_output_tokens")
_RETIRED = ("deprecation", "shutdown_date", "expiration_date")
_CHATTING = ("chat", "language", "code", "model", "base", "fine-tuned")  # values of `type`, where there is one


def models_of(reply: Reply, unlisted: str) -> list[ListedModel]:
    """Read `{"data": [...]}` or a bare list (Together); raises MalformedAnswer.

    unlisted: regular expression of names to leave out.
    """
    body = reply.json()
    entries = body.get("data") if isinstance(body, dict) else body
    if not isinstance(entries, list):
        raise reply.asked.error(MalformedAnswer, "the reply is not a list of models", status=reply.status)
    left_out = re.compile(unlisted) if unlisted else None
    return [
        _model(entry)
        for entry in entries
        if isinstance(entry, dict) and _chats(entry) and not (left_out and left_out.search(entry["id"]))
    ]


def _model(entry: dict[str, Any]) -> ListedModel:
    places = [entry, *_objects(entry, "top_provider", "meta"), *_providers(entry)]
    return ListedModel(
        name=entry["id"],
        context_window=_tokens(places, (*_WINDOWS, "n_ctx")),
        max_output_tokens=_tokens(places, _OUTPUTS),
        deprecated_at=next((when for key in _RETIRED if (when := _moment(entry.get(key)))), None),
        capabilities=frozenset(_capabilities(entry)),
    )


def _chats(entry: dict[str, Any]) -> bool:
    name, kind = entry.get("id"), entry.get("type")
    if not isinstance(name, str) or not name or entry.get("active") is False:
        return False
    if isinstance(kind, str) and kind not in _CHATTING:
        return False
    outputs = [of for part in _objects(entry, "architecture") for of in _list(part.get("output_modalities"))]
    can = next(iter(_objects(entry, "capabilities")), {})
    return can.get("completion_chat") is not False and (not outputs or "text" in outputs)


def _capabilities(entry: dict[str, Any]) -> Iterable[str]:
    can = next(iter(_objects(entry, "capabilities")), {})
    takes = _list(entry.get("supported_parameters"))
    providers = _providers(entry)
    inputs = [of for part in _objects(entry, "architecture") for of in _list(part.get("input_modalities"))]
    if can.get("vision") is True or "image" in inputs:
        yield VISION
    if can.get("function_calling") is True or "tools" in takes or _all(providers, "supports_tools"):
        yield TOOLS
    if "structured_outputs" in takes or _all(providers, "supports_structured_output"):
        yield JSON_SCHEMA


def _providers(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return those of Hugging Face's router that are up: any of them may answer."""
    found = [one for one in _list(entry.get("providers")) if isinstance(one, dict)]
    return [one for one in found if one.get("status") in (None, "live")]


def _all(providers: list[dict[str, Any]], key: str) -> bool:
    return bool(providers) and all(one.get(key) is True for one in providers)


def _tokens(places: list[dict[str, Any]], keys: tuple[str, ...]) -> int | None:
    """Return the least of what is said: where a model is in several places, what fits in all of them."""
    found = [place.get(key) for place in places for key in keys]
    return min((n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0), default=None)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _objects(entry: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    return [found for name in names if isinstance(found := entry.get(name), dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
