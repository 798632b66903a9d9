"""`naiad explain`: one decision in sentences and one table."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from naiad.client import Client, DecisionRecord
from naiad.client.results import Feedback
from naiad.server.refusals import OnRefusal
from naiad.server.report.access import Access
from naiad.server.report.attempts import aftermath, answering, candidate_of
from naiad.server.report.screen import (
    NARROW,
    PLAIN_WIDTH,
    asking,
    clean,
    console,
    nano_usd,
    number,
    plural,
    say,
    table,
    usd,
)
from naiad.server.report.words import in_money, in_order, objective_in_words

_NANO = 1e9
_REASONS = {
    "policy": "not in the policy",
    "not_allowed": "not allowed by the request",
    "data_zone": "data may not go there",
    "context_window": "too small",
    "capability": "lacks a capability",
    "disabled": "disabled",
    "no_price": "no price",
    "unavailable": "provider unavailable",
    "budget": "over budget",
    "key": "not permitted to the key",
    "newcomer_cap": "newcomer's allowance used up",
    "no_endpoint": "no endpoint",
}


def print_explanation(server: str | Access, decision_id: str, screen: Console | None = None) -> int:
    """Print why a decision came out as it did and what became of it; return the exit code."""
    return asking(server, lambda client: _print(client, decision_id, screen or console()))


def _print(client: Client, decision_id: str, out: Console) -> int:
    explain(client.get_decision(decision_id), out)
    return 0


def explain(record: DecisionRecord, out: Console) -> None:
    """Print a decision's explanation."""
    out.print(f"Decision {record.decision_id}", style="bold", soft_wrap=True)
    for title, sentences in (
        ("What was asked", asked(record)),
        ("What counted as best", [] if record.restored_from_id else [objective_in_words(record.objective)]),
        ("The budget", budget(record)),
    ):
        _section(out, title, list(sentences))
    if record.candidates:
        out.print()
        out.print(candidates(record, out.width))
    for title, sentences in (
        ("The choice", choice(record)),
        ("Excluded", excluded(record)),
        ("What happened", aftermath(record)),
        ("What counts", verdict(record)),
    ):
        _section(out, title, list(sentences))


def _section(out: Console, title: str, sentences: list[str]) -> None:
    if sentences:
        out.print()
        out.print(title, style="bold")
        for sentence in sentences:
            say(out, sentence)


_LEFT = {
    "ineligible": "which may not be used for this request",
    "better": "since another model is surely better by now, what its provider's prompt cache saves counted",
    "allowance": "which is below the quality floor: the day's allowance does not pay for another turn",
}


def asked(record: DecisionRecord) -> Iterator[str]:
    """Yield what the request was."""
    when = f" on {record.create_time:%Y-%m-%d at %H:%M:%S} UTC" if record.create_time else ""
    flow = f", workflow {clean(record.workflow)}" if record.workflow else ""
    if record.restored_from_id:
        yield f"A task of class {clean(record.task_class)}{when}."
        yield "The record of this decision was lost in a crash; what follows is what its id and later reports hold."
        return
    yield (
        f"A task of class {clean(record.task_class)}{flow}, with {plural(record.input_tokens, 'token')} of input and "
        f"up to {record.max_output_tokens:,} of output{when}, under policy version {record.policy_version}."
    )
    yield from _data(record)
    if record.features:
        listed = ", ".join(f"{clean(name)} = {number(value)}" for name, value in sorted(record.features.items()))
        yield f"Features: {listed}."
    if record.session_id:
        yield f"It was a turn of session {clean(record.session_id)}."


def _data(record: DecisionRecord) -> Iterator[str]:
    """Yield how sensitive its data was, who said so, and by which rule it may go where it may."""
    if not record.data_class:
        return
    name = clean(record.data_class)
    if not record.data_class_source:
        yield f"Its data class was {name}, which nothing enforced."
        return
    said = {"unstated": "nobody said, and so it is the strictest", "request": "the request said so"}
    by = f"its {record.data_class_source.replace('_', ' ')} sets that"
    yield f"Its data class was {name}: {said.get(record.data_class_source, by)}."
    grounds: dict[str, list[str]] = {}
    for one in record.candidates:
        grounds.setdefault(one.permitted_by, []).append(clean(one.candidate.model))
    for entry, models in grounds.items():
        yield f"The rule's {clean(entry)!r} lets it go to {', '.join(models)}."
    if record.no_store:
        yield "Free text about it is not kept."


