"""Vendors as data: which wire format each speaks, where, and under which name its prices are listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from naiad.adapters.anthropic_messages import NEWEST, AnthropicMessages
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.endpoint import Endpoint
from naiad.adapters.wire_format import WireFormat


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of endpoint."""

    wire: Callable[[Endpoint], WireFormat]  # reads `api_version`, raises ValueError for one that it does not know
    base_url: str = ""  # "": the administrator says where it is
    key_env: str = ""  # the variable that the vendor's own tools read their key from; "": it has none
    listed_as: str = ""  # the vendor in genai-prices; "": no list has its prices
    private: bool = False  # `base_url` is in the administrator's own network


def _cohere(endpoint: Endpoint) -> WireFormat:
    if endpoint.api_version:
        raise ValueError("Cohere's chat API has no versions to choose from; leave it out")
    return CohereChat()


PROFILES: Mapping[str, Profile] = {
    "anthropic": Profile(
        lambda endpoint: AnthropicMessages(endpoint.api_version or NEWEST),
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        "anthropic",
    ),
    "cohere": Profile(_cohere, "https://api.cohere.com", "CO_API_KEY", "cohere"),
}
"""By kind, as in `[endpoints.NAME]`."""
