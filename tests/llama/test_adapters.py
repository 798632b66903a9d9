"""The adapters for OpenAI's and Anthropic's formats against real inference: what is counted, cut, held to a schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from naiad.adapters.anthropic_messages import AnthropicMessages
from naiad.adapters.base import Answer, Delta, Finished, FinishReason, Request, ResponseSchema, TextDelta, system, user
from naiad.adapters.errors import ContextTooLong
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.remote import Remote
from naiad.adapters.streams import parts_of
from naiad.adapters.wire_format import WireFormat
from tests.adapters.peer import transport
from tests.llama.inference import CALL_S, NAME, WINDOW, Llama, inference

FACTS = system("You answer in one short sentence. " + "France is a country in Europe, and its capital is Paris. " * 4)
QUESTION = Request(NAME, (FACTS, user("What is the capital of France?")), max_output_tokens=24, temperature=0.0)
LONG = replace(QUESTION, messages=(user("Count: one, two, three, " * 400),))
ENDLESS = replace(
    QUESTION, messages=(user("Write a long story about a river, in many chapters."),), max_output_tokens=1_800
)
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "inhabitants": {"type": "integer", "maximum": 99}},
    "required": ["city", "inhabitants"],
    "additionalProperties": False,
}
WIRES: dict[str, tuple[WireFormat, str]] = {
    "openai": (OpenAIChat(), "/v1"),
    "anthropic": (AnthropicMessages("2023-06-01"), ""),
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    """Return a running server."""
    with inference(tmp_path_factory.mktemp("llama")) as running:
        yield running


@pytest.fixture(params=WIRES)
async def adapter(llama: Llama, request: pytest.FixtureRequest) -> AsyncIterator[Remote]:
    """Return an adapter for the server, in either format."""
    async with reached(llama, request.param) as remote:
        yield remote


@asynccontextmanager
async def reached(llama: Llama, format_name: str) -> AsyncIterator[Remote]:
    wire, path = WIRES[format_name]
    async with transport(llama.url + path) as out:
        yield Remote(wire, out)
        assert out.open_exchanges == 0


async def streamed(adapter: Remote, request: Request) -> tuple[list[Delta], Answer]:
    """Return the pieces of an answer, and the answer."""
    deltas: list[Delta] = []
    answer = None
    async for event in adapter.stream(request, timeout_s=CALL_S):
        if isinstance(event, Finished):
            answer = event.answer
        else:
            assert answer is None, "nothing follows the end"
            deltas.append(event)
    assert answer is not None
    await asyncio.sleep(0.05)  # llama-server says keep-alive, and hangs up after a stream: let that be seen
    return deltas, answer


async def test_a_whole_answer_and_the_same_as_a_stream(adapter: Remote) -> None:
    whole = await adapter.complete(QUESTION, timeout_s=CALL_S)
    assert "Paris" in whole.text
    assert (whole.finish, whole.model) == (FinishReason.STOP, NAME)
    deltas, answer = await streamed(adapter, QUESTION)
    assert len([delta for delta in deltas if isinstance(delta, TextDelta)]) > 2
    assert parts_of(deltas) == answer.parts
    assert (answer.text, answer.finish, answer.model) == (whole.text, whole.finish, whole.model)
    assert answer.usage.output_tokens == whole.usage.output_tokens


async def test_both_formats_have_the_same_answer_and_count(llama: Llama) -> None:
    answers = []
    for name in WIRES:
        async with reached(llama, name) as adapter:
            answers.append(await adapter.complete(QUESTION, timeout_s=CALL_S))
    one, other = answers
    assert one.text == other.text
    assert (one.usage.input_tokens, one.usage.output_tokens) == (other.usage.input_tokens, other.usage.output_tokens)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_what_is_cached_is_counted_within_the_input(adapter: Remote, streams: bool) -> None:
    async def ask(request: Request) -> Answer:
        return (await streamed(adapter, request))[1] if streams else await adapter.complete(request, timeout_s=CALL_S)

    await adapter.complete(replace(QUESTION, messages=(user("Something else entirely."),)), timeout_s=CALL_S)
    first, again = [(await ask(QUESTION)).usage for _ in range(2)]
    assert not first.estimated
    assert first.cached_input_tokens < 0.2 * first.input_tokens
    assert again.cached_input_tokens > 0.8 * again.input_tokens
    assert again.input_tokens == first.input_tokens, "whether cached or not, the prompt is as long"
    assert first.output_tokens == again.output_tokens > 0


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_the_limit_of_the_output_is_kept_and_told(adapter: Remote, streams: bool) -> None:
    short = replace(ENDLESS, max_output_tokens=7)
    answer = (await streamed(adapter, short))[1] if streams else await adapter.complete(short, timeout_s=CALL_S)
    assert (answer.finish, answer.usage.output_tokens) == (FinishReason.LENGTH, 7)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_an_answer_is_held_to_a_schema(llama: Llama, streams: bool) -> None:
    asked = replace(QUESTION, response_schema=ResponseSchema("city", json.dumps(CITY)), max_output_tokens=120)
    async with reached(llama, "openai") as adapter:
        answer = (await streamed(adapter, asked))[1] if streams else await adapter.complete(asked, timeout_s=CALL_S)
    said = json.loads(answer.text)
    assert said.keys() == {"city", "inhabitants"}
    assert isinstance(said["city"], str)
    assert isinstance(said["inhabitants"], int)


async def test_the_model_is_listed_with_its_window(llama: Llama) -> None:
    async with reached(llama, "openai") as adapter:
        (listed,) = await adapter.list_models(CALL_S)
    assert (listed.name, listed.context_window) == (NAME, WINDOW)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_a_prompt_beyond_the_window_is_too_long(adapter: Remote, streams: bool) -> None:
    with pytest.raises(ContextTooLong) as caught:
        await (streamed(adapter, LONG) if streams else adapter.complete(LONG, timeout_s=CALL_S))
    assert caught.value.status == 400
    assert (caught.value.retryable, caught.value.fallback_worthy) == (False, True)
    assert "Paris" in (await adapter.complete(QUESTION, timeout_s=CALL_S)).text, "nothing is left of it"


async def test_who_leaves_a_stream_stops_the_inference(adapter: Remote, llama: Llama) -> None:
    async with aclosing(adapter.stream(ENDLESS, timeout_s=CALL_S)) as events:
        async for event in events:
            assert isinstance(event, TextDelta)
            assert await asyncio.to_thread(llama.busy)
            break
    await asyncio.to_thread(llama.until_idle)


async def test_who_leaves_a_call_stops_the_inference(adapter: Remote, llama: Llama) -> None:
    call = asyncio.ensure_future(adapter.complete(ENDLESS, timeout_s=CALL_S))
    await asyncio.to_thread(llama.until_busy)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(llama.until_idle)
