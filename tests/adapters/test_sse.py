"""Server-sent events as the standard has them, and the same however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.sse import EventParser, EventTooLong, NotText, ServerEvent, TooVoid

MOST = 1_000_000


def parse(*pieces: bytes, most: int = MOST) -> list[ServerEvent]:
    parser = EventParser(most)
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [ServerEvent("a")]),
        (b"data:a\n\n", [ServerEvent("a")]),
        (b"data:  a\n\n", [ServerEvent(" a")]),
        (b"data: a\r\rdata: b\r\r", [ServerEvent("a"), ServerEvent("b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [ServerEvent("a"), ServerEvent("b")]),
        (b"data: a\r\n\ndata: b\n\r\n", [ServerEvent("a"), ServerEvent("b")]),
        (b"data: a\ndata: b\ndata:\ndata: c\n\n", [ServerEvent("a\nb\n\nc")]),
        (b"data\n\n", [ServerEvent("")]),
        (b"data\ndata\n\n", [ServerEvent("\n")]),
        (b"data:\n\n", [ServerEvent("")]),
        (b"\n\n\ndata: a\n\n\n\n", [ServerEvent("a")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [ServerEvent("a", "x"), ServerEvent("b")]),
        (b"event: x\n\ndata: b\n\n", [ServerEvent("b")]),
        (
            b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
            [ServerEvent("a", id="7"), ServerEvent("b", id="7"), ServerEvent("c")],
        ),
        (b"id: 1\0\ndata: a\n\n", [ServerEvent("a")]),
        (b": comment\n:\ndata: a\n: in between\n\n", [ServerEvent("a")]),
        (b"retry: 10\ndata: a\nunknown: x\nwhatever\n\n", [ServerEvent("a")]),
        (b"Data: a\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [ServerEvent("a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [ServerEvent("a")]),
        (b": \xff\ndata: a\n\n", [ServerEvent("a")]),
        (b"data: \xc3\xa9:x\n\n", [ServerEvent("é:x")]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"data: a\n\ndata: cut off\n", [ServerEvent("a")]),
        (b"", []),
    ],
)
def test_the_standard(stream: bytes, events: list[ServerEvent]) -> None:
    assert parse(stream) == events
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == events


def outcome(*pieces: bytes) -> list[ServerEvent] | None:
    """Return the events of a stream, None where it is no text."""
    try:
        return parse(*pieces)
    except NotText:
        return None


FRAGMENTS = st.sampled_from([
    b"data: a", b"data:", b"data", b"event: x", b"id: 1", b": c", b"\n", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"x",
    b":", b" ", b"\xc3", b"\xa9", b"\0", b"retry: 1",
])  # fmt: skip


@given(st.lists(FRAGMENTS, max_size=25).map(b"".join), st.lists(st.integers(0, 120), max_size=8))
def test_any_cut_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert outcome(*pieces) == outcome(stream)


@pytest.mark.parametrize("stream", [b"data: \xff\n\n", b"data: \xc3\n\xa9\n\n", b"event: \xed\xa0\x80\n"])
def test_what_is_no_utf8_is_refused_however_it_is_cut(stream: bytes) -> None:
    for pieces in ([stream], [stream[i : i + 1] for i in range(len(stream))]):
        with pytest.raises(NotText) as caught:
            parse(*pieces)
        assert caught.value.__context__ is None
    letters = "é日🎉".encode()
    assert parse(*(bytes([byte]) for byte in b"data: " + letters + b"\n\n")) == [ServerEvent("é日🎉")]


LINES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(st.tuples(st.lists(LINES, min_size=1, max_size=3), LINES), max_size=5),
    st.sampled_from(["\n", "\r", "\r\n"]),
)
def test_what_was_written_is_read(events: list[tuple[list[str], str]], end: str) -> None:
    written = "".join(
        "".join(f"data: {line}{end}" for line in data) + f"event: {name}{end}{end}" for data, name in events
    )
    assert parse(written.encode()) == [ServerEvent("\n".join(data), name or "message") for data, name in events]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 100, b"data: xxxxxxxx\n" * 10, b"x" * 101, b"event: y\n" * 20])
def test_an_event_that_grows_too_long_is_stopped_before_it_ends(stream: bytes) -> None:
    with pytest.raises(EventTooLong):
        parse(stream, most=100)
    with pytest.raises(EventTooLong):
        parse(*(stream[i : i + 1] for i in range(len(stream))), most=100)


def test_many_events_and_comments_of_a_lawful_size_pass() -> None:
    assert len(parse(b"data: xxxxxxxxxxxx\n\n" * 100, most=100)) == 100
    assert parse(b": still here\n" * 100 + b"data: a\n\n", most=100) == [ServerEvent("a")]


@pytest.mark.parametrize("void", [b": still here\n", b"\n", b"\r\n", b"id: 1\n\n", b"retry: 1\n"])
def test_lines_that_are_no_part_of_an_event_are_counted(void: bytes) -> None:
    stream = (void + b"data: a\n\n") * 100
    parser = EventParser(10_000, most_void=100)
    assert len(parser.feed(stream)) == 100, "a blank line that ends an event is a part of it"
    with pytest.raises(TooVoid):
        parser.feed(void)
