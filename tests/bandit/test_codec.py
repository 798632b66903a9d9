"""Snapshots come back whole or not at all."""

from __future__ import annotations

import hashlib
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.bandit.codec import CorruptStatistics, decode, encode
from naiad.bandit.statistics import Observation, Statistics
from tests.bandit.worlds import fold, heads, observations

HEADER = 40  # 7 bytes of magic, 1 of version, 32 of checksum


def sealed(body: bytes) -> bytes:
    """Wrap any body in a header whose checksum is right."""
    return encode(Statistics())[:8] + hashlib.sha256(body).digest() + body


def packed(content: object) -> bytes:
    return sealed(zlib.compress(json.dumps(content).encode()))


@given(st.lists(observations, max_size=25), heads)
def test_round_trip(seen: list[Observation], at: dict[int, int]) -> None:
    statistics = fold(seen, at)
    back = decode(encode(statistics))
    assert back.digest() == statistics.digest()
    assert list(back.items()) == list(statistics.items())
    assert back.heads() == statistics.heads()
    assert [[(s, c.triple()) for s, c in back.totals(g)] for g in back.groups()] == [
        [(s, c.triple()) for s, c in statistics.totals(g)] for g in back.groups()
    ]


@given(st.data(), st.lists(observations, max_size=15), observations, heads)
def test_equal_statistics_give_equal_bytes(
    data: st.DataObject, seen: list[Observation], gone: Observation, at: dict[int, int]
) -> None:
    """The order of arrival, observations taken back and a round trip leave no trace in the bytes."""
    other = fold(data.draw(st.permutations([*seen, gone])))
    other.subtract(gone)
    for model, head in data.draw(st.permutations(sorted(at.items()))):
        other.advance(model, head)
    assert encode(other) == encode(fold(seen, at)) == encode(decode(encode(other)))


@given(st.lists(observations, max_size=15), observations, heads)
def test_a_decoded_snapshot_goes_on_as_the_original(
    seen: list[Observation], later: Observation, at: dict[int, int]
) -> None:
    original = fold(seen, at)
    back = decode(encode(original))
    for statistics in (original, back):
        statistics.advance(later.model, later.ordinal + 1)
        statistics.add(later)
    assert encode(back) == encode(original)


@given(st.lists(observations, max_size=4), heads)
def test_truncation_at_any_length_is_refused(seen: list[Observation], at: dict[int, int]) -> None:
    whole = encode(fold(seen, at))
    for length in range(len(whole)):
        with pytest.raises(CorruptStatistics):
            decode(whole[:length])


@given(st.lists(observations, max_size=4), heads, st.integers(1, 255))
def test_any_changed_byte_is_refused(seen: list[Observation], at: dict[int, int], flip: int) -> None:
    whole = encode(fold(seen, at))
    for i in range(len(whole)):
        changed = bytearray(whole)
        changed[i] ^= flip
        with pytest.raises(CorruptStatistics):
            decode(bytes(changed))


@given(st.binary(min_size=1, max_size=20))
def test_appended_bytes_are_refused(tail: bytes) -> None:
    with pytest.raises(CorruptStatistics):
        decode(encode(Statistics()) + tail)


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for candidate in (data, encode(Statistics())[:7] + data, encode(Statistics())[:8] + data):
        with pytest.raises(CorruptStatistics):
            decode(candidate)


def test_another_version_is_named() -> None:
    whole = bytearray(encode(Statistics()))
    whole[7] = 77
    with pytest.raises(CorruptStatistics, match="format 77; this version reads format 3"):
        decode(bytes(whole))


def test_reasons_tell_the_cases_apart() -> None:
    whole = encode(Statistics())
    for data, reason in (
        (b"", "do not start with"),
        (b"PK\x03\x04 a zip file", "do not start with"),
        (whole[: HEADER - 1], "cut off"),
        (whole[:-1], "checksum"),
    ):
        with pytest.raises(CorruptStatistics, match=reason):
            decode(data)


WRONG_SHAPES = {
    "empty": sealed(b""),
    "not compressed": sealed(b"not compressed"),
    "not text": sealed(zlib.compress(b"\xff\xfe")),
    "not json": sealed(zlib.compress(b"{")),
    "null": packed(None),
    "list": packed([]),
    "no heads": packed({"cells": []}),
    "no cells": packed({"heads": []}),
    "half a head": packed({"heads": [[1]], "cells": []}),
    "named head": packed({"heads": [["a", 1]], "cells": []}),
    "fractional head": packed({"heads": [[0, 2.5]], "cells": []}),
    "unknown measure": packed({"heads": [], "cells": [[0, 0, 99, 0, 0, 0, 1, 1, 1]]}),
    "short cell": packed({"heads": [], "cells": [[0, 0, 0, 0, 0, 0, 1, 1]]}),
    "fractional weight": packed({"heads": [], "cells": [[0, 0, 0, 0, 0, 0, 1.5, 1, 1]]}),
}


@pytest.mark.parametrize("shape", WRONG_SHAPES)
def test_a_well_sealed_body_of_the_wrong_shape_is_refused(shape: str) -> None:
    """`decode` promises CorruptStatistics for anything that `encode` did not write."""
    with pytest.raises(CorruptStatistics):
        decode(WRONG_SHAPES[shape])
