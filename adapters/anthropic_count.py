"""What the Messages API counts: a whole reply at its end, a stream bit by bit, each time all that came so far."""

from __future__ import annotations

import msgspec

from naiad.adapters.base import Claim, Usage
from naiad.adapters.wire_format import sane_usage


class _Thinking(msgspec.Struct):
    thinking_tokens: int | None = None


class Counted(msgspec.Struct):
    """`usage`; None for what was not said. Its input leaves out what was read from and written to the cache."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _Thinking | None = None

    def usage(self) -> Usage | Claim | None:
        """Return our count, whose input holds the cached; a claim where it contradicts itself, None for half a one."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        details = self.output_tokens_details
        return sane_usage(
            self.input_tokens + read + written,
            self.output_tokens,
            cached=read,
            cache_write=written,
            reasoning=(details.thinking_tokens or 0) if details else 0,
        )

    def updated(self, later: Counted) -> Counted:
        """Return this count with what a later, cumulative one says."""
        said = {name: value for name in later.__struct_fields__ if (value := getattr(later, name)) is not None}
        return msgspec.structs.replace(self, **said)


class Totals(msgspec.Struct):
    """What a message counts, whatever else is wrong with it."""

    usage: Counted | None = None
