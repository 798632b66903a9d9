"""ReportOutcome, ReportFeedback and RetractFeedback do what their comments in feedback_service.proto say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.live import Caller, Refusal

EFFECTIVE, SUPERSEDED, RETRACTED = 1, 2, 3
HUMAN, JUDGE, CHECK, USER = 1, 2, 3, 4
RETRACT = "FeedbackService/RetractFeedback"


def record(api: Caller, decision_id: str) -> Any:
    """Return a decision's record once it is written."""
    api.settle()
    return api.call("InsightService/GetDecision", decision_id=decision_id).decision


def test_an_outcome_is_priced_and_learned_from(api: Caller) -> None:
    made = api.decide("fb.outcome", allowed_models=["echo/large"])
    reply = api.outcome(made.decision_id, input_tokens=1_000_000, output_tokens=1_000)
    assert reply.attempt_id == "1"
    assert reply.cost.input_nano_usd == 1_000_000_000
    assert reply.cost.output_nano_usd == 4_000_000
    assert reply.cost.total_nano_usd == 1_004_000_000
    arm = api.arms(task_class="fb.outcome", model="echo/large").arms[0]
    assert arm.output_tokens.effective_observations == pytest.approx(1.0)
    assert arm.latency_s.effective_observations == pytest.approx(1.0)
    assert arm.quality.effective_observations == 0.0
    assert api.arms(task_class="fb.outcome").sequence == reply.sequence


def test_what_was_billed_is_the_total(api: Caller) -> None:
    made = api.decide("fb.outcome", allowed_models=["echo/large"])
    cost = api.outcome(made.decision_id, cost_nano_usd=7).cost
    assert (cost.total_nano_usd, cost.billed_nano_usd) == (7, 7)


def test_a_failure_teaches_availability_never_quality(api: Caller) -> None:
    made = api.decide("fb.failure", allowed_models=["echo/small"])
    api.call("FeedbackService/ReportOutcome", decision_id=made.decision_id, error={"kind": 4, "detail": "busy"})
    api.score(made.decision_id, 0.0)
    arm = api.arms(task_class="fb.failure", model="echo/small").arms[0]
    assert arm.failures == 1
    assert arm.success.mean < 1.0
    assert arm.quality.effective_observations == 0.0
    assert not record(api, made.decision_id).HasField("effective_score")


@pytest.mark.parametrize("judged_first", [False, True])
def test_feedback_of_an_attempt_with_a_name_of_its_own_that_failed_teaches_no_quality(
    api: Caller, judged_first: bool
) -> None:
    name = f"fb.failed-{judged_first}"
    made = api.decide(name)
    failure = {"decision_id": made.decision_id, "attempt_id": "mine", "error": {"kind": 1}}
    if not judged_first:
        api.call("FeedbackService/ReportOutcome", **failure)
    given = api.score(made.decision_id, 0.0)
    if judged_first:
        api.call("FeedbackService/ReportOutcome", **failure)
    else:
        assert (given.state, given.HasField("effective_score")) == (SUPERSEDED, False)
    assert all(a.quality.effective_observations == 0.0 for a in api.arms(task_class=name).arms)
    known = record(api, made.decision_id)
    assert [(f.attempt_id, f.state) for f in known.feedback] == [("mine", SUPERSEDED)]
    assert not known.HasField("effective_score")
    api.verify()


def test_feedback_before_the_outcome_goes_to_the_attempt_that_answers(api: Caller) -> None:
    """It belongs to the model that was called, one rater counts once, and its receipt stays good."""
    made = api.decide("fb.early")
    called = made.ranking[1].model
    first = api.score(made.decision_id, 0.9)
    api.call("FeedbackService/ReportOutcome", decision_id=made.decision_id, attempt_id="a", error={"kind": 1})
    api.outcome(made.decision_id, attempt_id="b", model=called)
    evidence = {a.model: a.quality.effective_observations for a in api.arms(task_class="fb.early").arms}
    assert evidence == {called: pytest.approx(1.0), made.model: 0.0}
    second = api.score(made.decision_id, 0.2)
    assert (second.revised, second.feedback_id) == (True, first.feedback_id)
    known = record(api, made.decision_id)
    assert [(f.attempt_id, f.score, f.revisions) for f in known.feedback] == [("b", pytest.approx(0.2, abs=1e-6), 1)]
    assert known.effective_score == pytest.approx(0.2, abs=1e-6)
    assert [a.attempt_id for a in known.attempts] == ["a", "b"]
    api.call(RETRACT, feedback_id=first.feedback_id)
    assert all(a.quality.effective_observations == 0.0 for a in api.arms(task_class="fb.early").arms)
    api.verify()


