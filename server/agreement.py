"""Which answers say the same, and which of several is taken: pure functions of the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from naiad.adapters.base import Answer, TextPart, ToolCallPart

_SPACES = re.compile(r"\s+")
_FENCE = re.compile(r"\A```[A-Za-z0-9]*\n(.*)\n?```\Z", re.DOTALL)


def said(answer: Answer) -> str:
    """Return what an answer says, equal for those that say the same.

    JSON is compared by value, whatever its spaces and the order of its keys, and also in a code fence; other text by
    its words, without regard to case, spaces and a full stop at the end; tool calls by name and arguments.
    """
    calls = [[part.name, _value(part.arguments)] for part in answer.parts if isinstance(part, ToolCallPart)]
    text = "".join(part.text for part in answer.parts if isinstance(part, TextPart)).strip()
    return msgspec.json.encode([_value(text), calls], order="deterministic").decode()


def _value(text: str) -> Any:
    fenced = _FENCE.fullmatch(text)
    try:
        return ["json", msgspec.json.decode(fenced[1] if fenced else text)]
    except (ValueError, RecursionError):
        return ["text", _SPACES.sub(" ", text).strip(" .").casefold()]


def most_said(answers: Mapping[int, Answer], order: Mapping[int, float]) -> int:
    """Return whose answer most gave; of a tie, and among those who gave it, the one that stands highest in the order.

    answers: by member, at least one; order: of each, the higher the better.
    """
    votes = groups(answers)
    winner = max(votes, key=lambda key: (len(votes[key]), max(order[member] for member in votes[key])))
    return max(votes[winner], key=lambda member: order[member])


def groups(answers: Mapping[int, Answer]) -> dict[str, list[int]]:
    """Return the members by what they said."""
    found: dict[str, list[int]] = {}
    for member, answer in answers.items():
        found.setdefault(said(answer), []).append(member)
    return found


def largest(answers: Mapping[int, Answer]) -> int:
    """Return how many members said what most say; 0 without answers."""
    return max((len(members) for members in groups(answers).values()), default=0)


def decided(answers: Mapping[int, Answer], waiting: int, refused: int = 0) -> bool:
    """Return whether no answer that is still to come can change what most say; refused: who say that they do not."""
    votes = sorted((*(len(members) for members in groups(answers).values()), refused, 0), reverse=True)
    return votes[0] > votes[1] + waiting
