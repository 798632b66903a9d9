"""The tool calls of a streamed chat completion: fragments, put to the calls that they belong to.

A call is shown once its arguments begin, for until then its name may still grow; all are, at the end of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from naiad.adapters.base import Request, ToolCallDelta
from naiad.adapters.call_arguments import Arguments
from naiad.adapters.errors import MalformedAnswer
from naiad.adapters.exchange import Asked
from naiad.adapters.openai_answer import Call, arguments_of, id_of, name_of
from naiad.adapters.wire_format import call_id


@dataclass(slots=True)
class _Open:
    id: str  # unique in the answer
    given: str  # the vendor's, "" if it gave none
    name: str
    arguments: Arguments = field(default_factory=Arguments)
    begun: bool = False  # its id and name were shown


class Calls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self, request: Request, asked: Asked) -> None:
        self._request = request
        self._asked = asked
        self._calls: list[_Open] = []
        self._place: dict[int, int] = {}  # the vendor's index of a call -> ours
        self._begun = 0  # calls whose id and name were shown

    def adds(self, call: Call) -> bool:
        """Return whether a fragment goes on with the answer, and is not what was said before."""
        return bool(arguments_of(call)) or self._find(call) is None

    def add(self, call: Call) -> Iterator[ToolCallDelta]:
        """Take a fragment and yield what can be shown; raises MalformedAnswer for a call without a name."""
        at, name = self._find(call), name_of(call)
        if at is None:
            at = len(self._calls)
            yield from self.begin(at)
            if not name:
                raise self._asked.error(MalformedAnswer, "a tool call of the reply has no name", status=200)
            taken = {earlier.id for earlier in self._calls}
            self._calls.append(_Open(call_id(id_of(call), taken, self._request.messages, at), id_of(call), name))
            if call.index is not None:
                self._place[call.index] = at
        elif name and not self._calls[at].begun and name != self._calls[at].name:
            self._calls[at].name += name
        if piece := self._calls[at].arguments.add(arguments_of(call)):
            yield from self._shown(at, piece)

    def begin(self, before: int | None = None) -> Iterator[ToolCallDelta]:
        """Show the calls that were not yet, all or those before one: what follows comes after them."""
        for at in range(self._begun, len(self._calls) if before is None else before):
            yield from self._shown(at, "")

    def end(self, *, stopped: bool) -> Iterator[ToolCallDelta]:
        """Show what was held back; stopped: the model did not end by itself."""
        for at, call in enumerate(self._calls):
            if (rest := call.arguments.end(stopped=stopped)) or not call.begun:
                yield from self._shown(at, rest)

    def _find(self, call: Call) -> int | None:
        """Return the call that a fragment belongs to; without an index, one with a name begins another."""
        named = bool(name_of(call))
        if call.index is None:
            return None if named or not self._calls else len(self._calls) - 1
        at = self._place.get(call.index)
        if at is not None and named and id_of(call) not in ("", self._calls[at].given):
            return None  # some give every call the same index
        return at

    def _shown(self, at: int, arguments: str) -> Iterator[ToolCallDelta]:
        call = self._calls[at]
        if call.begun:
            yield ToolCallDelta(at, arguments=arguments)
            return
        call.begun, self._begun = True, at + 1
        yield ToolCallDelta(at, call.id, call.name, arguments)
