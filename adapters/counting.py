"""How an answer is counted whose provider thinks unseen: by the provider, or by an estimate that is marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from naiad.adapters.base import Claim, Part, Request, Usage
from naiad.adapters.tokens import tokens_of_bytes
from naiad.adapters.wire_format import at_least, estimated_usage

ESTIMATED = "The provider gave no count of tokens, or one that cannot be true; it is estimated from bytes."


def hidden_bytes(text: str) -> int:
    """Return how much a text that is not shown adds to an estimate."""
    return len(text.encode("utf-8", "replace"))


def counted(
    usage: Usage | Claim | None, request: Request, parts: Iterable[Part], hidden: int, *, final: bool = True
) -> tuple[Usage, tuple[str, ...]]:
    """Return the provider's count, or an estimate and the notice that says so.

    hidden: bytes of thinking that are not shown. final: False where the output was not counted, or before it was all
    there; then no more than its reasoning is taken over. A count without output for an answer that has some cannot be
    true. What was read is taken over, unless it is 0 too.
    """
    parts = tuple(parts)
    if isinstance(usage, Usage) and final and (usage.output_tokens or not parts):
        return usage, ()
    guess, thought = estimated_usage(request, parts), tokens_of_bytes(hidden)
    if isinstance(usage, Usage) and usage.input_tokens:
        thought = max(thought, usage.reasoning_tokens)
        guess = replace(usage, output_tokens=guess.output_tokens, reasoning_tokens=0, estimated=True)
    guess = replace(guess, output_tokens=guess.output_tokens + thought, reasoning_tokens=thought)
    return (at_least(guess, usage) if isinstance(usage, Claim) else guess), (ESTIMATED,)
