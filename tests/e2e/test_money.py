"""The largest numbers: whatever is accepted can be counted, kept and told."""

from __future__ import annotations

from typing import Any

import pytest

from naiad.server.bounds import MOST_MONEY, MOST_PER_MILLION, MOST_TOKENS
from tests.e2e.live import BASE, Caller

CONFIG = BASE + '[[models]]\nname = "echo/dear"\ninput_usd_per_million = 1000\noutput_usd_per_million = 1000.0\n'
LARGEST = {f"{part}_nano_usd_per_million_tokens": MOST_PER_MILLION for part in ("input", "output")}
LARGEST["request_nano_usd"] = MOST_MONEY


def test_the_dearest_model_with_the_largest_request(api: Caller) -> None:
    api.call("CatalogService/CreateModel", model={"name": "echo/most", "endpoint_profile": "echo", "prices": LARGEST})
    for name in ("echo/dear", "echo/most"):
        made = api.call(
            "RouterService/Decide", task_class="money", allowed_models=[name], input_tokens=MOST_TOKENS,
            max_output_tokens=MOST_TOKENS,
        )  # fmt: skip
        assert made.ranking[0].cost_nano_usd > 10**18
        for attempt in range(5):
            reply = api.outcome(
                made.decision_id, input_tokens=MOST_TOKENS, output_tokens=MOST_TOKENS, attempt_id=f"a{attempt}"
            )
        assert reply.cost.total_nano_usd >= 2 * MOST_TOKENS * MOST_PER_MILLION // 10**6
        record = api.call("InsightService/GetDecision", decision_id=made.decision_id).decision
        assert len(record.attempts) == 5
    api.settle()
    listed = api.call("InsightService/ListDecisions", task_class="money").decisions
    assert {decision.cost_nano_usd for decision in listed} == {(1 << 63) - 1}, "told as the most that can be told"
    again = api.call("RouterService/Decide", task_class="money", allowed_models=["echo/most"], input_tokens=MOST_TOKENS)
    assert again.ranking[0].cost_sd_nano_usd >= 0


def test_a_large_bill_is_money_and_no_count_of_tokens(api: Caller) -> None:
    made = api.decide("money.bill")
    assert api.outcome(made.decision_id, cost_nano_usd=MOST_MONEY).cost.total_nano_usd == MOST_MONEY


@pytest.mark.parametrize(
    ("field", "prices"),
    [
        ("model.prices.input_nano_usd_per_million_tokens", {"input_nano_usd_per_million_tokens": MOST_PER_MILLION + 1}),
        ("model.prices.cache_write_nano_usd_per_million_tokens", {"cache_write_nano_usd_per_million_tokens": -1}),
        ("model.prices.request_nano_usd", {"request_nano_usd": MOST_MONEY + 1}),
    ],
)
def test_a_price_out_of_range_is_named_by_its_path(api: Caller, field: str, prices: dict[str, Any]) -> None:
    refusal = api.refused("CatalogService/CreateModel", model={"name": "a/b", "prices": LARGEST | prices})
    assert (refusal.reason, refusal.metadata["field"]) == ("NUMBER_OUT_OF_RANGE", field)


def test_the_last_day_of_the_calendar_is_a_time(api: Caller) -> None:
    assert not api.call("InsightService/ListDecisions", start_time={"seconds": 253_402_300_799}).decisions
