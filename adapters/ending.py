"""Why an answer ended: one rule for all formats.

* A reason that is empty is none. A whole answer without one is malformed, a stream without one is cut off.
* One that is known has its meaning; one that is not is `FinishReason.OTHER`, and a notice says so without quoting it.
* Of several in one stream the first that says more than that the model was done holds: "length" and then "stop" is
  "length". (Gemini's later reasons revise the earlier, so there it is the last of those.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from naiad.adapters.base import FinishReason


@dataclass(frozen=True, slots=True)
class Reasons:
    """The reasons of one format. `folded`: its keys are in lower case, and words are compared without regard to it."""

    known: Mapping[str, FinishReason]
    folded: bool = False

    def word(self, said: str | None) -> str:
        """Return a reason as it is compared, "" for none."""
        word = (said or "").strip()
        return word.lower() if self.folded else word

    def settled(self, before: str, said: str | None, *, last: bool = False) -> str:
        """Return which of two words holds; last: the later one where both say more than that the model was done."""
        word = self.word(said)
        if not word or not before:
            return word or before
        if self.plain(word) or not (last or self.plain(before)):
            return before
        return word

    def plain(self, word: str) -> bool:
        """Return whether a word says no more than that the model was done."""
        return self.known.get(word) is FinishReason.STOP

    def meaning(self, word: str) -> FinishReason:
        """Return what a word means."""
        return self.known.get(word, FinishReason.OTHER)


def unexplained(provider: str, finish: FinishReason, word: str = "") -> tuple[str, ...]:
    """Return the notice for a reason that has no value here; word: one of the provider's own that may be shown."""
    if finish is not FinishReason.OTHER:
        return ()
    return (f"{provider} ended the answer with {word or 'a reason that is not known here'}.",)


def unshown(provider: str, kinds: Mapping[str, int]) -> tuple[str, ...]:
    """Return the notices for parts of an answer that are not shown; kinds: in our words, with how many there were."""
    return tuple(
        f"{provider}'s answer has parts that are not shown: {count} of {kind}."
        for kind, count in sorted(kinds.items())
        if count
    )
