"""Page tokens: every item once, in order; whatever else comes back as a token is refused, never a crash."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.errors import NaiadError
from naiad.server.paging import LARGEST_PAGE, decode, encode, page_size, slice_page

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


def refused(token: str, *scope: object) -> None:
    """Assert that a token is refused as invalid."""
    with pytest.raises(NaiadError) as caught:
        decode(token, *scope)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


@given(st.lists(st.integers(), max_size=50), st.integers(1, 20))
def test_pages_hold_every_item_once(items: list[int], size: int) -> None:
    found: list[int] = []
    token = ""
    while True:
        page, token = slice_page(items, size, token, "list")
        assert len(page) <= size
        found += page
        if not token:
            break
    assert found == items


@given(st.integers(0, (1 << 63) - 1), st.text(max_size=9), st.text(max_size=9))
def test_a_token_reads_only_under_its_own_filter(position: int, mine: str, other: str) -> None:
    token = encode(position, "list", mine)
    assert decode(token, "list", mine) == position
    if other != mine:
        refused(token, "list", other)
    refused(token, "another", mine)


@given(st.text(min_size=1, max_size=300))
def test_no_text_is_a_token_by_chance(token: str) -> None:
    refused(token, "list")


@given(json_values)
def test_no_json_is_a_token_by_chance(value: object) -> None:
    refused(base64.urlsafe_b64encode(json.dumps(value).encode()).decode(), "list")


@pytest.mark.parametrize("position", [-1, 1 << 63, 1.5, "1", None, True, [1]])
def test_positions_that_are_none(position: object) -> None:
    scope = json.loads(base64.urlsafe_b64decode(encode(0, "list")))[1]
    token = base64.urlsafe_b64encode(json.dumps([position, scope]).encode()).decode()
    if position is True:  # a bool is an int; it reads as 1 and harms nobody
        assert decode(token, "list") == 1
    else:
        refused(token, "list")


def test_deep_nesting_is_refused() -> None:
    refused(base64.urlsafe_b64encode(b"[" * 200_000).decode(), "list")


def test_sizes() -> None:
    assert page_size(0) == 100, "as the API documents"
    assert page_size(LARGEST_PAGE) == LARGEST_PAGE
    for wrong in (-1, LARGEST_PAGE + 1):
        with pytest.raises(NaiadError):
            page_size(wrong)
