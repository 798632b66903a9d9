"""Ollama's SDK, asked over standard input: `{"url": URL, "calls": [ARGUMENTS]}`; answers what it read."""

from __future__ import annotations

import json
import sys
from typing import Any

from ollama import Client  # type: ignore[import-not-found]


def call(url: str, calls: list[dict[str, Any]]) -> list[Any]:
    """Call as users do, and return what was read."""
    client = Client(host=url)
    read = []
    for arguments in calls:
        found = client.chat(**arguments)
        replies = list(found) if arguments.get("stream") else [found]
        calls_ = [call for reply in replies for call in reply.message.tool_calls or ()]
        read.append({
            "text": "".join(reply.message.content or "" for reply in replies),
            "calls": [[call.function.name, dict(call.function.arguments)] for call in calls_],
            "finish": replies[-1].done_reason,
            "usage": [replies[-1].prompt_eval_count, replies[-1].eval_count],
        })  # fmt: skip
    return read


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(call(asked["url"], asked["calls"]), sys.stdout)
