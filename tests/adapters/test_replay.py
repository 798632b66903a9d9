"""Replay: exact bills, reproducible latency, honest words, clear refusals."""

from __future__ import annotations

import asyncio
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import FinishReason, Message, Request, Role, TextPart, user
from naiad.adapters.errors import ModelNotFound, UnrecordedPrompt
from naiad.adapters.pricing import Price, bill
from naiad.adapters.replay import (
    MEDIAN_LATENCY_S,
    RECORDED_PRICES,
    RecordedArm,
    Replay,
    ReplayRecord,
    latency_of,
    load_records,
    replay_available,
    tokens_of_cost,
)
from naiad.adapters.replay_records import INSTALL
from naiad.adapters.tokens import tokens_of_bytes

needs_wheel = pytest.mark.skipif(not replay_available(), reason=f"not installed: {INSTALL}")

LLAMA = "meta-llama/llama-3.1-8b-instruct"
MISTRAL = "mistralai/mistral-large-2512"
GEMINI = "google/gemini-2.5-pro"


def record(prompt: str, **cents: int) -> ReplayRecord:
    names = {"llama": LLAMA, "mistral": MISTRAL, "gemini": GEMINI}
    return ReplayRecord(prompt, "mmlu", {names[name]: RecordedArm(0.5, nano) for name, nano in cents.items()})


async def ask(replay: Replay, prompt: str, model: str = LLAMA) -> tuple[int, float]:
    """Return the bill in nano-USD at the recorded price, and the latency in seconds."""
    answer = await replay.complete(Request(model, (user(prompt),)), timeout_s=10)
    assert answer.latency_s is not None
    return bill(answer.usage, RECORDED_PRICES[model]).total, answer.latency_s


@needs_wheel
def test_every_recorded_cost_is_reproduced_to_the_nano() -> None:
    for row in load_records():
        for model, arm in row.arms.items():
            usage = tokens_of_cost(arm.cost_nano_usd, len(row.prompt.encode()), RECORDED_PRICES[model])
            assert bill(usage, RECORDED_PRICES[model]).total == arm.cost_nano_usd
            assert usage.input_tokens >= 1
            assert usage.output_tokens >= 1


@given(
    st.integers(1, 10_000),
    st.integers(1, 50_000),
    st.integers(1, 40_000),
    st.sampled_from([LLAMA, MISTRAL, GEMINI]),
)
def test_tokens_of_a_cost_cost_that_much(tokens_in: int, tokens_out: int, n_bytes: int, model: str) -> None:
    price = RECORDED_PRICES[model]
    cost = (tokens_in * price.input + tokens_out * price.output) // 1_000_000
    usage = tokens_of_cost(cost, n_bytes, price)
    assert bill(usage, price).total == cost
    assert usage.output_tokens >= 1, "an answer has at least one token"
    assert usage.estimated
    affordable = (cost * 1_000_000 - price.output) // price.input
    assert abs(usage.input_tokens - min(tokens_of_bytes(n_bytes), affordable)) <= 8


@given(st.integers(0, 10**9), st.integers(0, 40_000), st.integers(0, 10**11), st.integers(0, 10**11))
def test_any_cost_and_price_give_tokens_that_cost_no_more_than_one_token_off(
    cost: int, n_bytes: int, input_: int, output: int
) -> None:
    price = Price(input=input_, output=output)
    off = abs(bill(tokens_of_cost(cost, n_bytes, price), price).total - cost)
    if output:
        assert off <= output / 1_000_000 + 1
    else:
        assert off <= cost


async def test_the_answer_says_that_it_is_a_replay() -> None:
    replay = Replay([record("Why?", llama=37_300)])
    answer = await replay.complete(Request(LLAMA, (user("Why?"),)), timeout_s=1)
    assert "not recorded" in answer.text
    assert "0.000037300 USD" in answer.text
    assert len(answer.notices) == 1
    assert "simulated" in answer.notices[0]
    assert answer.finish is FinishReason.STOP
    assert answer.usage.estimated
    assert bill(answer.usage, RECORDED_PRICES[LLAMA]).total == 37_300


