"""What a listed model may be, and who counts as a lister."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from naiad.adapters.echo import Echo
from naiad.adapters.listing import CAPABILITIES, ListedModel, ModelLister
from naiad.server.config import CAPABILITIES as CONFIGURED

GOOD = ListedModel("gpt-5-mini", 400_000, 128_000, datetime(2026, 12, 11, tzinfo=UTC), frozenset({"vision", "tools"}))


class Lister:
    """Lists one model."""

    async def list_models(self, timeout_s: float) -> tuple[ListedModel, ...]:
        """Return the model."""
        return (GOOD,)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": ""}, "has no name"),
        ({"context_window": 0}, "context_window of 'gpt-5-mini' is 0"),
        ({"max_output_tokens": -1}, "max_output_tokens of 'gpt-5-mini' is -1"),
        ({"deprecated_at": datetime(2026, 12, 11)}, "without a time zone"),
        ({"capabilities": frozenset({"telepathy"})}, r"\['telepathy'\]; known are"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(GOOD, **wrong)


def test_what_is_not_said_stays_unset() -> None:
    bare = ListedModel("m")
    assert (bare.context_window, bare.max_output_tokens, bare.deprecated_at) == (None, None, None)
    assert bare.capabilities == frozenset()


def test_the_words_are_those_of_the_configuration() -> None:
    assert frozenset(CONFIGURED) == CAPABILITIES


def test_a_lister_is_told_by_what_it_can_do() -> None:
    assert isinstance(Lister(), ModelLister)
    assert not isinstance(Echo(), ModelLister)