def test_feedback_stays_with_the_answer_it_was_given_for(api: Caller) -> None:
    made = api.decide("fb.again")
    api.outcome(made.decision_id, model="echo/small")
    api.score(made.decision_id, 0.0)
    api.outcome(made.decision_id, model="echo/large")
    evidence = {a.model: a.quality.effective_observations for a in api.arms(task_class="fb.again").arms}
    assert evidence == {"echo/small": pytest.approx(1.0), "echo/large": 0.0}


def test_a_long_number_as_an_attempt_s_name_leads_to_no_longer_one(api: Caller) -> None:
    made = api.decide("fb.names")
    names = [api.outcome(made.decision_id, attempt_id=given).attempt_id for given in ("9" * 128, "", "٣", "5", "", "")]
    assert [names[1], names[4], names[5]] == ["2", "6", "7"]
    assert api.score(made.decision_id, 0.5, attempt_id=names[1]).state == EFFECTIVE


def test_the_same_outcome_twice_is_one(api: Caller) -> None:
    made = api.decide("fb.twice")
    first = api.outcome(made.decision_id, attempt_id="a")
    again = api.outcome(made.decision_id, attempt_id="a")
    assert again.cost == first.cost
    assert sum(a.success.effective_observations for a in api.arms(task_class="fb.twice").arms) == pytest.approx(1.0)


OTHERWISE: dict[str, dict[str, Any]] = {
    "model": {"model": "echo/large"},
    "input_tokens": {"input_tokens": 101},
    "output_tokens": {"output_tokens": 51},
    "cached_input_tokens": {"cached_input_tokens": 1},
    "cache_write_input_tokens": {"cache_write_input_tokens": 1},
    "cost_nano_usd": {"cost_nano_usd": 1},
    "latency": {"latency": {"nanos": 250_000_001}},
    "time_to_first_token": {"time_to_first_token": {"nanos": 1}},
    "finish_reason": {"finish_reason": 2},
    "error": {"error": {}},
    "error.kind": {"error": {"kind": 1}},
    "error.detail": {"error": {"kind": 3, "detail": "other"}},
    "error.http_status": {"error": {"kind": 3, "http_status": 503}},
    "error.retry_after": {"error": {"kind": 3, "retry_after": {"seconds": 1}}},
}


@pytest.mark.parametrize("fact", OTHERWISE)
@pytest.mark.parametrize("later", [True, False], ids=["left out first", "left out later"])
def test_an_outcome_that_differs_in_any_fact_is_refused_and_an_equal_one_repeated(
    api: Caller, fact: str, later: bool
) -> None:
    plain = {"attempt_id": "a", "model": "echo/small"} | ({"error": {"kind": 3}} if "." in fact else {})
    one, other = (plain, plain | OTHERWISE[fact])[:: 1 if later else -1]
    made = api.decide("fb.facts")
    first = api.outcome(made.decision_id, **one)
    before = api.state()
    with pytest.raises(Refusal) as caught:
        api.outcome(made.decision_id, **other)
    assert caught.value.reason == "ATTEMPT_ALREADY_REPORTED"
    assert api.outcome(made.decision_id, **one) == first
    assert api.state() == before


def test_what_a_provider_asked_to_wait_is_kept(api: Caller) -> None:
    made = api.decide("fb.wait")
    error = {"kind": 3, "detail": "slow down", "http_status": 429, "retry_after": {"seconds": 7, "nanos": 500_000_000}}
    api.outcome(made.decision_id, error=error)
    kept = record(api, made.decision_id).attempts[0].error
    assert (kept.http_status, kept.detail, kept.retry_after.ToMilliseconds()) == (429, "slow down", 7_500)


def test_feedback_on_an_attempt_that_was_never_made_teaches_nobody(api: Caller) -> None:
    made = api.decide("fb.never", allowed_models=["echo/large"])
    assert api.score(made.decision_id, 1.0, attempt_id="1").state == EFFECTIVE
    for name in ("2", "3"):
        api.outcome(made.decision_id, attempt_id=name)
    assert sum(a.quality.effective_observations for a in api.arms(task_class="fb.never").arms) == 0.0
    shown = record(api, made.decision_id)
    assert [(f.attempt_id, f.state) for f in shown.feedback] == [("1", SUPERSEDED)]
    assert not shown.HasField("effective_score")
    api.outcome(made.decision_id, attempt_id="1")  # made after all
    assert sum(a.quality.effective_observations for a in api.arms(task_class="fb.never").arms) == pytest.approx(1.0)
    assert record(api, made.decision_id).feedback[0].state == EFFECTIVE


