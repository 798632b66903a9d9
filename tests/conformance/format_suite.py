"""One suite for the WireFormat protocol: what holds for every format, whatever bytes come in."""

from __future__ import annotations

import contextlib
from abc import ABC
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.adapters.base import Answer
from naiad.adapters.errors import ProviderError
from naiad.adapters.secret import Secret
from naiad.adapters.sse import ServerEvent
from naiad.adapters.streams import parts_of
from naiad.adapters.wire_format import WireFormat
from tests.adapters.formats import answered, fed, fixture, reader_of
from tests.adapters.peer import KEY
from tests.adapters.talking import ASKED, NOW, reply, sending

CANARY = "the canary sings of 4711 secrets"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.just(CANARY) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)

BODIES = JSON.map(msgspec.json.encode) | st.binary(max_size=60)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of each value within a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


def spoiled(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """Return a JSON value with the one at a path replaced."""
    if not path:
        return by
    copy = value.copy()
    copy[path[0]] = spoiled(value[path[0]], path[1:], by)
    return copy


class FormatSuite(ABC):
    """The laws of `naiad.adapters.wire_format.WireFormat` for formats of events; fixtures: names of good ones."""

    wire: WireFormat
    wholes: tuple[str, ...]
    streams: tuple[str, ...]
    same: tuple[tuple[str, str], ...] = ()  # a whole reply and a stream that say the same

    def test_whole_and_streamed_answers_agree(self) -> None:
        for whole, stream in self.same:
            reader = reader_of(self.wire)
            fed(reader, fixture(stream))
            assert reader.answer() == answered(self.wire, fixture(whole))

    def test_the_same_deltas_however_a_stream_is_cut_into_pieces(self) -> None:
        for name in self.streams:
            body, first = fixture(name), reader_of(self.wire)
            deltas = fed(first, body)
            for step in (1, 2, 7, 100):
                reader = reader_of(self.wire)
                assert fed(reader, body, step) == deltas
                assert reader.answer() == first.answer()

    def test_a_stream_that_is_cut_off_is_never_a_short_success(self) -> None:
        for name in self.streams:
            body, first = fixture(name), reader_of(self.wire)
            deltas = fed(first, body)
            whole = first.answer()
            assert whole is not None
            assert whole.parts == parts_of(deltas)
            ends = 0
            for length in range(len(body)):
                reader = reader_of(self.wire)
                begun = fed(reader, body[:length])
                assert begun == deltas[: len(begun)]
                answer = reader.answer()
                if answer is not None:
                    ends += 1
                    assert (answer.parts, answer.finish) == (whole.parts, whole.finish)
            assert ends < len(body) / 2, "an answer before its end"

    # Hypothesis wants a test of its own for each subclass, so each is made within one.

    @pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 413, 418, 429, 500, 503, 529, 599])
    def test_any_body_is_an_answer_or_an_error(self, status: int) -> None:
        @given(BODIES)
        @settings(max_examples=20)
        def check(body: bytes) -> None:
            self.read(body, status)

        check()

    def test_a_spoiled_reply_is_an_answer_or_an_error(self) -> None:
        @given(st.data())
        def check(data: st.DataObject) -> None:
            good = msgspec.json.decode(fixture(data.draw(st.sampled_from(self.wholes))))
            bad = spoiled(good, data.draw(st.sampled_from(places(good))), data.draw(JSON))
            self.read(msgspec.json.encode(bad), data.draw(st.sampled_from([200, 400, 429, 500])))

        check()

    def test_a_spoiled_event_is_read_or_an_error(self) -> None:
        @given(st.data())
        def check(data: st.DataObject) -> None:
            events = [
                line.removeprefix("data:").strip()
                for line in fixture(data.draw(st.sampled_from(self.streams))).decode().splitlines()
                if line.startswith("data:")
            ]
            at = data.draw(st.integers(0, len(events) - 1))
            good = msgspec.json.decode(events[at])
            bad = spoiled(good, data.draw(st.sampled_from(places(good))), data.draw(JSON))
            events[at] = msgspec.json.encode(bad).decode()
            self.feed(events)

        check()

    def test_any_events_are_read_or_an_error(self) -> None:
        @given(st.lists(JSON.map(lambda value: msgspec.json.encode(value).decode()) | st.text(max_size=40), max_size=5))
        def check(events: list[str]) -> None:
            self.feed(events)

        check()

    def test_any_list_of_models_is_read_or_an_error(self) -> None:
        @given(BODIES)
        def check(body: bytes) -> None:
            with self.only_provider_errors():
                self.wire.listed(reply(body), "")

        check()

    def read(self, body: bytes, status: int) -> None:
        """Read a reply as `Remote` does."""
        with self.only_provider_errors():
            if status == 200:
                answer = self.wire.answer(reply(body), sending(self.wire))
                self.assert_sane(answer)
            else:
                raise self.wire.failure(reply(body, status), Secret(KEY), now=NOW)

    def feed(self, events: list[str]) -> None:
        """Read events as `Remote` does."""
        reader = reader_of(self.wire)
        with self.only_provider_errors():
            deltas = [delta for event in events if not reader.done for delta in reader.feed(ServerEvent(event))]
            answer = reader.answer()
            if answer is not None:
                self.assert_sane(answer)
                assert answer.parts == parts_of(deltas)

    @contextlib.contextmanager
    def only_provider_errors(self) -> Any:
        """Let provider errors pass that have their facts and quote nothing."""
        caught: list[ProviderError] = []
        try:
            yield
        except ProviderError as error:
            caught.append(error)
        for one in caught:
            assert (one.provider, one.model) == (ASKED.provider, ASKED.model)
            assert CANARY not in str(one) + repr(one)
            assert one.__cause__ is None

    def assert_sane(self, answer: Answer) -> None:
        """Check an answer that may have been made up."""
        assert answer.model
        assert answer.usage.input_tokens >= 0
        assert CANARY not in "".join(answer.notices) + answer.provider_request_id
