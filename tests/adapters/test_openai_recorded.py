"""What real vendors answered, read by OpenAI's chat format; skipped where the recordings are absent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from naiad.adapters.base import Answer, Delta, FinishReason, Request, ToolCallPart, user
from naiad.adapters.errors import InvalidRequest, MalformedAnswer, ModelNotFound, ProviderError
from naiad.adapters.exchange import Asked, Reply
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.pricing import bill, price_of
from naiad.adapters.profiles import OPENAI_CHAT
from naiad.adapters.sse import EventParser
from naiad.adapters.streams import parts_of
from naiad.adapters.wire_format import Sending, WireFormat
from naiad.server.credibility import believes
from naiad.server.records import Cost
from tests.adapters.peer import endpoint
from tests.adapters.shared_data import Recorded, recorded
from tests.adapters.talking import NOW

WIRE = OpenAIChat()
OPENROUTER = OPENAI_CHAT["openrouter"].wire(endpoint("http://127.0.0.1:1/v1"))
HOSTS = {  # -> how many replies of status 200 there are
    "api.openai.com": 103, "api.groq.com": 28, "openrouter.ai": 34, "api.mistral.ai": 24, "api.cerebras.ai": 3,
    "api.z.ai": 4, "api.inference.crusoecloud.com": 4, "router.huggingface.co": 8,
}  # fmt: skip
IN_PRICES = {  # -> vendor and flavour in genai-prices
    "api.openai.com": ("openai", "chat"), "api.groq.com": ("groq", "default"), "openrouter.ai": ("openrouter", "chat"),
    "api.mistral.ai": ("mistral", "default"), "api.cerebras.ai": ("cerebras", "chat"), "api.z.ai": ("zai", "chat"),
    "router.huggingface.co": ("huggingface_together", "chat"),
}  # fmt: skip


def asked(exchange: Recorded) -> tuple[Asked, Sending]:
    """Return who was asked for which model."""
    model = (exchange.request or {}).get("model") or "unknown"
    return Asked("recorded", model), Sending(Request(model, (user("Hello"),)), "/chat/completions", {})


def read(exchange: Recorded, wire: WireFormat = WIRE) -> Answer:
    """Read a reply of status 200, whole or as a stream."""
    who, sending = asked(exchange)
    if "event-stream" not in exchange.headers["content-type"]:
        return wire.answer(Reply(who, 200, exchange.headers, exchange.body), sending)
    reader = wire.reader(who, exchange.headers, sending)
    deltas: list[Delta] = []
    for event in EventParser(1 << 24).feed(exchange.body):
        deltas += reader.feed(event)
    found = reader.answer()
    assert found is not None
    assert found.parts == parts_of(deltas)
    assert reader.done
    return found


def last_body(exchange: Recorded) -> dict[str, Any]:
    """Return the body with the usage: the whole one, or the last chunk that has it."""
    bodies = [exchange.body]
    if "event-stream" in exchange.headers["content-type"]:
        lines = (line.removeprefix(b"data: ") for line in exchange.body.splitlines())
        bodies = [line for line in lines if line.startswith(b"{")]
    return next(body for body in map(msgspec.json.decode, reversed(bodies)) if body.get("usage"))


def good(host: str) -> list[Recorded]:
    """Return the exchanges of status 200."""
    return [exchange for exchange in recorded(host) if exchange.status == 200]


@pytest.mark.parametrize("host", HOSTS)
def test_every_good_reply_has_an_answer_an_end_and_a_count(host: str) -> None:
    exchanges = good(host)
    assert len(exchanges) == HOSTS[host]
    for exchange in exchanges:
        found = read(exchange)
        body = last_body(exchange)
        assert found.parts, exchange.id
        assert found.model == body["model"]
        assert found.provider_request_id
        assert found.notices == ()
        assert not found.usage.estimated
        assert found.usage.input_tokens == body["usage"]["prompt_tokens"]
        assert found.usage.output_tokens == body["usage"]["completion_tokens"]
        calls = [part for part in found.parts if isinstance(part, ToolCallPart)]
        assert all(call.id and call.name for call in calls)
        assert all(msgspec.json.decode(call.arguments) is not None for call in calls if call.arguments)
        assert (found.finish is FinishReason.TOOL_CALLS) == bool(calls)
        assert found.finish in (FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS)


def failures() -> Iterator[tuple[Recorded, ProviderError]]:
    """Yield the exchanges of another status, and their errors."""
    for host in HOSTS:
        for exchange in recorded(host):
            if exchange.status != 200:
                who, _ = asked(exchange)
                yield exchange, WIRE.failure(Reply(who, exchange.status, exchange.headers, exchange.body), now=NOW)


def test_every_error_has_its_type() -> None:
    kinds = {
        "model_not_found": ModelNotFound,
        "unsupported_value": InvalidRequest,  # a role that the model does not take
        "tool_use_failed": MalformedAnswer,  # the model wrote a tool call that is none
    }
    found = list(failures())
    assert len(found) == 6
    for exchange, error in found:
        said = msgspec.json.decode(exchange.body)["error"]
        assert type(error) is kinds[said["code"]]
        assert said["code"] in str(error)
        assert said["message"] not in repr(error)


@pytest.mark.parametrize("host", IN_PRICES)
def test_usage_is_what_genai_prices_reads(host: str) -> None:
    """But for Mistral's cached tokens, of which genai-prices knows one name of two."""
    from genai_prices import extract_usage

    vendor, flavour = IN_PRICES[host]
    compared = 0
    for exchange in good(host):
        body, ours = last_body(exchange), read(exchange).usage
        try:
            theirs = extract_usage(body, provider_id=vendor, api_flavor=flavour).usage
        except LookupError:
            continue  # a model that it does not know
        compared += 1
        assert (theirs.input_tokens, theirs.output_tokens) == (ours.input_tokens, ours.output_tokens)
        assert (theirs.cache_write_tokens or 0) == ours.cache_write_tokens
        if body["usage"].get("num_cached_tokens"):
            assert ours.cached_input_tokens == body["usage"]["num_cached_tokens"]
            assert not theirs.cache_read_tokens, "now it knows: leave this exception out"
        else:
            assert (theirs.cache_read_tokens or 0) == ours.cached_input_tokens
    assert compared >= HOSTS[host] - 3


