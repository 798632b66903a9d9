"""Bytes of text for each token, learned per model from what providers count: a fold of the log, like the beliefs.

A request whose caller does not count is estimated from the bytes of its messages. What each model really counted comes
back with its answer; the event of the outcome keeps both numbers, so a restart folds to the same ratios. They are sums
of integers: the order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from naiad.adapters.tokens import LearnedRatio
from naiad.server.records import Decided, Event, OutcomeReported

LEAST, MOST = 0.5, 16.0
"""Bytes a token that a count is believed at. Single prompts of real text have 1.6 to 6; what is beyond these bounds is
a mistake, or says nothing of text, and teaches nothing."""


class Ratios:
    """The ratios of one tenant's models."""

    def __init__(self) -> None:
        self._learned: dict[int, LearnedRatio] = {}
        self.known: Mapping[int, float] = {}  # of models that counted; never changed, but replaced by another

    def take(self, model: int, text_bytes: int, text_tokens: int) -> None:
        """Take over what a model counted for so many bytes; no tokens: nothing was counted."""
        if text_tokens > 0:
            learned = self._learned[model] = self._learned.get(model, LearnedRatio()).add(text_bytes, text_tokens)
            self.known = {**self.known, model: learned.bytes_per_token}

    def state(self) -> list[tuple[int, int, int]]:
        """Return (model, bytes, tokens) of all models that counted."""
        return [(model, seen.n_bytes, seen.n_tokens) for model, seen in sorted(self._learned.items())]

    def restore(self, state: Iterable[tuple[int, int, int]]) -> None:
        """Take over what `state` returned."""
        for model, n_bytes, n_tokens in state:
            self.take(model, n_bytes, n_tokens)


def taught(event: Event, decided: Decided | None) -> Event:
    """Return an event with what it teaches of bytes and tokens, if it is an outcome that teaches any.

    It does where the provider counted the input of an answer, and where all of that input was text that was seen: no
    images, tools or schemas, and a decision whose row is there.
    """
    if not isinstance(event, OutcomeReported) or decided is None or not decided.text_bytes:
        return event
    usage = event.outcome.usage
    if event.outcome.failed or usage.estimated or usage.input_tokens is None:
        return event
    counted = usage.input_tokens - decided.framing_tokens
    if counted <= 0 or not LEAST <= decided.text_bytes / counted <= MOST:
        return event
    return msgspec.structs.replace(event, text_bytes=decided.text_bytes, text_tokens=counted)
