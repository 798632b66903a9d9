"""What the caller is told of the models that were asked before the one whose answer it gets."""

from __future__ import annotations

from collections.abc import Sequence

from naiad.server.catalog import Catalog
from naiad.server.records import Decided, Exclusion, Outcome
from naiad.server.refusals import OnRefusal, refused
from naiad.v1 import decision_pb2


def walk_notices(
    catalog: Catalog,
    record: Decided,
    model: int,
    attempts: Sequence[tuple[str, Outcome]],
    passed_over: Sequence[Exclusion],
    refuses: bool,
) -> list[decision_pb2.Notice]:
    """Return the notices of an answer that was made for this request: who was asked before, or beside, and in vain.

    model: that answered; refuses: whether its answer is a refusal.
    """
    found, answered, first = [], catalog.models[model].name, catalog.models[record.model].name
    declined = [o.model for _, o in attempts if refused(o) and o.part_of is None]
    if model != record.model:
        why = next((e.detail for e in passed_over if e.model == record.model), "")
        verb = f"was not called ({why})" if why else "refused" if record.model in declined else "failed"
        found.append(
            decision_pb2.Notice(
                code=decision_pb2.NOTICE_CODE_FALLBACK,
                message=f"{first} {verb}; {answered} {'refused' if refuses else 'answered'}",
                metadata={"first_choice": first, "model": answered},
            )
        )
    if record.on_refusal == OnRefusal.NEXT and declined:
        names = [catalog.models[other].name for other in declined]
        then = f"nobody else answered, and this is the refusal of {answered}" if refuses else f"{answered} answered"
        found.append(
            decision_pb2.Notice(
                code=decision_pb2.NOTICE_CODE_REFUSED,
                message=f"{', '.join(names)} refused, and the policy lets the next model be asked; {then}",
                metadata={"refused": ",".join(names), "model": answered},
            )
        )
    return found
