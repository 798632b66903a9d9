"""One suite for what a failed call counted: what holds for every format, whole and streamed, over real sockets too."""

from __future__ import annotations

from abc import ABC
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.adapters.base import Delta, Spent, Usage
from naiad.adapters.errors import ProviderError, ServerError, Truncated
from naiad.adapters.remote import Remote
from naiad.adapters.streams import parts_of
from naiad.adapters.wire_format import Framing, WireFormat, spent_of
from tests.adapters.formats import fixture
from tests.adapters.peer import PATIENCE_S, peer, response, saying, transport
from tests.adapters.talking import ASKED, QUESTION, events, reply, sending
from tests.conformance.format_suite import BODIES, JSON, places, spoiled

_NO_COUNTS: tuple[Any, ...] = (None, {})


class SpentSuite(ABC):
    """A subclass names a format, and fixtures whose counts are the provider's own."""

    wire: WireFormat
    whole: str
    end: tuple[Any, ...]  # where a whole reply says why it ended
    text: tuple[Any, ...]  # what holds its text
    counts: tuple[Any, ...]  # where it counts
    stream: str
    counts_early: bool  # whether a stream counts before its end

    def good(self) -> tuple[dict[str, Any], Usage]:
        """Return a whole reply, and what it counts."""
        usage = self.wire.answer(reply(fixture(self.whole)), sending(self.wire)).usage
        assert not usage.estimated
        return msgspec.json.decode(fixture(self.whole)), usage

    def read(self, body: Any) -> tuple[ProviderError | None, Spent | None]:
        """Return how reading a whole reply fails, and what it counted."""
        raw = reply(body if isinstance(body, bytes) else msgspec.json.encode(body))
        try:
            self.wire.answer(raw, sending(self.wire))
        except ProviderError as error:
            return error, self.wire.spent(raw, sending(self.wire))
        return None, self.wire.spent(raw, sending(self.wire))

    def fed(self, body: bytes) -> tuple[bool, Spent | None, int]:
        """Return whether a stream is an answer, what it counted so far, and the bytes of its text."""
        reader = self.wire.reader(ASKED, {}, sending(self.wire, stream=True))
        deltas: list[Delta] = []
        for event in events(self.wire.framing, body):
            deltas += reader.feed(event)
            if reader.done:
                break
        spent = spent_of(Usage(1, 1), QUESTION, parts_of(deltas), final=True)
        return reader.answer() is not None, reader.spent(), spent.written_bytes if spent is not None else 0

    # -- whole ---------------------------------------------------------------------------------------------------------

    def test_a_whole_reply_without_its_end_counts_as_it_would_with_it(self) -> None:
        body, usage = self.good()
        error, spent = self.read(spoiled(body, self.end, None))
        assert error is not None
        assert spent is not None
        assert (spent.usage, spent.final) == (usage, True)
        assert spent.written_bytes > 0

    def test_a_whole_reply_of_which_only_the_count_can_be_read(self) -> None:
        body, usage = self.good()
        error, spent = self.read(spoiled(body, self.text, 7))
        assert error is not None
        assert spent is not None
        assert (spent.usage, spent.final, spent.written_bytes) == (usage, True, 0)

    def test_a_reply_that_does_not_count_or_is_none_spent_nothing_that_is_known(self) -> None:
        body, _ = self.good()
        unfinished = spoiled(body, self.end, None)
        for counts in _NO_COUNTS:
            assert self.read(spoiled(unfinished, self.counts, counts))[1] is None
        for noise in (b"", b"{", b"[]", b"null", b"7", b"\xff", b"[" * 5_000):
            assert self.read(noise)[1] is None

    def test_no_reply_makes_it_fail(self) -> None:
        @given(BODIES)
        @settings(max_examples=30)
        def any_body(body: bytes) -> None:
            self.read(body)

        @given(st.data())
        @settings(max_examples=50)
        def spoiled_body(data: st.DataObject) -> None:
            good, _ = self.good()
            self.read(spoiled(good, data.draw(st.sampled_from(places(good))), data.draw(JSON)))

        any_body()
        spoiled_body()

    # -- streamed ------------------------------------------------------------------------------------------------------

    def test_what_a_cut_stream_counts_is_final_only_if_it_is_what_the_whole_one_counts(self) -> None:
        body = fixture(self.stream)
        reader = self.wire.reader(ASKED, {}, sending(self.wire, stream=True))
        for event in events(self.wire.framing, body):
            list(reader.feed(event))
        whole = reader.answer()
        assert whole is not None
        assert reader.spent() == Spent(whole.usage, True, whole.bill, self.fed(body)[2])
        early = 0
        for length in range(len(body)):
            answered, spent, written = self.fed(body[:length])
            if spent is not None:
                assert spent.written_bytes == written
                early += not answered and not spent.final
                assert not spent.final or spent.usage == whole.usage
                assert spent.usage.input_tokens <= whole.usage.input_tokens
                assert spent.usage.output_tokens <= whole.usage.output_tokens
        assert bool(early) == self.counts_early

    # -- over sockets --------------------------------------------------------------------------------------------------

    async def failed(self, raw: bytes, *, stream: bool) -> ProviderError:
        """Return how a call fails whose provider sends these bytes and hangs up."""
        async with peer(saying(raw)) as there, transport(there.url()) as out:
            with pytest.raises(ProviderError) as caught:
                if stream:
                    async for _ in Remote(self.wire, out).stream(QUESTION, timeout_s=PATIENCE_S):
                        pass
                else:
                    await Remote(self.wire, out).complete(QUESTION, timeout_s=PATIENCE_S)
        return caught.value

    async def test_a_failure_carries_it(self) -> None:
        body, usage = self.good()
        unfinished = msgspec.json.encode(spoiled(body, self.end, None))
        error = await self.failed(response(unfinished), stream=False)
        assert error.spent is not None
        assert (error.spent.usage, error.spent.final) == (usage, True)

    async def test_a_whole_reply_in_place_of_a_stream_is_read_as_that(self) -> None:
        if self.wire.framing is Framing.EVENTS:
            body, usage = self.good()
            unfinished = msgspec.json.encode(spoiled(body, self.end, None))
            error = await self.failed(response(unfinished, headers=["content-type: application/json"]), stream=True)
            assert error.spent is not None
            assert (error.spent.usage, error.spent.final) == (usage, True)

    async def test_a_failure_that_counted_nothing_carries_nothing(self) -> None:
        body, _ = self.good()
        counted = msgspec.json.encode(body)
        busy = await self.failed(response(counted, status="500 Failed"), stream=False)
        assert isinstance(busy, ServerError)
        cut = await self.failed(response(counted)[:-4], stream=False)
        assert (busy.spent, cut.spent) == (None, None)

    async def test_a_cut_stream_carries_what_came(self) -> None:
        kind = "text/event-stream" if self.wire.framing is Framing.EVENTS else "application/x-ndjson"
        body = fixture(self.stream)
        for length in range(0, len(body), max(1, len(body) // 7)):
            answered, spent, _ = self.fed(body[:length])
            if not answered:
                error = await self.failed(response(body[:length], headers=[f"content-type: {kind}"]), stream=True)
                assert isinstance(error, Truncated)
                assert error.spent == spent
