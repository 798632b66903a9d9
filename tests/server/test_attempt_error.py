"""The kinds of an attempt's error are those of the API, and every error of a provider has the one that fits it."""

from __future__ import annotations

import pytest

from naiad.adapters import errors as provider
from naiad.server.attempt_error import BLAMELESS, AttemptError, detail_of, kind_of
from naiad.v1 import decision_pb2


def test_they_are_numbered_as_in_the_api() -> None:
    api = dict(decision_pb2.AttemptErrorKind.items())
    assert {f"ATTEMPT_ERROR_KIND_{kind.name}": int(kind) for kind in AttemptError} == {
        k: v for k, v in api.items() if v
    }


@pytest.mark.parametrize(
    "error", [e for e in vars(provider).values() if isinstance(e, type) and issubclass(e, provider.ProviderError)]
)
def test_every_error_of_a_provider_has_a_kind_of_its_own(error: type[provider.ProviderError]) -> None:
    made = error.__new__(error)
    assert (kind_of(made) is AttemptError.OTHER) == (error in (provider.ProviderError, provider.AdapterClosed))


def test_what_is_said_of_an_error_is_bounded() -> None:
    error = provider.MalformedAnswer("the reply is text/html" + "x" * 2_000, provider="p", model="m")
    assert detail_of(error).startswith("MalformedAnswer: the reply is text/html")
    assert len(detail_of(error)) == 1_000


def test_a_caller_who_leaves_blames_nobody() -> None:
    assert AttemptError.CANCELLED in BLAMELESS
