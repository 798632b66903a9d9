"""Mistral's SDK, asked over standard input: `{"url": URL, "calls": [ARGUMENTS]}`; answers what it read."""

from __future__ import annotations

import json
import sys
from typing import Any

from mistralai.client import Mistral  # type: ignore[import-not-found]


def call(url: str, calls: list[dict[str, Any]]) -> list[Any]:
    """Call as users do, and return what was read."""
    client = Mistral(api_key="sk-of-the-sdk", server_url=url)
    read = []
    for arguments in calls:
        if arguments.pop("stream", False):
            text = ""
            finish: Any = None
            usage: Any = None
            asked: list[Any] = []
            for event in client.chat.stream(**arguments):
                delta = event.data.choices[0].delta if event.data.choices else None
                text += (delta.content or "") if delta else ""
                finish = event.data.choices[0].finish_reason if event.data.choices else finish
                usage = event.data.usage or usage
        else:
            found = client.chat.complete(**arguments)
            message, finish, usage = found.choices[0].message, found.choices[0].finish_reason, found.usage
            text, asked = message.content or "", message.tool_calls or []
        read.append({
            "text": text,
            "calls": [[c.id, c.function.name, c.function.arguments] for c in asked],
            "finish": finish,
            "usage": [usage.prompt_tokens, usage.completion_tokens],
        })  # fmt: skip
    return read


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(call(asked["url"], asked["calls"]), sys.stdout)
