"""A secret shows itself to nobody who does not ask for it by name, and leaves no piece in a scrubbed text."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import pickle
import traceback
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.secret import HIDDEN, Secret, scrub

KEY = "sk-canary-0123456789abcdefGHIJ"


@dataclasses.dataclass(frozen=True)
class Holder:
    key: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr, str, format, "{}".format, "{:>40}".format, "%s".__mod__, lambda s: f"{s!r:>50}", lambda s: repr([s]),
        lambda s: repr(Holder(s)), lambda s: repr(dataclasses.asdict(Holder(s))), lambda s: repr(s.prefixed("Bearer ")),
        lambda s: repr(copy.deepcopy(Holder(s))), lambda s: repr(dir(s)),
    ],
)  # fmt: skip
def test_no_way_of_showing_shows_it(show: object) -> None:
    assert callable(show)
    assert KEY not in show(Secret(KEY))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Holder(Secret(KEY)), protocol)


@pytest.mark.parametrize("encode", [json.dumps, msgspec.json.encode, msgspec.msgpack.encode])
def test_it_is_not_encoded(encode: object) -> None:
    assert callable(encode)
    with pytest.raises(TypeError) as caught:
        encode({"key": Secret(KEY)})
    assert KEY not in str(caught.value)


def test_it_is_not_in_a_traceback_that_shows_variables() -> None:
    key = Secret(KEY)
    try:
        raise RuntimeError("something else")
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert repr(key) in shown
    assert KEY not in shown


def test_secrets_compare_by_their_text() -> None:
    assert Secret(KEY) == Secret(KEY)
    assert Secret(KEY) != Secret(KEY + "1")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY)}) == 1
    assert Secret(KEY).reveal() == KEY
    assert Secret(KEY).prefixed("Bearer ").reveal() == f"Bearer {KEY}"


@pytest.mark.parametrize("text", ["", " ", "zq\n", "zq\r\nx: y", "z\0q", " zq", "zq ", "ключ", "z\tq"])
def test_what_no_header_can_carry_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        Secret(text)
    assert not text.strip() or text not in str(caught.value)


# --- scrubbing ---


def forms(key: str) -> list[str]:
    data = key.encode()
    return [
        key, key.upper(), quote(key, safe=""), data.hex(), data.hex().upper(), base64.b64encode(data).decode(),
        base64.b64encode(b"x" + data).decode(), base64.b64encode(b"xy" + data).decode(),
        base64.urlsafe_b64encode(b"Bearer " + data).decode(),
    ]  # fmt: skip


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60)
NOISE = st.text(max_size=30)


@given(KEYS, NOISE, NOISE, st.integers(0, 8))
def test_no_eight_characters_of_a_secret_are_left(key: str, before: str, after: str, which: int) -> None:
    text = before + forms(key)[which] + after
    clean = scrub(text, Secret(key)).lower()
    for form in (key, quote(key, safe=""), key.encode().hex()):
        for start in range(len(form) - 7):
            assert form[start : start + 8].lower() not in clean.replace(HIDDEN, "\0")
    assert HIDDEN in clean


@given(KEYS, st.integers(0, 40), st.integers(8, 60))
def test_a_piece_of_a_secret_is_taken_out_as_well(key: str, start: int, size: int) -> None:
    piece = key[start % (len(key) - 7) :][:size]
    assert piece not in scrub(f"you sent {piece}!", Secret(key)).replace(HIDDEN, "\0")


def test_a_masked_key_loses_its_ends_and_the_rest_of_the_text_stays() -> None:
    text = "Incorrect API key provided: sk-canary-0********IJ. Find it at https://example.org/keys."
    assert (
        scrub(text, Secret(KEY))
        == f"Incorrect API key provided: {HIDDEN}********IJ. Find it at https://example.org/keys."
    )
    assert scrub("nothing of it", Secret(KEY)) == "nothing of it"
    assert scrub("İ" + KEY, Secret(KEY)) == f"?{HIDDEN}", "characters whose length changes in lower case"


def test_a_short_secret_is_taken_out_whole() -> None:
    assert scrub("key EMPTY was sent", Secret("EMPTY")) == f"key {HIDDEN} was sent"
