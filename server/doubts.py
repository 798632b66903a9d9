"""Notices about what providers said and was not believed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from naiad.server.catalog import Catalog
from naiad.server.credibility import Doubt
from naiad.server.records import Outcome
from naiad.v1 import decision_pb2

_WHY = {
    Doubt.CONTRADICTION: "which contradicts itself",
    Doubt.OUTPUT_LIMIT: "more than it was allowed to write",
    Doubt.CONTEXT_WINDOW: "more than its context window holds",
}


def doubts(catalog: Catalog, attempts: Sequence[tuple[str, Outcome]]) -> Iterator[decision_pb2.Notice]:
    """Yield a notice for each count and each bill of some attempts that was not believed."""
    for name, outcome in attempts:
        yield from _of(catalog.models[outcome.model].name, name, outcome)


def _of(model: str, name: str, outcome: Outcome) -> Iterable[decision_pb2.Notice]:
    usage, cost = outcome.usage, outcome.cost
    claim, facts = usage.claim, {"model": model, "attempt_id": name}
    if claim is not None and claim.reason != Doubt.PART:
        said = f"{claim.input_tokens} tokens read and {claim.output_tokens} written"
        bound = f" (at most {claim.most} would be believed)" if claim.most else ""
        yield decision_pb2.Notice(
            code=decision_pb2.NOTICE_CODE_USAGE_NOT_CREDIBLE,
            message=f"{model} counted {said}, {_WHY[Doubt(claim.reason)]}{bound}; {usage.input_tokens} and "
            f"{usage.output_tokens} are booked, and nothing is learned from it",
            metadata=facts
            | {
                "reason": Doubt(claim.reason).name.lower(),
                "claimed_input_tokens": str(claim.input_tokens),
                "claimed_output_tokens": str(claim.output_tokens),
                "input_tokens": str(usage.input_tokens),
                "output_tokens": str(usage.output_tokens),
            },
        )
    if cost is not None and cost.doubted_bill:
        yield decision_pb2.Notice(
            code=decision_pb2.NOTICE_CODE_BILL_NOT_CREDIBLE,
            message=f"{model} says that it billed {cost.doubted_bill}, which cannot be true; the call is billed by the "
            f"prices, at ${cost.total / 1e9:.4g}",
            metadata=facts | {"billed": cost.doubted_bill, "nano_usd": str(cost.total)},
        )
