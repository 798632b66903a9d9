"""OpenAI's chat format against anything: errors are typed and quote nothing, and no cut is a success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from naiad.adapters.base import Answer, Delta
from naiad.adapters.errors import ProviderError, Truncated
from naiad.adapters.exchange import Asked
from naiad.adapters.openai_chat import OpenAIChat
from naiad.adapters.sse import EventParser, ServerEvent
from tests.adapters.talking import NOW, QUESTION, reply, sending

WIRE = OpenAIChat()
FIXTURES = Path(__file__).parent / "fixtures" / "openai"
QUOTE = "the prompt said so"
"""Stands in all that is sent; as it has spaces, no rule for identifiers lets it through."""

KEYS = (
    "choices", "message", "delta", "content", "tool_calls", "function", "name", "arguments", "finish_reason", "usage",
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens", "error", "code", "type", "param",
    "index", "id", "model", "detail", "loc", "data", "capabilities", "x_groq", "refusal", "metadata",
)  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers(-3, 600) | st.floats() | st.sampled_from((QUOTE, "stop", "text", "error"))
)
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
messages = st.fixed_dictionaries({}, optional={"content": documents, "refusal": documents, "tool_calls": documents})
choices = st.lists(
    st.fixed_dictionaries({}, optional={"message": messages, "delta": messages, "finish_reason": leaves}), max_size=2
)
completions = st.fixed_dictionaries(
    {"choices": choices | documents}, optional={"usage": documents, "error": documents, "x_groq": documents}
)
bodies = st.binary(max_size=60) | (documents | completions).map(msgspec.json.encode)


def shows_nothing(error: ProviderError) -> None:
    """Assert that an error names who was asked, and quotes nothing."""
    assert error.provider == "peer"
    assert error.model == "some-model"
    assert QUOTE not in repr(error)
    assert error.__cause__ is None
    assert error.__context__ is None


@given(bodies)
def test_any_reply_is_an_answer_or_a_typed_error(body: bytes) -> None:
    try:
        assert isinstance(WIRE.answer(reply(body), sending(WIRE)), Answer)
    except ProviderError as error:
        shows_nothing(error)


@given(st.integers(201, 599), bodies)
def test_any_failure_is_a_typed_error(status: int, body: bytes) -> None:
    found = WIRE.failure(reply(body, status), now=NOW)
    shows_nothing(found)
    assert found.status == status


@given(bodies)
def test_any_list_of_models_is_one_or_a_typed_error(body: bytes) -> None:
    try:
        models, page = WIRE.listed(reply(body), "")
    except ProviderError as error:
        shows_nothing(error)
    else:
        assert all(model.name for model in models)
        assert page == ""


events = st.builds(
    ServerEvent, bodies.map(lambda body: body.decode("utf-8", "replace")) | st.just("[DONE]"),
    st.sampled_from(("message", "error")),
)  # fmt: skip


@given(st.lists(events, max_size=5))
def test_any_stream_is_read_or_a_typed_error(stream: list[ServerEvent]) -> None:
    reader = WIRE.reader(Asked("peer", "some-model"), {}, sending(WIRE, stream=True))
    try:
        for event in stream:
            list(reader.feed(event))
        reader.answer()
    except ProviderError as error:
        shows_nothing(error)


def read(stream: bytes) -> tuple[list[Delta], Answer | None]:
    """Read as much of a stream as there is."""
    reader = WIRE.reader(Asked("peer", "some-model"), {}, sending(WIRE, stream=True))
    deltas: list[Delta] = []
    for event in EventParser(1 << 20).feed(stream):
        deltas += reader.feed(event)
    return deltas, reader.answer()


@pytest.mark.parametrize("name", ["text.sse", "tools.sse", "refusal.sse", "gateway.sse"])
def test_a_stream_cut_anywhere_is_whole_or_no_success(name: str) -> None:
    """At every byte: the deltas are a beginning of all, and there is an answer only if they are all."""
    stream = (FIXTURES / name).read_bytes()
    deltas, answer = read(stream)
    assert answer is not None
    whole = short = 0
    for cut in range(len(stream)):
        some, found = read(stream[:cut])
        assert some == deltas[: len(some)]
        if found is None:
            short += 1
        else:
            whole += 1
            assert some == deltas
            assert (found.parts, found.finish) == (answer.parts, answer.finish)
    assert whole > 0
    assert short > len(stream) / 2


@given(st.lists(st.sampled_from(["a", "bc", " ", "é"]), min_size=1, max_size=6), st.data())
@example(["a"], None)
def test_pieces_of_any_size_are_the_same_stream(words: list[str], data: Any) -> None:
    chunks: list[Any] = [{"choices": [{"delta": {"content": word}}]} for word in words]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    stream = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5))) if data else []
    parser, reader = EventParser(1 << 20), WIRE.reader(Asked("peer", "some-model"), {}, sending(WIRE, stream=True))
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        for event in parser.feed(stream[start:end]):
            list(reader.feed(event))
    found = reader.answer()
    assert found is not None
    assert found.text == "".join(words)
    assert reader.done


def test_a_stream_without_a_reason_is_truncated() -> None:
    from tests.adapters.talking import streamed

    with pytest.raises(Truncated):
        streamed(WIRE, (FIXTURES / "text.sse").read_bytes().replace(b'"stop"', b"null"), QUESTION)
