"""An objective in words, for people who set it and for those who ask why."""

from __future__ import annotations

from naiad.bandit.objective import IN_MONEY, PACED, Strategy
from naiad.bandit.objective import Objective as CoreObjective
from naiad.client import Objective
from naiad.server.refusals import OnRefusal
from naiad.server.report.screen import share, usd


def from_core(objective: CoreObjective, usd_per_request: float | None = None, on_refusal: str = "") -> Objective:
    """Return an objective of the learning core, its budget and what becomes of refusals, as the client has it."""
    return Objective(
        objective.strategy.name.lower(),
        usd_per_quality=objective.usd_per_quality,
        usd_per_second=objective.usd_per_second,
        quality_floor=objective.quality_floor,
        confidence=objective.confidence,
        margin=objective.margin,
        usd_per_request=usd_per_request,
        on_refusal=on_refusal,
    )


def objective_in_words(objective: Objective) -> str:
    """Return what an objective asks for, its budget and refusals included; its parameters must be filled in."""
    words, budget = _strategy_in_words(objective), objective.usd_per_request
    if objective.on_refusal == OnRefusal.NEXT.name.lower():
        words += " Where a model refuses, the next is asked."
    if budget is None:
        return words
    if objective.strategy not in {strategy.name.lower() for strategy in PACED}:
        return f"{words} The budget of {usd(budget)} a request is ignored: this strategy does not weigh quality."
    return f"{words} A request may cost {usd(budget)} on average: a budget that is held by pricing every dollar."


def _strategy_in_words(objective: Objective) -> str:
    name = objective.strategy
    worth, second = objective.usd_per_quality or 0.0, objective.usd_per_second or 0.0
    floor, confidence = objective.quality_floor or 0.0, objective.confidence or 0.0
    if in_money(objective):
        kind = "model" if name == Strategy.BALANCED.name.lower() else name
        return (
            f"{name}: take the {kind} that is worth most in money. One point of quality (a perfect answer rather than "
            f"a useless one) is worth {usd(worth)}, a second of waiting costs {usd(second)}, and the bill counts as it "
            "is."
        )
    if name == Strategy.COST_OPTIMIZED.name.lower():
        return (
            f"cost_optimized: take the cheapest model whose quality is at least {floor:g} with a probability of at "
            f"least {share(confidence)}."
        )
    if name == Strategy.LATENCY_OPTIMIZED.name.lower():
        return (
            f"latency_optimized: take the fastest model whose quality is at least {floor:g} with a probability of at "
            f"least {share(confidence)}."
        )
    if name == Strategy.QUALITY_FIRST.name.lower():
        return (
            f"quality_first: take the best model; cost decides only among those within {objective.margin or 0.0:g} of "
            "quality of each other."
        )
    if name == Strategy.FALLBACK.name.lower():
        return "fallback: take the first model of a fixed list that may be used; the others follow in the list's order."
    return f"{name}: a strategy that this version has no words for."


def in_money(objective: Objective) -> bool:
    """Return whether utilities under the objective are US dollars."""
    return objective.strategy in {strategy.name.lower() for strategy in IN_MONEY}


def in_order(objective: Objective) -> bool:
    """Return whether models are tried in a fixed order, whatever they are believed to be worth."""
    return objective.strategy == Strategy.FALLBACK.name.lower()
