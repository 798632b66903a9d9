"""The two acts as a client plays them: ask for an answer, judge it as it was judged when it was recorded, go on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from naiad.adapters.replay import ReplayRecord
from naiad.client import AsyncClient, Completion, Model, Prices
from naiad.server.demo.settings import IN_FLIGHT, JUDGE, PRICE_FACTOR


@dataclass(frozen=True, slots=True)
class Step:
    """One prompt answered."""

    row: int  # of the act's prompts
    task_class: str
    model: str
    quality: float  # as recorded, in [0, 1]
    cost_usd: float  # as the server billed it
    latency_s: float
    decision_id: str
    propensities: dict[str, float]  # of every candidate

    @property
    def favourite(self) -> str:
        """The model that was most likely to be chosen."""
        return max(self.propensities, key=self.propensities.__getitem__)


async def play(
    client: AsyncClient, records: Sequence[ReplayRecord], watch: Callable[[Step], None], in_flight: int = IN_FLIGHT
) -> list[Step]:
    """Answer and judge every prompt, so many at a time; return the steps in the order in which they were decided.

    Raises ExceptionGroup of NaiadError when a call fails.
    """
    decided: list[Step] = []
    todo: Iterator[tuple[int, ReplayRecord]] = iter(enumerate(records))

    async def work() -> None:
        for row, record in todo:
            completion = await client.complete(record.prompt, task_class=record.task_class, workflow="demo")
            quality = record.arms[completion.model].reward
            step = _step(row, completion, quality)
            decided.append(step)
            await client.report_feedback(completion, quality, source="judge", rater_id=JUDGE)
            watch(step)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(in_flight, len(records))):
            group.create_task(work())
    return decided


def _step(row: int, completion: Completion, quality: float) -> Step:
    return Step(
        row,
        completion.task_class,
        completion.model,
        quality,
        completion.total_cost_nano_usd.usd,
        sum(attempt.latency_s or 0.0 for attempt in completion.attempts),
        completion.decision_id,
        {candidate.model: candidate.propensity for candidate in completion.ranking},
    )


def favourite_of(steps: Sequence[Step]) -> str:
    """Return the model that answered most."""
    return Counter(step.model for step in steps).most_common(1)[0][0]


async def raise_price(client: AsyncClient, name: str, factor: int = PRICE_FACTOR) -> tuple[Model, Model]:
    """Make a model so many times as dear through UpdateModel; return the entry before and after."""
    before = await client.get_model(name)
    prices = before.prices
    if prices is None or prices.input_nano_usd_per_million_tokens is None:
        raise ValueError(f"{name} has no price that could rise")
    after = await client.update_model(
        name,
        prices=Prices(
            input_nano_usd_per_million_tokens=prices.input_nano_usd_per_million_tokens * factor,
            output_nano_usd_per_million_tokens=(prices.output_nano_usd_per_million_tokens or 0) * factor,
            price_version=f"{prices.price_version or 'listed'}, times {factor}",
        ),
    )
    return before, after


def moved_after(steps: Sequence[Step], favourite: str) -> int | None:
    """Return how many decisions it took until another model was the likeliest choice; None if it never was."""
    return next((i + 1 for i, step in enumerate(steps) if step.favourite != favourite), None)