def test_attempts_without_an_id_get_one_each(api: Caller) -> None:
    made = api.decide("fb.attempts")
    assert [api.outcome(made.decision_id, model=m).attempt_id for m in ("echo/small", "echo/large")] == ["1", "2"]
    assert [a.model for a in record(api, made.decision_id).attempts] == ["echo/small", "echo/large"]


def test_sources_supersede_each_other_in_any_order(api: Caller) -> None:
    made = api.decide("fb.rank")
    user = api.score(made.decision_id, 0.1, USER)
    assert (user.state, user.effective_score) == (EFFECTIVE, pytest.approx(0.1, abs=1e-6))
    human = api.score(made.decision_id, 1.0, HUMAN)
    assert (human.state, human.effective_score) == (EFFECTIVE, 1.0)
    judge = api.score(made.decision_id, 0.5, JUDGE)
    assert (judge.state, judge.effective_score) == (SUPERSEDED, 1.0)
    arms = api.arms(task_class="fb.rank").arms
    assert sum(a.quality.effective_observations for a in arms) == pytest.approx(1.0), "one judgement counts"
    taken = api.call(RETRACT, feedback_id=human.feedback_id)
    assert taken.feedback.state == RETRACTED
    assert taken.feedback.decision_id == made.decision_id
    assert taken.effective_score == 0.5, "the judge's counts again"
    states = {f.source: f.state for f in record(api, made.decision_id).feedback}
    assert states == {USER: SUPERSEDED, HUMAN: RETRACTED, JUDGE: EFFECTIVE}


def test_one_rater_revises(api: Caller) -> None:
    made = api.decide("fb.revise")
    first = api.score(made.decision_id, 0.0, rater_id="ann")
    assert not first.revised
    second = api.score(made.decision_id, 1.0, rater_id="ann")
    assert (second.revised, second.feedback_id, second.effective_score) == (True, first.feedback_id, 1.0)
    other = api.score(made.decision_id, 0.0, rater_id="bob")
    assert (other.revised, other.effective_score) == (False, 0.5)
    kept = [f for f in record(api, made.decision_id).feedback if f.rater_id == "ann"]
    assert [(f.score, f.revisions) for f in kept] == [(1.0, 1)]


def test_retracting_everything_leaves_what_was_there(api: Caller) -> None:
    api.decide("fb.undo")
    made = api.decide("fb.undo")

    def beliefs() -> list[tuple[float, float]]:
        return [(a.quality.mean, a.quality.standard_deviation) for a in api.arms(task_class="fb.undo").arms]

    before = beliefs()
    given = [api.score(made.decision_id, s, source).feedback_id for s, source in ((0.9, 1), (0.2, 2), (0.4, 4))]
    assert beliefs() != before
    for feedback_id in given:
        reply = api.call(RETRACT, feedback_id=feedback_id, comment="by mistake")
        assert reply.feedback.comment == "by mistake"
    assert not reply.HasField("effective_score")
    assert beliefs() == before, "to the bit"
    again = api.call(RETRACT, feedback_id=given[0])
    assert again.feedback.state == RETRACTED, "retracting what is retracted succeeds"


def test_thumbs_count_as_scores(api: Caller) -> None:
    for thumb, value in ((1, 1.0), (2, 0.0)):
        made = api.decide("fb.thumb")
        reply = api.call(
            "FeedbackService/ReportFeedback", decision_id=made.decision_id, thumb=thumb, source=USER, comment="ok"
        )
        assert reply.effective_score == value
        kept = record(api, made.decision_id).feedback[0]
        assert (kept.thumb, kept.value, kept.comment) == (thumb, value, "ok")


ACCEPTED, EDITED, ABANDONED, RETRIED = 1, 2, 3, 4


def react(api: Caller, decision_id: str, kind: int, edit_share: float | None = None, **fields: Any) -> Any:
    """Report what the user did with an answer."""
    reaction = {"kind": kind} | ({} if edit_share is None else {"edit_share": edit_share})
    return api.call("FeedbackService/ReportFeedback", decision_id=decision_id, source=USER, reaction=reaction, **fields)


