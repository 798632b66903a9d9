"""Tokens estimated from bytes, without a tokenizer, and the ratio learned from what providers count.

A tokenizer for each model would be megabytes of vocabulary and still be wrong for the next model. Every
provider returns its own count with the answer, so the ratio of UTF-8 bytes to tokens is learned per model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from naiad.adapters.base import (
    ImagePart,
    Message,
    Part,
    ResponseSchema,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)

DEFAULT_BYTES_PER_TOKEN = 4.0
"""Before anything is learned. cl100k counts of 17,000 English prompts (questions, code, function calls) gave
3.7 to 4.3 bytes per token over a data set; single prompts range from 1.6 (formulas) to 6 at the 1st and 99th
percentile, so leave a margin where an underestimate hurts."""

MESSAGE_TOKENS = 4
"""Allowance for what frames each message in a chat template: role, start and end marks."""

IMAGE_TOKENS = 1600
"""Allowance for one image. Providers bill by size in pixels, which is not known here; this is what Anthropic
states as the most that an image costs before it is scaled down (1,568 px on its long edge), and more than one
1,024 px square costs elsewhere."""


TOOL_TOKENS = 12
"""Allowance for what frames each tool that is offered: keywords, braces, the type of what it is."""

TOOLS_TOKENS = 350
"""Allowance for what a provider says to the model about tools by itself, once where any is offered. Anthropic states up
to 346 for most of its models; others say nothing of it and take less."""


def text_bytes(messages: Iterable[Message]) -> int:
    """Count the UTF-8 bytes of all text, tool calls and tool results; images count nothing."""
    return sum(_part_bytes(part) for message in messages for part in message.parts)


def estimate_tokens(
    messages: Iterable[Message],
    bytes_per_token: float = DEFAULT_BYTES_PER_TOKEN,
    *,
    image_tokens: int = IMAGE_TOKENS,
) -> int:
    """Estimate the input tokens of a conversation: bytes / ratio, rounded up, and the stated allowances.

    Raises ValueError unless `bytes_per_token` is a positive finite number.
    """
    turns = tuple(messages)
    images = sum(_images(part) for message in turns for part in message.parts)
    text = tokens_of_bytes(text_bytes(turns), bytes_per_token)
    return text + MESSAGE_TOKENS * len(turns) + image_tokens * images


def estimate_offered(
    tools: Iterable[ToolSpec],
    schema: ResponseSchema | None = None,
    bytes_per_token: float = DEFAULT_BYTES_PER_TOKEN,
) -> int:
    """Estimate the input tokens of what a request holds beside its messages: tools, and the schema of the answer.

    Names, descriptions and schemas are text like any other; some providers write them shorter, none much longer.
    """
    offered = tuple(tools)
    texts = [text for tool in offered for text in (tool.name, tool.description, tool.parameters)]
    if schema is not None:
        texts += [schema.name, schema.schema]
    tokens = tokens_of_bytes(sum(_utf8(text) for text in texts), bytes_per_token)
    return tokens + TOOL_TOKENS * len(offered) + (TOOLS_TOKENS if offered else 0) + (TOOL_TOKENS if schema else 0)


def tokens_of_bytes(n_bytes: int, bytes_per_token: float = DEFAULT_BYTES_PER_TOKEN) -> int:
    """Estimate the tokens of `n_bytes` of UTF-8 text, rounded up."""
    if not (math.isfinite(bytes_per_token) and bytes_per_token > 0):
        raise ValueError(f"bytes_per_token is {bytes_per_token}; give a positive finite number")
    return math.ceil(n_bytes / bytes_per_token)


@dataclass(frozen=True, slots=True)
class LearnedRatio:
    """Bytes sent and tokens counted for them so far: integers, so that any order of adding gives the same.

    It starts as `prior_tokens` tokens at the default ratio and so moves smoothly away from it.
    """

    n_bytes: int = 0
    n_tokens: int = 0
    prior_tokens: int = 2000

    def add(self, n_bytes: int, n_tokens: int) -> LearnedRatio:
        """Return the ratio with one more call: `n_bytes` of text for which `n_tokens` were counted.

        Leave calls with images out, and take `MESSAGE_TOKENS` per message off the count first.
        """
        if n_bytes < 0 or n_tokens < 0:
            raise ValueError(f"{n_bytes} bytes and {n_tokens} tokens: neither may be negative")
        return LearnedRatio(self.n_bytes + n_bytes, self.n_tokens + n_tokens, self.prior_tokens)

    @property
    def bytes_per_token(self) -> float:
        """The ratio to estimate with; always positive and finite."""
        n_bytes = self.n_bytes + self.prior_tokens * DEFAULT_BYTES_PER_TOKEN
        n_tokens = self.n_tokens + self.prior_tokens
        return n_bytes / n_tokens if n_bytes and n_tokens else DEFAULT_BYTES_PER_TOKEN


def _part_bytes(part: Part) -> int:
    match part:
        case TextPart(text):
            return _utf8(text)
        case ToolCallPart(_, name, arguments):
            return _utf8(name) + _utf8(arguments)
        case ToolResultPart(_, name, content):
            return _utf8(name) + sum(_part_bytes(inner) for inner in content)
        case _:
            return 0


def _images(part: Part) -> int:
    match part:
        case ImagePart():
            return 1
        case ToolResultPart(content=content):
            return sum(_images(inner) for inner in content)
        case _:
            return 0


def _utf8(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