OTHER_PRICES = {
    "bc961b86743c-0": "routed to a provider whose price is above the one that is listed",
    "8735c29bdf93-0": "a search on OpenRouter's side had tokens of its own",
    "d53b4b16091d-0": "a search on OpenRouter's side doubled the price of tokens",
}


def test_the_bill_is_openrouters_own() -> None:
    """Within 1 %, for what tokens cost; what searches and files cost on top is not asked for by this adapter."""
    whole = 0
    for exchange in good("openrouter.ai"):
        body = last_body(exchange)
        usage = body["usage"]
        details = usage.get("cost_details") or {}
        facts = price_of("openrouter", body["model"], at=datetime.fromtimestamp(body["created"], UTC))
        found = read(exchange, OPENROUTER)
        assert (found.bill is None) == (usage.get("cost") is None), exchange.id
        if found.bill is None:
            continue
        upstream = details["upstream_inference_cost"] if usage.get("is_byok") else 0.0
        assert found.bill.nano_usd == round((usage["cost"] + upstream) * 1e9)
        if facts is None or exchange.id in OTHER_PRICES:
            continue
        priced = bill(found.usage, facts.price)
        assert believes(found.bill, Cost(total=priced.total)), exchange.id
        ours = priced.total / 1e9
        for_input, for_output = (details.get(f"upstream_inference_{of}_cost") for of in ("prompt", "completions"))
        if for_input is not None and for_output is not None:
            assert ours == pytest.approx(for_input + for_output, rel=0.01), exchange.id
            if found.bill.nano_usd != pytest.approx((for_input + for_output) * 1e9, rel=0.01):
                continue  # something on top
        assert priced.total == pytest.approx(found.bill.nano_usd, rel=0.01), exchange.id
        whole += 1
    assert whole >= 21, "two of them paid by the account's own key elsewhere"
