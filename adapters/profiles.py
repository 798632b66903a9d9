"""Vendors as data: which wire format each speaks, where, and under which name its prices are listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from naiad.adapters.endpoint import Endpoint
from naiad.adapters.gemini import Gemini
from naiad.adapters.ollama import OllamaNative
from naiad.adapters.wire_format import WireFormat


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of endpoint."""

    wire: Callable[[Endpoint], WireFormat]  # reads `api_version`, raises ValueError for one that it does not know
    base_url: str = ""  # "": the administrator says where it is
    key_env: str = ""  # the variable that the vendor's own tools read their key from; "": it has none
    listed_as: str = ""  # the vendor in genai-prices; "": no list has its prices
    private: bool = False  # `base_url` is in the administrator's own network


def _ollama(endpoint: Endpoint) -> WireFormat:
    if endpoint.api_version:
        raise ValueError("Ollama has no versions; leave it out")
    return OllamaNative()


PROFILES: Mapping[str, Profile] = {
    "gemini": Profile(
        lambda endpoint: Gemini(endpoint.api_version or "v1"),
        "https://generativelanguage.googleapis.com",
        "GEMINI_API_KEY",
        "google",
    ),
    "ollama": Profile(_ollama, "http://127.0.0.1:11434", private=True),
}
"""By kind, as in `[endpoints.NAME]`."""
