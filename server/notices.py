"""What the caller is told of an answer although the call succeeded: sentences with a code and facts, for programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from naiad.adapters.base import Answer
from naiad.server.callback import RATER
from naiad.server.catalog import Catalog
from naiad.server.judging import NoVerdict
from naiad.server.records import Checked, ModelPut, Outcome


class Code(IntEnum):
    """What a notice is about; numbered as in the API."""

    UNSPECIFIED = 0
    PARAMETER_DROPPED = 1
    REPLAYED_ANSWER = 2
    USAGE_ESTIMATED = 7
    FINISH_REASON_UNKNOWN = 43
    CONTENT_NOT_SHOWN = 44
    NO_VERDICT = 47
    NO_AGREEMENT = 48
    NO_ANSWER_PASSED = 49


_WHY: dict[str, str] = {
    NoVerdict.NOT_CALLED: "it might not be called",
    NoVerdict.ERROR: "its call failed",
    NoVerdict.NO_VERDICT: "its reply was not the one number that was asked for",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence; the metadata's keys stand beside each code in the API."""

    code: Code
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


def of_answer(answer: Answer, model: ModelPut) -> tuple[Notice, ...]:
    """Return what an adapter said of the answer of its model."""

    def code(sentence: str) -> Code:
        if model.endpoint == "replay":
            return Code.REPLAYED_ANSWER
        if sentence in answer.dropped:
            return Code.PARAMETER_DROPPED
        if sentence in answer.unexplained:
            return Code.FINISH_REASON_UNKNOWN
        return Code.CONTENT_NOT_SHOWN if sentence in answer.unshown else Code.UNSPECIFIED

    return tuple(Notice(code(sentence), sentence, {"model": model.name}) for sentence in answer.notices)


def estimated(
    catalog: Catalog, model: ModelPut, answered: Outcome, attempts: Iterable[tuple[str, Outcome]]
) -> Iterator[Notice]:
    """Yield a notice for each model whose count in the usage of an answer is a guess because it gave none.

    model, answered: whose answer it is, and its attempt. Of a composite, the parts that gave no count are named.
    """
    parts = [one for _, one in attempts if one.part_of == model.model and not one.failed] or [answered]
    for guessed in dict.fromkeys(one.model for one in parts if one.usage.estimated and one.usage.claim is None):
        found = catalog.models[guessed]
        if found.endpoint != "replay":
            said = f"{found.name} gave no count of tokens that adds up: tokens and cost are estimates"
            yield Notice(Code.USAGE_ESTIMATED, said, {"model": found.name})


def no_agreement(model: str, *, answered: int, members: int, agreed: int, wanted: int) -> Notice:
    """Fewer members of an ensemble said the same than must.

    answered, members, agreed, wanted: how many of them answered, there are, said what most did, must say the same.
    """
    return Notice(
        Code.NO_AGREEMENT,
        f"{answered} of {members} members answered, and fewer than {wanted} said the same; this is the answer of the "
        "one believed to be best",
        {
            "model": model,
            "answered": str(answered),
            "members": str(members),
            "agreed": str(agreed),
            "wanted": str(wanted),
        },
    )


def not_picked(model: str, judge: str, failure: NoVerdict, groups: Collection[Collection[int]]) -> Notice:
    """Return the notice of an ensemble whose judge picked no answer; groups: the members by what they said."""
    sizes = sorted((len(group) for group in groups), reverse=True)
    if len(sizes) > 1 and sizes[0] == sizes[1]:
        taken = "no answer was given more often than every other, and this is that of the member believed to be best"
    else:
        taken = f"this is what most said, {sizes[0]} of {sum(sizes)}"
    facts = {"model": model, "checked_by": judge, "failure": failure.value}
    return Notice(Code.NO_VERDICT, f"{judge} picked no answer: {_WHY[failure]}; {taken}", facts)


def not_checked(model: str, checked: Checked) -> Notice:
    """Return the notice of an answer of a cascade whose check failed."""
    fate = "was accepted unchecked" if checked.passed else "counts as rejected"
    who, why = checked.by, _WHY.get(checked.failure, "")
    if who.startswith(RATER):
        who, why = f"callback {who.removeprefix(RATER)!r}", checked.failure.replace("_", " ")
    return Notice(
        Code.NO_VERDICT,
        f"{who} could not check attempt {checked.attempt} ({why}): its answer {fate}",
        {
            "model": model, "checked_by": checked.by, "attempt_id": checked.attempt, "failure": checked.failure,
            "passed": str(checked.passed).lower(),
        },
    )  # fmt: skip


def none_passed(model: str) -> Notice:
    """Return the notice of a cascade none of whose answers passed."""
    return Notice(Code.NO_ANSWER_PASSED, "no answer passed the check; this is the last that came", {"model": model})