@pytest.mark.parametrize(
    ("kind", "edit_share", "value"),
    [
        (ACCEPTED, None, 1.0), (EDITED, None, 0.5), (EDITED, 0.0, 1.0), (EDITED, 0.25, 0.75), (EDITED, 1.0, 0.0),
        (ABANDONED, None, 0.25), (RETRIED, None, 0.0),
    ],
)  # fmt: skip
def test_a_reaction_counts_as_its_score_with_half_the_weight_of_a_thumb(
    api: Caller, kind: int, edit_share: float | None, value: float
) -> None:
    made = api.decide(f"fb.reaction{kind}.{edit_share}")
    reply = react(api, made.decision_id, kind, edit_share, comment="copied")
    assert (reply.effective_score, reply.state) == (value, EFFECTIVE)
    (kept,) = record(api, made.decision_id).feedback
    assert (kept.source, kept.reaction.kind, kept.value, kept.comment) == (USER, kind, value, "copied")
    assert (kept.reaction.edit_share if kept.reaction.HasField("edit_share") else None) == edit_share
    evidence = sum(a.quality.effective_observations for a in api.arms(task_class=made.task_class).arms)
    assert evidence == pytest.approx(kept.weight) == 0.075
    api.verify()


def test_what_a_user_says_counts_before_what_the_user_did_in_either_order(api: Caller) -> None:
    for first in ("says", "does"):
        made = api.decide("fb.implicit")
        if first == "says":
            said = api.score(made.decision_id, 0.9, USER, rater_id="ann")
        done = react(api, made.decision_id, RETRIED, rater_id="ann")
        if first == "does":
            assert done.effective_score == 0.0
            said = api.score(made.decision_id, 0.9, USER, rater_id="ann")
        assert not said.revised, "they stand beside each other"
        states = {f.WhichOneof("signal"): f.state for f in record(api, made.decision_id).feedback}
        assert states == {"score": EFFECTIVE, "reaction": SUPERSEDED}
        assert api.call(RETRACT, feedback_id=said.feedback_id).effective_score == 0.0, "the reaction counts again"
        assert not api.call(RETRACT, feedback_id=done.feedback_id).HasField("effective_score")
    api.verify()


def test_a_later_reaction_revises_an_earlier_one(api: Caller) -> None:
    made = api.decide("fb.reacted")
    first = react(api, made.decision_id, RETRIED)
    second = react(api, made.decision_id, EDITED, 0.1)
    assert (second.revised, second.feedback_id, second.effective_score) == (True, first.feedback_id, 0.9)
    (kept,) = record(api, made.decision_id).feedback
    assert (kept.reaction.edit_share, kept.revisions) == (0.1, 1)


def test_reactions_of_one_user_count_up_to_the_cap(api: Caller) -> None:
    for _ in range(60):
        made = api.decide("fb.flood", allowed_models=["echo/small"])
        react(api, made.decision_id, RETRIED, rater_id="mallory")
    evidence = {a.model: a.quality.effective_observations for a in api.arms(task_class="fb.flood").arms}
    assert evidence["echo/small"] == pytest.approx(16 * 0.15, rel=0.02), "30 full judgements were given"
    api.verify()


def test_a_preference_between_two_attempts(api: Caller) -> None:
    made = api.decide("fb.prefer")
    for attempt, model in (("a", "echo/small"), ("b", "echo/large")):
        api.outcome(made.decision_id, attempt_id=attempt, model=model)
    reply = api.call(
        "FeedbackService/ReportFeedback", decision_id=made.decision_id, source=HUMAN,
        preference={"preferred_attempt_id": "b", "other_attempt_id": "a"},
    )  # fmt: skip
    arms = {a.model: a.quality for a in api.arms(task_class="fb.prefer").arms}
    assert arms["echo/large"].mean > arms["echo/small"].mean
    assert [a.effective_observations for a in arms.values()] == pytest.approx([0.5, 0.5])
    api.call(RETRACT, feedback_id=reply.feedback_id)
    assert all(a.quality.effective_observations == 0.0 for a in api.arms(task_class="fb.prefer").arms)


def compared(api: Caller, task_class: str) -> Any:
    """Return a decision with the attempts "1" and "2", by different models."""
    made = api.decide(task_class)
    for model in ("echo/small", "echo/large"):
        api.outcome(made.decision_id, model=model)
    return made


def prefer(api: Caller, decision_id: str, better: str, worse: str) -> Any:
    """Let a human prefer one attempt over another."""
    return api.call(
        "FeedbackService/ReportFeedback", decision_id=decision_id, source=HUMAN, rater_id="a",
        preference={"preferred_attempt_id": better, "other_attempt_id": worse},
    )  # fmt: skip


def test_a_preference_is_one_judgement(api: Caller) -> None:
    made = compared(api, "fb.one")
    given = prefer(api, made.decision_id, "2", "1")
    (kept,) = record(api, made.decision_id).feedback
    assert (kept.feedback_id, kept.attempt_id, kept.state) == (given.feedback_id, "", EFFECTIVE)
    assert (kept.preference.preferred_attempt_id, kept.preference.other_attempt_id) == ("2", "1")


