"""The models of an inventory that nobody has written: a few of each vendor, cheap to dear.

They are where a first try begins, and no recommendation: `naiad models import` reads what a vendor offers today. Prices
and windows come from the price list; a name that it does not know is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Starters(NamedTuple):
    """A vendor's models, by the names that it knows."""

    names: tuple[str, ...]
    vision: bool = False  # whether they read images


STARTERS: Mapping[str, Starters] = {
    "openai": Starters(("gpt-6-luna", "gpt-6.1-terra", "gpt-6.1-sol"), vision=True),
    "anthropic": Starters(("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"), vision=True),
    "gemini": Starters(("gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-4-argon"), vision=True),
    "mistral": Starters(("mistral-small-2603", "mistral-medium-3-5", "mistral-large-4")),
    "cohere": Starters(("command-r7b", "command-a")),
    "groq": Starters(("openai/gpt-oss-20b", "openai/gpt-oss-120b")),
    "together": Starters(("Qwen/Qwen3.8-Flash", "deepseek-ai/DeepSeek-V4.1-Flash", "moonshotai/Kimi-K3.1-Pro")),
}
"""By kind of endpoint; vendors of everybody's models (OpenRouter, Hugging Face) have none."""
