"""The arguments of a tool call, of which there may be none.

None, nothing at all and `null` are the empty object, where the model ended by itself; where it was stopped they are
shown as far as they came, for then nobody knows what they would have been.
"""

from __future__ import annotations

from naiad.adapters.base import FinishReason

NONE = "{}"
BY_ITSELF = (FinishReason.TOOL_CALLS, FinishReason.STOP)
"""The ends at which a model had written all that it wanted."""


def given(text: str | None) -> str:
    """Return arguments as they are given, the empty object where there are none."""
    return NONE if _is_none(text or "") else text or ""


class Arguments:
    """The arguments of one call in a stream: held back while they may still turn out to be none."""

    def __init__(self) -> None:
        self.shown = False
        self._held = ""

    def add(self, piece: str) -> str:
        """Take a piece and return what is to be shown now, "" for nothing."""
        if self.shown:
            return piece
        self._held += piece
        if "null".startswith(self._held.strip()):
            return ""
        self.shown = True
        return self._held

    def end(self, *, stopped: bool = False) -> str:
        """Return what is to be shown at last, "" for nothing; stopped: the model did not end by itself."""
        if self.shown:
            return ""
        self.shown = True
        return self._held if stopped or not _is_none(self._held) else NONE


def _is_none(text: str) -> bool:
    return text.strip() in ("", "null")
