"""Keys as text and as hashes: form, what is kept, what opens, and that a secret is never shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.authorization import Role
from naiad.server.credentials import Key, caller_of, hash_of, id_of, new_id, new_secret
from naiad.server.errors import NaiadError
from naiad.server.throttle import BURST_S, Throttle
from tests.server.reasons import check

PEPPER = b"p" * 32


def test_a_credential_has_a_public_id_and_256_random_bits() -> None:
    seen = {new_secret(new_id()).reveal() for _ in range(200)}
    assert len(seen) == 200
    for text in seen:
        assert re.fullmatch(r"naiad_[a-z2-7]{13}_[A-Za-z0-9_-]{43}", text)
        assert id_of(text) == text.split("_")[1]


@pytest.mark.parametrize(
    "edit", [str.upper, lambda t: t[:-1], lambda t: t + "A", lambda t: t + "\n", lambda t: " " + t]
)
def test_what_is_no_credential_has_no_id(edit: object) -> None:
    assert callable(edit)
    assert id_of(edit(new_secret(new_id()).reveal())) == ""


@given(st.text(max_size=80))
def test_any_text_is_read_without_a_failure(text: str) -> None:
    assert id_of(text) in ("", text[6:19])


def test_every_character_of_a_credential_and_the_servers_secret_count() -> None:
    text = new_secret("a" * 13).reveal()
    hashes = {hash_of(PEPPER, text), hash_of(b"q" * 32, text)}
    for place in range(len(text)):
        other = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
        hashes.add(hash_of(PEPPER, other))
    assert len(hashes) == len(text) + 2
    assert all(len(found) == 32 for found in hashes)


def key(**facts: object) -> Key:
    """Return a key whose hash is of b"now"."""
    values: dict[str, object] = {
        "key_id": "k", "tenant": 0, "role": Role.CLIENT, "secret_hash": b"now".ljust(32), "created_ms": 0,
    }  # fmt: skip
    return Key(**(values | facts))  # type: ignore[arg-type]


NOW, OLD, WRONG = b"now".ljust(32), b"old".ljust(32), b"wrong".ljust(32)


@pytest.mark.parametrize(
    ("facts", "digest", "end"),
    [
        ({}, NOW, None),
        ({}, WRONG, 0),
        ({"expires_ms": 50}, NOW, 50),
        ({"expires_ms": 50, "revoked_ms": 20}, NOW, 20),
        ({"revoked_ms": 70, "expires_ms": 50}, NOW, 50),
        ({"old_hash": OLD, "old_expires_ms": 30}, OLD, 30),
        ({"old_hash": OLD, "old_expires_ms": 30}, NOW, None),
        ({"old_hash": OLD, "old_expires_ms": 30, "revoked_ms": 10}, OLD, 10),
        ({"old_hash": OLD, "old_expires_ms": 30, "expires_ms": 90}, NOW, 90),
        ({"old_hash": None, "old_expires_ms": 30}, OLD, 0),
    ],
)
def test_a_credential_opens_until_it_ends_and_not_a_millisecond_longer(
    facts: dict[str, object], digest: bytes, end: int | None
) -> None:
    kept = key(**facts)
    assert kept.end_of(digest) == end
    for now_ms in (0, 9, 10, 29, 30, 49, 50, 1_000):
        caller = caller_of(kept, digest, now_ms)
        assert (caller is None) == (end is not None and now_ms >= end)
        if caller is not None:
            assert (caller.tenant, caller.role, caller.key_id, caller.until_ms) == (0, Role.CLIENT, "k", end)
    assert caller_of(None, digest, 0) is None


# -- limits ------------------------------------------------------------------------------------------------------------


def refusal(throttle: Throttle, now_s: float) -> float | None:
    """Enter, and return how long to wait if that is refused."""
    caught: NaiadError | None = None
    try:
        throttle.enter(now_s)
    except NaiadError as error:
        caught = error
    if caught is None:
        return None
    check(caught.reason, caught.code, caught.metadata)
    assert caught.retry_after_s is not None
    assert caught.retry_after_s > 0
    return caught.retry_after_s


@given(st.integers(1, 1_000_000), st.lists(st.floats(0.0, 30.0), min_size=1, max_size=300))
def test_a_rate_is_never_exceeded_by_more_than_a_burst_and_waiting_as_told_helps(rate: int, waits: list[float]) -> None:
    throttle, now_s, admitted = Throttle("k", rate, 0), 1_000.0, []
    for wait_s in waits:
        now_s += wait_s
        retry_s = refusal(throttle, now_s)
        if retry_s is None:
            admitted.append(now_s)
            throttle.leave()
        else:
            assert refusal(throttle, now_s + retry_s) is None  # and it is counted
            admitted.append(now_s + retry_s)
            now_s += retry_s
            throttle.leave()
    for first, start_s in enumerate(admitted):
        inside = sum(1 for at_s in admitted[first:] if at_s < start_s + 60.0)
        assert inside <= rate + max(1.0, rate * BURST_S / 60.0) + 1


def test_a_burst_is_ten_seconds_worth() -> None:
    throttle = Throttle("k", 60, 0)
    assert [refusal(throttle, 5.0) for _ in range(10)] == [None] * 10
    assert refusal(throttle, 5.0) == pytest.approx(1.0)
    slow = Throttle("k", 1, 0)
    assert refusal(slow, 5.0) is None
    assert refusal(slow, 5.0) == pytest.approx(60.0)


def test_calls_at_a_time() -> None:
    throttle = Throttle("k", 0, 2)
    assert [refusal(throttle, 0.0), refusal(throttle, 0.0)] == [None, None]
    assert refusal(throttle, 0.0) is not None
    assert throttle.in_flight == 2
    throttle.leave()
    assert refusal(throttle, 0.0) is None