def test_a_preference_draws_the_models_apart_around_what_was_believed(api: Caller) -> None:
    """And by what was believed at the decision, however late it comes; a retraction takes back exactly that."""
    for _ in range(8):
        for model in ("echo/small", "echo/large"):
            api.score(api.decide("fb.apart", allowed_models=[model]).decision_id, 0.9)
    made = compared(api, "fb.apart")
    believed = {c.model: c.quality for c in made.ranking}
    middle = sum(believed.values()) / 2
    assert middle > 0.8
    before = {a.model: a.quality.mean for a in api.arms(task_class="fb.apart").arms}
    given = prefer(api, made.decision_id, "1", "2")
    assert given.effective_score == pytest.approx(1.0)
    after = {a.model: a.quality.mean for a in api.arms(task_class="fb.apart").arms}
    assert after["echo/small"] > before["echo/small"]
    assert after["echo/large"] < before["echo/large"]
    sums = [sum(means.values()) for means in (before, after)]
    assert sums[0] == pytest.approx(sums[1], abs=1e-3), "the class as a whole stays where it was"
    for _ in range(4):
        api.score(api.decide("fb.apart", allowed_models=["echo/large"]).decision_id, 0.1)
    late = prefer(api, made.decision_id, "2", "1")
    assert (late.feedback_id, late.effective_score) == (given.feedback_id, pytest.approx(1.0))
    api.verify()


def test_a_preference_between_two_answers_of_one_model_is_kept_and_teaches_nothing(api: Caller) -> None:
    made = api.decide("fb.same", allowed_models=["echo/small"])
    for _ in range(2):
        api.outcome(made.decision_id, model="echo/small")
    reply = prefer(api, made.decision_id, "2", "1")
    assert reply.state == SUPERSEDED
    (kept,) = record(api, made.decision_id).feedback
    assert (kept.state, kept.preference.preferred_attempt_id) == (SUPERSEDED, "2")
    assert all(a.quality.effective_observations == 0.0 for a in api.arms(task_class="fb.same").arms)


def test_a_preference_turned_round_revises_and_can_be_taken_back_by_either_receipt(api: Caller) -> None:
    made = compared(api, "fb.turned")
    first = prefer(api, made.decision_id, "2", "1")
    second = prefer(api, made.decision_id, "1", "2")
    assert (second.revised, second.feedback_id) == (True, first.feedback_id)
    assert len(record(api, made.decision_id).feedback) == 1
    api.call(RETRACT, feedback_id=first.feedback_id)
    assert all(a.quality.effective_observations == 0.0 for a in api.arms(task_class="fb.turned").arms)


def test_a_preference_revises_the_score_of_either_attempt_and_a_score_revises_all_of_it(api: Caller) -> None:
    made = compared(api, "fb.mixed")
    api.score(made.decision_id, 0.5, attempt_id="2", rater_id="a")
    assert prefer(api, made.decision_id, "1", "2").revised
    assert api.score(made.decision_id, 0.4, attempt_id="1", rater_id="a").revised
    evidence = {a.model: a.quality.effective_observations for a in api.arms(task_class="fb.mixed").arms}
    assert evidence == {"echo/small": pytest.approx(1.0), "echo/large": 0.0}
    assert [f.WhichOneof("signal") for f in record(api, made.decision_id).feedback] == ["score"]
    api.verify()


def test_feedback_is_known_to_the_decision_after_its_reply(api: Caller) -> None:
    for _ in range(20):
        made = api.decide("fb.learn", allowed_models=["echo/small"])
        before = made.ranking[0].quality
        api.score(made.decision_id, 0.0)
        assert api.decide("fb.learn", allowed_models=["echo/small"]).ranking[0].quality != before


@pytest.mark.parametrize("method", ["ReportOutcome", "ReportFeedback", "RetractFeedback"])
def test_a_repeated_request_id_repeats_the_reply(api: Caller, method: str) -> None:
    made = api.decide("fb.repeat")
    fields: dict[str, Any] = {"decision_id": made.decision_id}
    if method == "ReportFeedback":
        fields |= {"score": 0.5, "source": USER}
    elif method == "RetractFeedback":
        fields = {"feedback_id": api.score(made.decision_id, 0.3).feedback_id}
    first = api.call(f"FeedbackService/{method}", **fields, request_id=f"same-{method}")
    sequence = api.arms().sequence
    assert api.call(f"FeedbackService/{method}", **fields, request_id=f"same-{method}") == first
    assert api.arms().sequence == sequence, "no second event"
