"""Anthropic's SDK, asked over standard input: `{"check": [BODY]}`, or `{"url": URL, "calls": [ARGUMENTS]}`.

Answers with what is wrong with each body, "" if nothing; or with what the SDK read of each reply.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from anthropic import Anthropic  # type: ignore[import-not-found]
from anthropic.types import message_create_params as params  # type: ignore[import-not-found]
from strict import Strict  # type: ignore[import-not-found]


def check(bodies: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with each body."""
    strict = Strict()
    whole = strict.adapter(params.MessageCreateParamsNonStreaming)
    stream = strict.adapter(params.MessageCreateParamsStreaming)
    wrong = []
    for body in bodies:
        try:
            (stream if body.get("stream") else whole).validate_json(json.dumps(body))
            wrong.append("")
        except ValueError as error:
            wrong.append(str(error)[:2000])
    return wrong


def call(url: str, calls: list[dict[str, Any]]) -> list[Any]:
    """Call as users do, and return what was read."""
    client = Anthropic(api_key="sk-of-the-sdk", base_url=url, max_retries=0)
    read = []
    for arguments in calls:
        if arguments.pop("stream", False):
            with client.messages.stream(**arguments) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**arguments)
        usage = message.usage
        cached = [usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0]
        read.append({
            "text": "".join(block.text for block in message.content if block.type == "text"),
            "calls": [[block.id, block.name, block.input] for block in message.content if block.type == "tool_use"],
            "finish": message.stop_reason,
            "usage": [usage.input_tokens + sum(cached), usage.output_tokens, *cached],
        })  # fmt: skip
    return read


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(check(asked["check"]) if "check" in asked else call(asked["url"], asked["calls"]), sys.stdout)