def budget(record: DecisionRecord) -> Iterator[str]:
    """Yield what the budget stood at, and what it made of a dollar."""
    held = record.budget
    if held is None:
        return
    over = {"policy": "all requests of the policy", "workflow": "the requests of its workflow"}
    saved = nano_usd(abs(held.bank_nano_usd))
    yield (
        f"{usd(held.usd_per_request)} a request is held over {over.get(held.scope, 'the requests of its task class')}; "
        f"{saved} {'was saved' if held.bank_nano_usd >= 0 else 'was owed'} before this one."
    )
    if held.quality_per_usd:
        dollar = f"{held.quality_per_usd * 1e-3:.4g} of quality"
        share = held.lower_price_share
        eased = f"; {share:.0%} of the probability rests on a price 4% lower" if share else ""
        yield f"So a tenth of a cent had to bring {dollar}: that is the budget's price{eased}."
    else:
        yield "It did not bind: cost had no price beyond the objective's own."
    if held.below_cheapest:
        yield "It is below what even the cheapest models cost: they are served, and spend exceeds it."


def candidates(record: DecisionRecord, width: int = PLAIN_WIDTH) -> Table:
    """Return the table of what each candidate was believed to be worth, in the order of the draw.

    width: of the screen, in characters; a narrow one does without providers, chances to be best and sds of worth.
    """
    money, narrow, fixed = in_money(record.objective), width < NARROW, in_order(record.objective)
    compared = "worth" if money else "place" if fixed else "compared by"
    numbers = ["quality", "cost", "latency", compared, "probability"]
    if not narrow:
        numbers.insert(-1, "chance to be best")

    def worth(utility: float) -> str:
        return f"${utility:.5f}" if money else f"{utility:.4f}"

    made = table(
        "What each candidate was believed to be worth", "model", *numbers, numbers=tuple(numbers)
    )  # fmt: skip
    for one in record.candidates:
        seen = one.candidate
        here, sd = seen.model == record.model, f" ± {one.utility_sd:.5f}"
        name = clean(seen.model.partition("/")[2] if narrow else seen.model)
        made.add_row(
            Text(("> " if here else "  ") + name, style="bold" if here else ""),
            f"{seen.quality:.3f} ± {seen.quality_sd:.3f}",
            nano_usd(seen.cost_nano_usd),
            f"{number(seen.latency_s)} s",
            f"{1.0 - one.utility:.0f}" if fixed else worth(one.utility) + ("" if narrow or not money else sd),
            *([] if narrow else [_probability(one.thompson_probability)]),
            _probability(seen.propensity),
        )
    return made


def choice(record: DecisionRecord) -> Iterator[str]:
    """Yield how the model was chosen."""
    model = clean(record.model)
    if record.restored_from_id:
        yield f"{model} was chosen with probability {_probability(record.propensity)}."
        return
    if record.sticky:
        yield f"Nothing was drawn: the session's earlier model, {model}, was kept. This decision did not explore."
        if record.session_saving_nano_usd:
            yield (
                f"Its cost is {nano_usd(record.session_saving_nano_usd)} lower than that of a first turn: the provider "
                "is taken to have the prompt so far in its cache."
            )
        return
    if record.session_moved_from:
        why = _LEFT.get(record.session_moved_reason, f"reason: {clean(record.session_moved_reason)}")
        yield f"The session left {clean(record.session_moved_from)}, {why}."
    if in_order(record.objective):
        yield f"Nothing was drawn: {model} is the first of the list that may be used."
        yield from _others(record)
        return
    low, high = drawn_interval(record)
    yield (
        f"The uniform number {record.uniform_draw:.4f} fell into [{low:.4f}, {high:.4f}), the part of [0, 1) that "
        f"belonged to {model}: it was chosen with probability {_probability(record.propensity)}."
    )
    notes = sorted({clean(one.note) for one in record.candidates if one.note})
    for note in notes:
        yield f"Note: {note}."
    for one in record.candidates:
        if one.drift is not None:
            yield (
                f"{clean(one.candidate.model)} had drifted: its quality moved by {one.drift.shift:+.2f}, seen on "
                f"{one.drift.alarm_time:%Y-%m-%d at %H:%M} UTC. Judgements from before weigh "
                f"{one.drift.evidence_weight:.1%} of what they did, so its quality is less certain."
            )
    yield from _exploration(record)
    yield from _others(record)


