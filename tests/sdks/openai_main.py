"""OpenAI's SDK, asked over standard input: `{"url": URL, "calls": [ARGUMENTS]}`; answers what it read."""

from __future__ import annotations

import json
import sys
from typing import Any

from openai import OpenAI  # type: ignore[import-not-found]


def call(url: str, calls: list[dict[str, Any]]) -> list[Any]:
    """Call as users do, and return what was read."""
    client = OpenAI(api_key="sk-of-the-sdk", base_url=url, max_retries=0)
    read = []
    for arguments in calls:
        if arguments.pop("stream", False):
            with client.chat.completions.stream(**arguments, stream_options={"include_usage": True}) as events:
                found = events.get_final_completion()
        else:
            found = client.chat.completions.create(**arguments)
        message, usage = found.choices[0].message, found.usage
        read.append({
            "text": message.content or "",
            "calls": [[c.id, c.function.name, c.function.arguments] for c in message.tool_calls or ()],
            "finish": found.choices[0].finish_reason,
            "usage": [usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens],
        })  # fmt: skip
    return read


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(call(asked["url"], asked["calls"]), sys.stdout)
