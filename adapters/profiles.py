"""Vendors as data: which wire format each speaks, where, and under which name its prices are listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from naiad.adapters.anthropic_messages import NEWEST, AnthropicMessages
from naiad.adapters.billing import BillInUsage
from naiad.adapters.cohere_chat import CohereChat
from naiad.adapters.endpoint import Endpoint
from naiad.adapters.gemini import Gemini
from naiad.adapters.ollama import OllamaNative
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.wire_format import WireFormat


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of endpoint."""

    wire: Callable[[Endpoint], WireFormat]  # reads `api_version`, raises ValueError for one that it does not know
    base_url: str = ""  # "": the administrator says where it is
    key_env: str = ""  # the variable that the vendor's own tools read their key from; "": it has none
    listed_as: str = ""  # the vendor in genai-prices; "": no list has its prices
    private: bool = False  # `base_url` is in the administrator's own network


def _one_version(wire: WireFormat) -> Callable[[Endpoint], WireFormat]:
    """Speak a format of which there is one version."""

    def made(endpoint: Endpoint) -> WireFormat:
        if endpoint.api_version:
            raise ValueError("this kind has no versions; leave it out")
        return wire

    return made


def _chat(**quirks: Any) -> Callable[[Endpoint], WireFormat]:
    return _one_version(OpenAIChat(**quirks))


OPENAI_CHAT: Mapping[str, Profile] = {
    "openai": Profile(
        _chat(
            max_tokens="max_completion_tokens",
            most_stops=4,
            reasoning=(
                "o1", "o3", "o4", "gpt-5", "gpt-5.1-chat", "gpt-5.1-codex", "gpt-5.2-chat", "gpt-5.2-pro",
                "gpt-5.3-chat", "gpt-5.4-pro", "gpt-6",
            ),
            not_reasoning=("gpt-5-chat", "gpt-5.1", "gpt-5.2", "gpt-5.3", "gpt-5.4"),
            reasoning_system_role="developer",
            call_ids=r".{1,40}",
            unlisted=r"embedding|tts|whisper|dall-e|image|moderation|sora|realtime|transcribe|audio|^babbage|^davinci"
            r"|-instruct|codex|computer-use|deep-research|-pro(-|$)",
        ),
        "https://api.openai.com/v1",
        key_env="OPENAI_API_KEY",
        listed_as="openai",
    ),
    "groq": Profile(
        _chat(max_tokens="max_completion_tokens", most_stops=4, unlisted=r"whisper|tts"),
        "https://api.groq.com/openai/v1",
        key_env="GROQ_API_KEY",
        listed_as="groq",
    ),
    "together": Profile(
        _chat(), "https://api.together.xyz/v1", key_env="TOGETHER_API_KEY", listed_as="together"
    ),
    "openrouter": Profile(
        _chat(
            bill=BillInUsage(
                "cost", asked="usage", own_key="is_byok", details="cost_details", upstream="upstream_inference_cost"
            )
        ),
        "https://openrouter.ai/api/v1",
        key_env="OPENROUTER_API_KEY",
        listed_as="openrouter",
    ),
    "mistral": Profile(
        _chat(
            include_usage=False,
            seed="random_seed",
            least_seed=0,
            most_temperature=1.5,
            tool_images=True,
            call_ids=r"[A-Za-z0-9]{9}",
        ),
        "https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        listed_as="mistral",
    ),
    "cerebras": Profile(
        _chat(max_tokens="max_completion_tokens", most_stops=4, most_temperature=1.5),
        "https://api.cerebras.ai/v1",
        key_env="CEREBRAS_API_KEY",
        listed_as="cerebras",
    ),
    "huggingface": Profile(_chat(), "https://router.huggingface.co/v1", key_env="HF_TOKEN"),
    "vllm": Profile(_chat(), "http://127.0.0.1:8000/v1", private=True),
    "llama_server": Profile(_chat(), "http://127.0.0.1:8080/v1", private=True),
    "ollama_openai": Profile(_chat(tool_choice=False, image_urls=False), "http://127.0.0.1:11434/v1", private=True),
    "openai_compatible": Profile(_chat()),
}  # fmt: skip
"""Those that speak OpenAI's chat completions. Models that reason unless told not to, as their makers document them."""

PROFILES: Mapping[str, Profile] = {
    **OPENAI_CHAT,
    "anthropic": Profile(
        lambda endpoint: AnthropicMessages(endpoint.api_version or NEWEST),
        "https://api.anthropic.com",
        key_env="ANTHROPIC_API_KEY",
        listed_as="anthropic",
    ),
    "cohere": Profile(_one_version(CohereChat()), "https://api.cohere.com", key_env="CO_API_KEY", listed_as="cohere"),
    "gemini": Profile(
        lambda endpoint: Gemini(endpoint.api_version or "v1"),
        "https://generativelanguage.googleapis.com",
        key_env="GEMINI_API_KEY",
        listed_as="google",
    ),
    "ollama": Profile(_one_version(OllamaNative()), "http://127.0.0.1:11434", private=True),
}
"""By kind, as in `[endpoints.NAME]`."""