def _others(record: DecisionRecord) -> Iterator[str]:
    """Yield who would have been next."""
    if len(record.ranking) > 1:
        failed = "failed, or refused," if record.objective.on_refusal == OnRefusal.NEXT.name.lower() else "failed,"
        yield f"Had it {failed} the next would have been {', then '.join(map(clean, record.ranking[1:]))}."


def drawn_interval(record: DecisionRecord) -> tuple[float, float]:
    """Return the part of [0, 1) that belonged to the model chosen, in the order of the draw."""
    low = 0.0
    for one in record.candidates:
        if one.candidate.model == record.model:
            return low, low + one.candidate.propensity
        low += one.candidate.propensity
    return 0.0, 1.0


def _exploration(record: DecisionRecord) -> Iterator[str]:
    """Yield a sentence when the choice was not what was believed to be best."""
    chosen = candidate_of(record, record.model)
    best = max(record.candidates, key=lambda one: one.utility)
    if chosen is None or best is chosen:
        return
    loss = best.utility - chosen.utility
    amount = f"{usd(loss)} less" if in_money(record.objective) else f"{loss:.4f} less"
    yield (
        f"It explored: {clean(record.model)} was believed to be worth {amount} than {clean(best.candidate.model)}. "
        "That is the price of finding out."
    )


def excluded(record: DecisionRecord) -> Iterator[str]:
    """Yield who could not be used, and why."""
    if record.restored_from_id:
        return
    if not record.excluded:
        yield "Nobody: every model of the catalogue could be used."
    for one in record.excluded:
        yield f"{clean(one.model)}: {_REASONS.get(one.reason, one.reason.replace('_', ' '))} ({clean(one.detail)})."


def verdict(record: DecisionRecord) -> Iterator[str]:
    """Yield what was judged, what of it counts, and what the answer was worth."""
    failed = {attempt.attempt_id for attempt in record.attempts if attempt.error is not None}
    for item in record.feedback:
        by = f" {clean(item.rater_id)!r}" if item.rater_id else ""
        comment = f" ({clean(item.comment)})" if item.comment else ""
        fate = _STATES.get(item.state, item.state)
        if item.state == "superseded" and item.attempt_id in failed:
            fate = "it does not count, for the attempt failed"
        verb = "" if item.reaction is not None else "said "
        yield f"The {item.source}{by} {verb}{_signal(item)}{comment}: {fate}."
    if record.effective_score is None:
        yield "No judgement counts, so nothing was learned of quality from this decision."
        return
    yield f"The score that counts is {record.effective_score:.3f}."
    answered = answering(record)
    expected = None if answered is None else candidate_of(record, answered.model)
    objective = record.objective
    if answered is None or expected is None or not in_money(objective):
        return
    spent = sum(attempt.cost.total_nano_usd for attempt in record.attempts) / _NANO
    waited = sum(attempt.latency_s or 0.0 for attempt in record.attempts)
    worth = (
        (objective.usd_per_quality or 0.0) * record.effective_score - spent - (objective.usd_per_second or 0.0) * waited
    )
    name = clean(answered.model)
    yield f"So the answer was worth ${worth:.5f}, where ${expected.utility:.5f} had been expected of {name}."


_STATES = {
    "effective": "it counts",
    "superseded": "superseded by a source that ranks higher",
    "retracted": "retracted",
    "revoked": "revoked with its source",
}


def _signal(item: Feedback) -> str:
    if item.preference is not None:
        return f"attempt {clean(item.preference.preferred_attempt_id)} is the better of two"
    if item.thumb is not None:
        return f"thumb {item.thumb}"
    if item.reaction is not None:
        share = item.reaction.edit_share
        return f"{item.reaction.kind} it" + ("" if share is None else f", changing {share:.0%}")
    return f"{item.score:.3f}" if item.score is not None else "nothing"


def _probability(value: float) -> str:
    if 0.0 < value < 0.0001:
        return "< 0.0001"
    return f"{value:.4f}"
