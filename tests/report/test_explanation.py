"""`naiad explain`: the draw, the probabilities, the exclusions and what happened afterwards agree with the record."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from naiad.client import (
    AnswerCheck,
    Attempt,
    AttemptError,
    BudgetExplanation,
    Cost,
    DoubtedUsage,
    NanoUsd,
    Objective,
    Preference,
    Reaction,
)
from naiad.server.report import print_explanation
from naiad.server.report.attempts import aftermath, answering
from naiad.server.report.explanation import asked, budget, choice, drawn_interval, explain, verdict
from naiad.server.report.screen import nano_usd
from naiad.server.report.words import objective_in_words
from tests.report.conftest import Running


def explained(running: Running, decision_id: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert print_explanation(running.address, decision_id) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    return " ".join(text.split())


def test_a_completed_decision_reads_as_a_story(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    done = running.client.complete("Why does this fail?", task_class="code.debug", workflow="triage")
    running.client.report_feedback(done, 0.875, source="judge", rater_id="strict")
    text = explained(running, done.decision_id, capsys)
    record = running.client.get_decision(done.decision_id)
    for fact in ("class code.debug", "workflow triage", "policy version 1"):
        assert fact in text
    assert "One point of quality (a perfect answer rather than a useless one) is worth $0.05" in text
    for one in record.candidates:
        shown = re.escape(one.candidate.model) + rf" {one.candidate.quality:.3f} ± {one.candidate.quality_sd:.3f} \$"
        assert re.search(shown, text)
        assert f"{one.candidate.propensity:.4f}" in text
    drawn = re.search(r"The uniform number (0\.\d{4}) fell into \[(\d\.\d{4}), (\d\.\d{4})\)", text)
    assert drawn is not None
    assert float(drawn[1]) == pytest.approx(record.uniform_draw, abs=6e-5)
    assert float(drawn[3]) - float(drawn[2]) == pytest.approx(record.propensity, abs=2e-4)
    assert "echo/off: disabled (disabled in the catalogue)." in text
    assert "echo/tiny: too small (needs" in text
    assert f"Attempt 1: {done.model} answered after" in text
    assert "The judge 'strict' said 0.875: it counts." in text
    assert "The score that counts is 0.875." in text


def test_the_bill_of_an_attempt_stands_beside_its_estimate(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = running.client.decide("hello", task_class="billed", input_tokens=1_000, allowed_models=["echo/large"])
    usage: dict[str, Any] = {"input_tokens": 1_000, "cached_input_tokens": 400, "output_tokens": 200}
    running.client.report_outcome(decision, **usage)
    seen = running.client.get_decision(decision).candidates[0].candidate
    text = explained(running, decision.decision_id, capsys)
    assert "reading 1,000 (400 from the cache) and writing 200 tokens." in text
    assert (
        "It cost $0.00325: $0.00075 for reading, $0.0005 for reading from the provider's cache, $0.002 for writing "
        "(prices configuration)."
    ) in text
    estimate = f"{nano_usd(seen.cost_nano_usd)} ± {nano_usd(seen.cost_sd_nano_usd)} had been estimated."
    assert estimate in text
    other = running.client.decide("hello", task_class="billed", allowed_models=["echo/large"])
    running.client.report_outcome(other, cost_nano_usd=12_000_000, **usage)
    text = explained(running, other.decision_id, capsys)
    assert "It cost $0.012 as billed; by the prices, $0.00075 for reading," in text
    failed = running.client.decide("hello", task_class="billed", allowed_models=["echo/large"])
    running.client.report_outcome(failed, error=AttemptError(kind="timeout"), cost_nano_usd=500)
    text = explained(running, failed.decision_id, capsys)
    assert "failed (timeout). It cost $0.0000005 as billed." in text
    assert "had been estimated" not in text


def test_reasoning_doubts_and_who_was_paid_for_an_ensemble_are_told(running: Running) -> None:
    decision = running.client.decide("hello", task_class="parts", input_tokens=1_000, allowed_models=["echo/large"])
    running.client.report_outcome(decision, input_tokens=10, output_tokens=200)
    record = running.client.get_decision(decision)
    (known,) = record.attempts

    def part(name: str, usd: int, **fields: Any) -> Attempt:
        cost = replace(known.cost, total_nano_usd=NanoUsd(usd * 10**9), **fields.pop("cost", {}))
        return replace(known, attempt_id=name, part_of="team/e", cost=cost, **fields)

    thought = {"output_nano_usd": NanoUsd(3 * 10**9), "reasoning_nano_usd": NanoUsd(2 * 10**9)}
    claim = DoubtedUsage(reason="output_limit", input_tokens=10, output_tokens=1_000_000, most_tokens=656)
    whole = replace(known, attempt_id="4", model="team/e", cost=Cost(), returned_attempt_id="2")
    made = replace(
        record,
        attempts=(
            part("1", 1, cost={"doubted_bill": "1e+07 USD"}), part("2", 4, cost=thought), part("3", 8, judge=True),
            replace(whole, usage=replace(known.usage, estimated=True, doubted=claim)),
        ),
    )  # fmt: skip
    first, second, third, fourth, shares = aftermath(made)
    assert "The provider says that it billed 1e+07 USD, which cannot be true." in first
    assert "$3 for writing ($2 of it for reasoning)" in second
    assert "echo/large answered as the judge" in third
    assert "writing 200 tokens (estimated)." in fourth
    assert (
        "own count, 10 read and 1,000,000 written, is more than it was allowed to write; nothing is learned" in fourth
    )
    assert shares == (
        "team/e cost $13 in all: $4 for the answer of attempt 2, $1 for the other members, $8 for the judge."
    )


def test_what_a_cascades_check_made_of_each_answer_is_told(running: Running) -> None:
    done = running.client.complete("hello", task_class="checked")
    record = running.client.get_decision(done.decision_id)
    checks = (
        AnswerCheck(attempt_id="1", checked_by="callback:taste", passed=False, score=0.25),
        AnswerCheck(attempt_id="2", checked_by="pattern", passed=True, score=1.0),
        AnswerCheck(attempt_id="3", checked_by="callback:taste", passed=True, failure="invalid_reply"),
        AnswerCheck(attempt_id="4", checked_by="j/m", passed=False, failure="no_verdict"),
    )
    cascade = replace(record.attempts[0], checks=checks)
    assert list(aftermath(replace(record, attempts=(cascade,))))[1:] == [
        "Attempt 1 did not pass the check callback:taste, scoring 0.250.",
        "Attempt 2 passed the check pattern, scoring 1.000.",
        "The check callback:taste of attempt 3 failed (invalid reply): it was accepted unchecked.",
        "The check j/m of attempt 4 failed (no verdict): so it did not pass.",
    ]


def test_the_draw_lies_in_the_part_of_the_model_chosen(running: Running) -> None:
    for _ in range(40):
        decision = running.client.decide("hello", task_class="drawn")
        record = running.client.get_decision(decision)
        low, high = drawn_interval(record)
        assert low <= record.uniform_draw < high
        assert high - low == pytest.approx(record.propensity)
        assert sum(c.candidate.propensity for c in record.candidates) == pytest.approx(1.0)


def test_feedback_that_does_not_count_says_why(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    done = running.client.complete("hello", task_class="code.debug")
    running.client.report_feedback(done, 0.25, source="judge")
    running.client.report_feedback(done, thumb="up", source="human", rater_id="ann", comment="fine\x1b[2J")
    running.client.retract_feedback(running.client.report_feedback(done, 0.5, source="user"))
    text = explained(running, done.decision_id, capsys)
    assert "The judge said 0.250: superseded by a source that ranks higher." in text
    assert "The human 'ann' said thumb up (fine [2J): it counts." in text
    assert "The user said 0.500: retracted." in text
    assert "The score that counts is 1.000." in text


def test_failures_and_silence_are_told(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    decision = running.client.decide("hello", task_class="code.debug", allowed_models=["echo/small"])
    text = explained(running, decision.decision_id, capsys)
    assert "No outcome is known" in text
    assert "No judgement counts" in text
    assert "echo/large: not allowed by the request" in text
    error = AttemptError(kind="rate_limited", detail="slow down", http_status=429)
    running.client.report_outcome(decision, error=error, latency_s=0.5)
    text = explained(running, decision.decision_id, capsys)
    assert "Attempt 1, echo/small, failed after 0.5 s (rate limited, HTTP status 429: slow down)." in text


def test_what_a_failure_cost_and_what_nobody_knows_is_told(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = running.client.decide("hello", task_class="lost", allowed_models=["echo/large"])
    usage: dict[str, Any] = {"input_tokens": 1_000, "output_tokens": 200}
    running.client.report_outcome(decision, attempt_id="1", error=AttemptError(kind="malformed_answer"), **usage)
    running.client.report_outcome(decision, attempt_id="2", error=AttemptError(kind="timeout"))
    running.client.report_outcome(decision, attempt_id="3", error=AttemptError(kind="rate_limited"))
    text = explained(running, decision.decision_id, capsys)
    assert "failed (malformed answer), reading 1,000 and writing 200 tokens. It cost $0.00325:" in text
    assert "Attempt 2, echo/large, failed (timeout). Nobody knows its whole bill." in text
    assert text.count("Nobody knows") == 1
    record = running.client.get_decision(decision.decision_id)
    assert [attempt.uncertain_nano_usd for attempt in record.attempts] == [None, 0, None]
    held = replace(record.attempts[1], uncertain_nano_usd=NanoUsd(2_000_000))
    (line,) = aftermath(replace(record, attempts=(held,)))
    assert line.endswith("Nobody knows its whole bill: hard budgets count $0.002 more.")


def test_feedback_on_a_failed_attempt_is_told_not_to_count(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = running.client.decide("hello", task_class="code.debug")
    running.client.report_outcome(decision, attempt_id="mine", error=AttemptError(kind="timeout"))
    given = running.client.report_feedback(decision, 0.0)
    (kept,) = running.client.get_decision(decision).feedback
    assert (kept.state, kept.attempt_id) == (given.state, "mine") == ("superseded", "mine")
    text = explained(running, decision.decision_id, capsys)
    assert "The user said 0.000: it does not count, for the attempt failed." in text
    assert "No judgement counts" in text


def test_a_preference_is_told_once_and_unknown_tokens_not_at_all(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = running.client.decide("hello", task_class="code.debug")
    for model in ("echo/small", "echo/large"):
        running.client.report_outcome(decision, model=model, latency_s=0.25)
    running.client.report_feedback(decision, preference=Preference(preferred_attempt_id="2", other_attempt_id="1"))
    text = explained(running, decision.decision_id, capsys)
    assert text.count("attempt 2 is the better of two") == 1
    assert "Attempt 1: echo/small answered after 0.25 s. " in text


def test_a_reaction_is_told_as_what_the_user_did(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    done = running.client.complete("hello", task_class="code.debug")
    running.client.report_feedback(done, reaction=Reaction(kind="edited", edit_share=0.3), rater_id="ann")
    assert "The user 'ann' edited it, changing 30%: it counts." in explained(running, done.decision_id, capsys)
    running.client.report_feedback(done, reaction="abandoned", rater_id="ann")
    assert "The user 'ann' abandoned it: it counts." in explained(running, done.decision_id, capsys)
    (kept,) = running.client.get_decision(done.decision_id).feedback
    assert (kept.reaction, kept.score, kept.value, kept.revisions) == (Reaction(kind="abandoned"), None, 0.25, 1)


def test_a_session_that_kept_its_model_was_no_draw(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    first = running.client.decide("hello", task_class="code.debug", session_id="s1")
    again = running.client.decide("hello", task_class="code.debug", session_id="s1")
    text = explained(running, again.decision_id, capsys)
    assert f"Nothing was drawn: the session's earlier model, {first.model}, was kept." in text
    assert "fell into" not in text


def test_a_session_that_left_its_model_says_why(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    first = running.client.decide("hello", task_class="code.debug", session_id="s2")
    other = next(c.model for c in first.ranking if c.model != first.model)
    moved = running.client.decide("hello", task_class="code.debug", session_id="s2", allowed_models=[other])
    text = explained(running, moved.decision_id, capsys)
    assert f"The session left {first.model}, which may not be used for this request." in text
    record = running.client.get_decision(moved.decision_id)
    assert (record.session_moved_from, record.session_moved_reason, record.sticky) == (first.model, "ineligible", False)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (
            Objective("cost_optimized", quality_floor=0.75, confidence=0.95),
            "cheapest model whose quality is at least 0.75",
        ),
        (Objective("quality_first", margin=0.02), "only among those within 0.02"),
        (Objective("latency_optimized"), "fastest model"),
    ],
)
def test_every_strategy_has_its_words(
    running: Running, capsys: pytest.CaptureFixture[str], objective: Objective, words: str
) -> None:
    decision = running.client.decide("hello", task_class="worded", objective=objective)
    text = explained(running, decision.decision_id, capsys)
    assert words in text
    assert "was worth" not in text


def test_exploring_is_called_so_and_only_then(running: Running) -> None:
    record = running.client.get_decision(running.client.decide("hello", task_class="drawn"))
    best = max(record.candidates, key=lambda one: one.utility).candidate.model
    worst = min(record.candidates, key=lambda one: one.utility).candidate.model
    assert any("It explored" in line for line in choice(replace(record, model=worst)))
    assert not any("It explored" in line for line in choice(replace(record, model=best)))


def test_the_worth_of_the_answer_follows_from_the_facts(running: Running) -> None:
    done = running.client.complete("hello", task_class="code.debug")
    running.client.report_feedback(done, 0.5)
    record = running.client.get_decision(done)
    spent, waited = record.attempts[0].cost.usd, record.attempts[0].latency_s or 0.0
    line = next(line for line in verdict(record) if "was worth" in line)
    assert f"${0.05 * 0.5 - spent - 0.0001 * waited:.5f}" in line


def test_a_decision_known_by_its_id_only_claims_no_more(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    record = running.client.get_decision(running.client.decide("hello", task_class="code.debug"))
    lost = replace(record, restored_from_id=True, candidates=(), excluded=(), ranking=(), uniform_draw=0.0)
    explain(lost, Console(width=200))
    text = capsys.readouterr().out
    assert "lost in a crash" in text
    for claim in ("fell into", "could be used", "One point of quality"):
        assert claim not in text


def test_an_id_that_is_none_fails_with_its_reason(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_explanation(running.address, "nonsense") == 1
    caught = capsys.readouterr()
    assert caught.out == ""
    assert "decision_id" in caught.err


def test_a_budget_and_its_price_are_told(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    record = running.client.get_decision(running.client.decide("hello", task_class="code.debug"))
    assert not list(budget(record))
    held = BudgetExplanation(
        scope="workflow", usd_per_request=0.002, quality_per_usd=25.0, lower_price_share=0.25,
        bank_nano_usd=NanoUsd(-4_000_000), below_cheapest=False,
    )  # fmt: skip
    explain(replace(record, budget=held), Console(width=200))
    text = " ".join(capsys.readouterr().out.split())
    assert "$0.002 a request is held over the requests of its workflow; $0.004 was owed before this one." in text
    assert "had to bring 0.025 of quality: that is the budget's price; 25% of the probability rests on a price" in text
    (_, free, short) = budget(replace(record, budget=replace(held, quality_per_usd=0.0, below_cheapest=True)))
    assert "did not bind" in free
    assert "spend exceeds it" in short


def test_the_data_class_is_told_with_who_set_it_and_what_lets_it_go_where(running: Running) -> None:
    record = running.client.get_decision(running.client.decide("hello", task_class="code.debug", data_class="open"))
    assert "Its data class was open, which nothing enforced." in list(asked(record))
    entries = ["on_prem", *["vendor:echo"] * (len(record.candidates) - 1)]
    ruled = replace(
        record, data_class="secret", data_class_source="workflow", no_store=True,
        candidates=tuple(replace(c, permitted_by=e) for c, e in zip(record.candidates, entries, strict=True)),
    )  # fmt: skip
    text = " ".join(asked(ruled))
    assert "Its data class was secret: its workflow sets that." in text
    assert f"The rule's 'on_prem' lets it go to {record.candidates[0].candidate.model}." in text
    assert text.endswith("Free text about it is not kept.")
    unsaid = " ".join(asked(replace(ruled, data_class_source="unstated")))
    assert "nobody said, and so it is the strictest" in unsaid


def test_a_fixed_list_is_told_as_one(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    listed = Objective("fallback", models=("echo/off", "echo/large", "echo/small"))
    decision = running.client.decide("hello", task_class="code.debug", objective=listed)
    assert (decision.model, decision.propensity) == ("echo/large", 1.0)
    assert [one.model for one in decision.ranking] == ["echo/large", "echo/small"]
    text = explained(running, decision.decision_id, capsys)
    assert "fallback: take the first model of a fixed list that may be used" in text
    assert "Nothing was drawn: echo/large is the first of the list that may be used." in text
    assert "Had it failed, the next would have been echo/small." in text
    assert "explored" not in text


@pytest.mark.parametrize("strategy", ["balanced", "ensemble", "cascade"])
def test_strategies_in_money_say_so(strategy: str) -> None:
    words = objective_in_words(Objective(strategy, usd_per_quality=0.05, usd_per_second=0.001))
    assert words.startswith(
        f"{strategy}: take the {'model' if strategy == 'balanced' else strategy} that is worth most"
    )
    assert "no words" not in words


def test_refusals_are_told_as_what_they_are(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    decision = running.client.decide("hello", task_class="code.debug", objective=Objective(on_refusal="return"))
    running.client.report_outcome(decision, finish_reason="refusal", input_tokens=10, output_tokens=2, latency_s=0.5)
    text = explained(running, decision.decision_id, capsys)
    assert f"Attempt 1: {decision.model} refused after 0.5 s, reading 10 and writing 2 tokens." in text
    assert "the next is asked" not in text
    record = running.client.get_decision(decision)
    assert record.objective.on_refusal == "return"
    around = replace(record, objective=replace(record.objective, on_refusal="next"))
    assert "Where a model refuses, the next is asked." in objective_in_words(around.objective)
    if len(record.ranking) > 1:
        assert any("Had it failed, or refused, the next would" in sentence for sentence in choice(around))
    (refused,) = record.attempts
    answered = replace(refused, attempt_id="2", finish_reason="stop")
    part = replace(answered, attempt_id="3", part_of="x/y")
    for attempts, expected in (((refused, answered), "2"), ((refused, refused, part), "1"), ((part, refused), "1")):
        found = answering(replace(record, attempts=attempts))
        assert found is not None
        assert found.attempt_id == expected
