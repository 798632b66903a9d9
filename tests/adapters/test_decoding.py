"""Unpacking is exact, however the bytes are cut, and a bomb yields small pieces one at a time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.decoding import Corrupt, Decoder, NotAsked


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": (" X-GZIP ", gzip.compress),
    "gzip in members": (
        "gzip",
        lambda data: gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]),
    ),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
}


def unpack(encoding: str, *pieces: bytes) -> tuple[bytes, bool]:
    decoder = Decoder(encoding)
    return b"".join(part for piece in pieces for part in decoder.feed(piece)), decoder.finished


@pytest.mark.parametrize("how", PACKERS)
@given(
    st.binary(max_size=300) | st.binary(max_size=20).map(lambda b: b * 20_000),
    st.lists(st.integers(0, 400), max_size=4),
)
def test_what_was_packed_is_unpacked(how: str, data: bytes, cuts: list[int]) -> None:
    encoding, pack = PACKERS[how]
    packed = pack(data)
    places = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    pieces = [packed[a:b] for a, b in pairwise(places)]
    assert unpack(encoding, *pieces) == (data, True)


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_what_was_cut_off_is_not_finished(how: str) -> None:
    encoding, pack = PACKERS[how]
    packed = pack(b"hello, hello, hello")
    for size in range(1, len(packed)):
        assert not unpack(encoding, packed[:size])[1], size
    assert unpack(encoding)[1], "an empty body"


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "gzip;q=1", "x" * 10_000]
)
def test_what_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(NotAsked) as caught:
        Decoder(encoding)
    assert len(str(caught.value)) <= 20


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"garbage"),
        ("deflate", b"\xff" * 9),
        ("gzip", gzip.compress(b"a", mtime=0) + b"tail"),
        ("deflate", zlib.compress(b"a") + b"x"),
    ],
)
def test_garbage_is_corrupt(encoding: str, body: bytes) -> None:
    with pytest.raises(Corrupt):
        unpack(encoding, body)


@given(st.binary(max_size=60), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_unpacked_or_corrupt(body: bytes, encoding: str) -> None:
    try:
        unpack(encoding, body)
    except Corrupt:
        return


@pytest.mark.parametrize("how", ["gzip", "deflate", "raw deflate"])
def test_a_bomb_comes_in_small_pieces_when_asked(how: str) -> None:
    encoding, pack = PACKERS[how]
    bomb = pack(b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    pieces = list(islice(Decoder(encoding).feed(bomb), 5))
    assert [len(piece) for piece in pieces] == [65_536] * 5
