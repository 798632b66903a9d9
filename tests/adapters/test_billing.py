"""A vendor's own bill: asked for and read where its profile says so, exact, and no money where it is none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import Bill
from naiad.adapters.billing import BillInUsage
from naiad.adapters.endpoint import Endpoint
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.profiles import OPENAI_CHAT
from tests.adapters.peer import endpoint
from tests.adapters.talking import answer, sending, streamed

ENDPOINT: Endpoint = endpoint("http://127.0.0.1:1/v1")
OPENROUTER = OPENAI_CHAT["openrouter"].wire(ENDPOINT)
WHERE = BillInUsage("cost", asked="usage", own_key="is_byok", details="cost_details", upstream="upstream")
COUNT = {"prompt_tokens": 5, "completion_tokens": 2}


def whole(**usage: Any) -> bytes:
    """Return a reply with this usage."""
    said = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": COUNT | usage}
    return msgspec.json.encode(said)


def stream(**usage: Any) -> bytes:
    """Return the same as a stream, whose last chunk has the usage."""
    chunks = [{"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}, {"usage": COUNT | usage}]
    return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def test_only_openrouter_is_asked_for_its_bill_and_believed_to_have_one() -> None:
    for name, profile in OPENAI_CHAT.items():
        wire = profile.wire(ENDPOINT)
        assert isinstance(wire, OpenAIChat)
        for streams in (False, True):
            asks = sending(wire, stream=streams).body.get("usage")
            assert asks == ({"include": True} if name == "openrouter" else None)
        said = answer(wire, whole(cost=0.5)).bill
        assert said == (Bill(500_000_000, "0.5 USD") if name == "openrouter" else None)


def test_whole_and_streamed_replies_say_the_same() -> None:
    assert answer(OPENROUTER, whole(cost=0.00216775)).bill == Bill(2_167_750, "0.00216775 USD")
    assert streamed(OPENROUTER, stream(cost=0.00216775))[1].bill == Bill(2_167_750, "0.00216775 USD")
    assert answer(OPENROUTER, whole()).bill is None
    assert answer(OPENROUTER, whole(cost=None)).bill is None


@given(st.floats(0, 1e6))
def test_an_amount_is_the_decimal_that_was_written_to_a_whole_nano_dollar(usd: float) -> None:
    found = WHERE.of({"cost": usd})
    assert found is not None
    assert found.nano_usd is not None
    assert abs(found.nano_usd - Decimal(repr(usd)) * 1_000_000_000) <= Decimal("0.5")


@pytest.mark.parametrize(
    "amount",
    ["0.1", "many", True, [], {}, -1e-9, -5, float("nan"), float("inf"), float("-inf"), 1e300, 10**6_000],
    ids=lambda amount: repr(amount)[:10] if not isinstance(amount, int) else "integer",
)
def test_what_is_no_amount_of_money_is_a_bill_that_nobody_believes(amount: Any) -> None:
    for usage in ({"cost": amount}, {"cost": 0, "is_byok": True, "cost_details": {"upstream": amount}}):
        found = WHERE.of(usage)
        assert found is not None
        assert found.nano_usd is None
        assert found.said in ("no number", "no amount of money", "-1e-09 USD", "-5 USD")


def test_what_the_account_s_own_key_paid_elsewhere_is_part_of_the_bill() -> None:
    """Where it was used: else the upstream amount is the same money told twice."""
    details = {"upstream": 0.25}
    assert WHERE.of({"cost": 0.25, "is_byok": False, "cost_details": details}) == Bill(250_000_000, "0.25 USD")
    assert WHERE.of({"cost": 0.25, "cost_details": details}) == Bill(250_000_000, "0.25 USD")
    assert WHERE.of({"cost": 0.01, "is_byok": True, "cost_details": details}) == Bill(260_000_000, "0.26 USD")
    for incomplete in ({}, {"cost_details": None}, {"cost_details": 7}, {"cost_details": {"upstream": None}}):
        assert WHERE.of({"cost": 0, "is_byok": True} | incomplete) is None, "then the bill is not whole"


@pytest.mark.parametrize("usage", [None, 7, "x", [], {}])
def test_without_a_usage_there_is_no_bill(usage: Any) -> None:
    assert WHERE.of(usage) is None
