"""Decision ids say what they were made of, and nothing else reads as one."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.decision_id import LENGTH, Signer, Ticket
from naiad.server.errors import NaiadError

SIGNER = Signer({1: b"a" * 32, 2: b"b" * 32}, 2)
ALPHABET = string.ascii_letters + string.digits + "-_"
TICKET = Ticket(0, 3, 1, 42, 7, 0.25, 1_700_000_000_000, 99)

tickets = st.builds(
    Ticket,
    tenant=st.just(0),
    task_class=st.integers(0, (1 << 32) - 1),
    model=st.integers(0, (1 << 32) - 1),
    ordinal=st.integers(0, (1 << 63) - 1),
    policy=st.integers(0, (1 << 32) - 1),
    propensity=st.floats(0.0, 1.0, exclude_min=True),
    at_ms=st.integers(0, (1 << 63) - 1),
    uid=st.integers(0, (1 << 63) - 1),
    names=st.integers(0, (1 << 32) - 1),
)


def refused(signer: Signer, text: str, tenant: int = 0) -> str:
    """Return the reason for which an id is refused."""
    with pytest.raises(NaiadError) as caught:
        signer.verify(text, tenant)
    assert caught.value.metadata["field"] == "decision_id"
    return caught.value.reason


@given(tickets)
def test_round_trip(ticket: Ticket) -> None:
    text = SIGNER.issue(ticket)
    assert SIGNER.verify(text, 0) == ticket
    assert len(text) == LENGTH < 300
    assert set(text) <= set(ALPHABET)


def test_every_truncation_and_extension_is_refused() -> None:
    text = SIGNER.issue(TICKET)
    assert refused(SIGNER, "") == "FIELD_REQUIRED"
    for length in range(1, len(text)):
        assert refused(SIGNER, text[:length]) == "DECISION_ID_MALFORMED"
        assert refused(SIGNER, text[length:]) == "DECISION_ID_MALFORMED"
    for tail in ("A", "=", "==", " ", "\n"):
        assert refused(SIGNER, text + tail) == "DECISION_ID_MALFORMED"


def test_every_other_character_in_every_place_is_refused() -> None:
    text = SIGNER.issue(TICKET)
    for at, original in enumerate(text):
        for character in ALPHABET + "+/=\u00e9":
            if character != original:
                reason = refused(SIGNER, text[:at] + character + text[at + 1 :])
                assert reason in ("DECISION_ID_MALFORMED", "DECISION_ID_FORGED")


def test_another_key_another_tenant_a_retired_key() -> None:
    text = SIGNER.issue(TICKET)
    assert refused(Signer({2: b"c" * 32}, 2), text) == "DECISION_ID_FORGED"
    assert refused(Signer({3: b"b" * 32}, 3), text) == "DECISION_ID_FORGED", "the key id is part of what is signed"
    assert refused(SIGNER, text, tenant=1) == "DECISION_ID_FOREIGN"
    assert refused(SIGNER, SIGNER.issue(TICKET._replace(tenant=1))) == "DECISION_ID_FOREIGN"
    retired = Signer({1: b"a" * 32}, 1).issue(TICKET)
    assert SIGNER.verify(retired, 0) == TICKET
    assert retired != text


@given(st.text(max_size=120))
def test_no_text_is_an_id_by_chance(text: str) -> None:
    assert refused(SIGNER, text) in ("FIELD_REQUIRED", "DECISION_ID_MALFORMED", "DECISION_ID_FORGED")


def test_repr_holds_no_key() -> None:
    assert "aaa" not in repr(SIGNER)
    assert "bbb" not in repr(SIGNER)
