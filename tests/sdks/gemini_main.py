"""Google's SDK, asked over standard input: `{"url": URL, "calls": [ARGUMENTS]}`; answers what it read."""

from __future__ import annotations

import json
import sys
from typing import Any

from google import genai  # type: ignore[attr-defined]


def call(url: str, calls: list[dict[str, Any]]) -> list[Any]:
    """Call as users do, and return what was read."""
    client = genai.Client(api_key="sk-of-the-sdk", http_options={"base_url": url})
    read = []
    for arguments in calls:
        stream = arguments.pop("stream", False)
        made = client.models.generate_content_stream if stream else client.models.generate_content
        found = made(**arguments)
        replies = list(found) if stream else [found]
        parts = [part for reply in replies for part in reply.candidates[0].content.parts]
        usage = replies[-1].usage_metadata
        read.append({
            "text": "".join(part.text or "" for part in parts if not part.thought),
            "calls": [[p.function_call.name, p.function_call.args] for p in parts if p.function_call],
            "finish": replies[-1].candidates[0].finish_reason,
            "usage": [usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count,
                      usage.cached_content_token_count],
        })  # fmt: skip
    return read


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(call(asked["url"], asked["calls"]), sys.stdout)
