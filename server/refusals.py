"""Refusals: answers in which the model declines or the provider's content rules step in, and what becomes of them.

A refusal is an outcome: it is billed, recorded and learned from as any answer. Under `RETURN` it is the answer. Under
`NEXT` the next model of the ranking is asked, as after a failure; where nobody answers, the first refusal is returned.
"""

from __future__ import annotations

from enum import IntEnum

from naiad.adapters.base import Answer, FinishReason
from naiad.server.records import Decided, ObjectiveSpec, Outcome

REFUSED = frozenset({FinishReason.REFUSAL, FinishReason.CONTENT_FILTER})
_NUMBERS = frozenset({4, 5})  # of them, as an outcome has them


class OnRefusal(IntEnum):
    """What becomes of a refusal; numbered as RefusalAction in the API."""

    RETURN = 1
    NEXT = 2


def on_refusal(*levels: ObjectiveSpec | None) -> OnRefusal:
    """Return what the last level says that says it; RETURN where none does."""
    said = [spec.on_refusal for spec in levels if spec is not None and spec.on_refusal is not None]
    return OnRefusal(said[-1]) if said else OnRefusal.RETURN


def routes_around(record: Decided, answer: Answer) -> bool:
    """Return whether an answer is a refusal that the next model is to be asked after."""
    return record.on_refusal == OnRefusal.NEXT and answer.finish in REFUSED


def refused(outcome: Outcome) -> bool:
    """Return whether an attempt came to a refusal."""
    return not outcome.failed and outcome.finish in _NUMBERS


def answers_with(outcome: Outcome) -> bool:
    """Return whether an attempt came to an answer that is no refusal."""
    return not outcome.failed and outcome.finish not in _NUMBERS
