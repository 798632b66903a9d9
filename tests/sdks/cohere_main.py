"""Cohere's SDK, asked over standard input: `{"check": [BODY]}`, or `{"url": URL, "calls": [ARGUMENTS]}`.

Answers with what is wrong with each body, "" if nothing; or with what the SDK read of each reply.
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

from cohere import ClientV2  # type: ignore[import-not-found]
from cohere.v2.raw_client import RawV2Client  # type: ignore[import-not-found]
from pydantic import ConfigDict, create_model
from strict import Strict  # type: ignore[import-not-found]
from typing_extensions import get_type_hints


def check(bodies: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with each body; the API has no type for it, so it is what the method takes."""
    strict = Strict()
    hints = get_type_hints(RawV2Client.chat, include_extras=True)
    needed = inspect.signature(RawV2Client.chat).parameters
    fields: Any = {
        name: (strict.of(hint), ... if name in ("model", "messages") else None)
        for name, hint in hints.items()
        if name in needed and name != "request_options"
    }
    request = create_model("Chat", __config__=ConfigDict(extra="forbid", strict=True), stream=(bool, ...), **fields)
    wrong = []
    for body in bodies:
        try:
            request.model_validate_json(json.dumps(body))
            wrong.append("")
        except ValueError as error:
            wrong.append(str(error)[:2000])
    return wrong


def call(url: str, calls: list[dict[str, Any]]) -> list[Any]:
    """Call as users do, and return what was read."""
    client = ClientV2(api_key="sk-of-the-sdk", base_url=url)
    read = []
    for arguments in calls:
        if arguments.pop("stream", False):
            text = ""
            finish: Any = None
            usage: Any = None
            for event in client.chat_stream(**arguments):
                if event.type == "content-delta":
                    text += event.delta.message.content.text or ""
                elif event.type == "message-end":
                    finish, usage = event.delta.finish_reason, event.delta.usage
            asked: list[Any] = []
        else:
            reply = client.chat(**arguments)
            text = "".join(item.text for item in reply.message.content or () if item.type == "text")
            finish, usage = reply.finish_reason, reply.usage
            asked = [[c.id, c.function.name, c.function.arguments] for c in reply.message.tool_calls or ()]
        billed = usage.billed_units
        tokens = [billed.input_tokens, billed.output_tokens]
        read.append({"text": text, "calls": asked, "finish": finish, "usage": tokens})
    return read


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(check(asked["check"]) if "check" in asked else call(asked["url"], asked["calls"]), sys.stdout)