async def test_the_last_user_message_is_looked_up_in_a_conversation() -> None:
    replay = Replay([record("Why?", llama=37_300), record("How?", llama=55_500)])
    turns = (
        Message(Role.SYSTEM, (TextPart("be brief"),)),
        user("Why?"),
        Message(Role.ASSISTANT, (TextPart("because"),)),
        user("How?"),
    )
    answer = await replay.complete(Request(LLAMA, turns), timeout_s=1)
    assert bill(answer.usage, RECORDED_PRICES[LLAMA]).total == 55_500


async def test_the_first_of_two_records_of_one_prompt_answers_always() -> None:
    replay = Replay([record("Why?", llama=100_000), record("Why?", llama=200_000, mistral=300_000)])
    for _ in range(3):
        assert (await ask(replay, "Why?"))[0] == 100_000
    assert (await ask(replay, "Why?", MISTRAL))[0] == 300_000, "a model that only the second has"
    assert replay.shadowed == 1


async def test_latency_is_a_pure_function_of_seed_prompt_and_model() -> None:
    records = [record("Why?", llama=90_000, mistral=90_000), record("How?", llama=90_000)]
    once = Replay(records, seed=5)
    first = await ask(once, "Why?")
    await ask(once, "How?")
    assert await ask(once, "Why?") == first
    assert await ask(Replay(reversed(records), seed=5), "Why?") == first
    assert (await ask(Replay(records, seed=6), "Why?"))[1] != first[1]
    assert (await ask(once, "Why?", MISTRAL))[1] != first[1]


def test_latency_follows_the_stated_law() -> None:
    logs = [math.log(latency_of(0, f"prompt {n}", LLAMA, 100)) for n in range(4000)]
    assert statistics.fmean(logs) == pytest.approx(math.log(MEDIAN_LATENCY_S[LLAMA]), abs=4 * 0.25 / 4000**0.5)
    assert statistics.stdev(logs) == pytest.approx(0.25, rel=4 / (2 * 4000) ** 0.5)
    ratio = latency_of(0, "p", LLAMA, 1009) / latency_of(0, "p", LLAMA, 100)
    assert math.log(ratio) / math.log(10) == pytest.approx(0.62)
    assert latency_of(0, "p", "someone/else", 0) > 0


async def test_waiting_really_sleeps_for_the_stated_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    records = [record("Why?", llama=90_000)]
    _, latency_s = await ask(Replay(records), "Why?")
    assert slept == [], "by default nobody waits"
    await ask(Replay(records, wait=True), "Why?")
    assert slept == [latency_s]


async def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    replay = Replay([record("Why?", llama=90_000)])
    with pytest.raises(ModelNotFound, match=f"'gpt-5' was not recorded; recorded are {LLAMA}"):
        await replay.complete(Request("gpt-5", (user("Why?"),)), timeout_s=1)


async def test_an_unrecorded_prompt_says_who_could_answer_it() -> None:
    replay = Replay([record("Why?", llama=90_000), record("How?", mistral=90_000)])
    with pytest.raises(UnrecordedPrompt) as nobody:
        await ask(replay, "Why? ")
    assert nobody.value.recorded_models == ()
    assert not nobody.value.fallback_worthy
    assert nobody.value.prompt_digest in str(nobody.value)
    with pytest.raises(UnrecordedPrompt) as other:
        await ask(replay, "How?")
    assert other.value.recorded_models == (MISTRAL,)
    assert other.value.fallback_worthy


def test_a_recorded_model_needs_a_price() -> None:
    odd = ReplayRecord("Why?", "mmlu", {"x/y": RecordedArm(1.0, 5)})
    with pytest.raises(ValueError, match="without a price: x/y"):
        Replay([odd])
    assert Replay([odd], prices={"x/y": Price(input=1, output=1)}).models == ("x/y",)


def test_repr_states_the_settings() -> None:
    assert (
        repr(Replay([record("Why?", llama=1)], seed=4, wait=True))
        == f"Replay(prompts=1, models=['{LLAMA}'], seed=4, wait=True)"
    )
