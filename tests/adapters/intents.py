"""What callers may want of a provider, each as a request: for contracts that a format is held to from outside."""

from __future__ import annotations

from naiad.adapters.base import (
    ImagePart,
    Message,
    Request,
    ResponseSchema,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    ToolSpec,
    system,
    user,
)

PNG = b"\x89PNG\r\n\x1a\n"
PLACE = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
WEATHER = ToolSpec("weather", "Says the weather.", PLACE)
CLOCK = ToolSpec("clock", "Says the time.", '{"type":"object","properties":{}}')
QUESTION = user("What is the capital of France?")
CALLED = Message(Role.ASSISTANT, (ToolCallPart("AbCd12345", "weather", '{"city": "Paris"}'),))
TOLD = Message(Role.TOOL, (ToolResultPart("AbCd12345", "weather", (TextPart("rain"),)),))
LOOK = Message(Role.USER, (TextPart("Which?"), ImagePart("image/png", PNG), ImagePart(url="https://example.com/a.png")))
TOOLS = (WEATHER, CLOCK)


def intents(model: str) -> dict[str, Request]:
    """Return requests by what they are about."""
    return {
        "text": Request(model, (QUESTION,)),
        "conversation": Request(
            model, (system("Be brief."), QUESTION, Message(Role.ASSISTANT, (TextPart("Paris."),)), user("And Italy?"))
        ),
        "images": Request(model, (LOOK,)),
        "tools": Request(model, (QUESTION,), tools=TOOLS),
        "no tool": Request(model, (QUESTION,), tools=TOOLS, tool_choice=ToolChoice(ToolMode.NONE)),
        "some tool": Request(model, (QUESTION,), tools=TOOLS, tool_choice=ToolChoice(ToolMode.REQUIRED)),
        "this tool": Request(model, (QUESTION,), tools=TOOLS, tool_choice=ToolChoice(ToolMode.NAMED, "weather")),
        "tool result": Request(model, (QUESTION, CALLED, TOLD), tools=TOOLS),
        "schema": Request(model, (QUESTION,), response_schema=ResponseSchema("place", PLACE)),
        "tuned": Request(
            model, (QUESTION,), max_output_tokens=50, temperature=0.25, top_p=0.5, stop=("END", "STOP"), seed=7
        ),
    }
