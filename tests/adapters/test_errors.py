"""Every error says what to do, and the promises of the docstrings hold."""

from __future__ import annotations

from typing import Any

import pytest

from naiad.adapters import errors
from naiad.adapters.errors import (
    AdapterClosed,
    AuthenticationFailed,
    Blocked,
    ConnectionFailed,
    ContextTooLong,
    EgressRefused,
    InvalidRequest,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
    Timeout,
    TimeoutKind,
    Truncated,
    UnrecordedPrompt,
    UnsupportedContent,
)

# (retryable, fallback_worthy, blames_provider): what a router does with each.
POLICY: dict[type[ProviderError], tuple[bool, bool, bool]] = {
    ProviderError: (False, True, True),
    RateLimited: (True, True, True),
    QuotaExhausted: (False, True, True),
    Overloaded: (True, True, True),
    ServerError: (True, True, True),
    Timeout: (False, True, True),
    ConnectionFailed: (True, True, True),
    EgressRefused: (False, True, True),
    Truncated: (True, True, True),
    MalformedAnswer: (False, True, True),
    InvalidRequest: (False, True, False),
    ContextTooLong: (False, True, False),
    Blocked: (False, True, False),
    UnsupportedContent: (False, True, False),
    AuthenticationFailed: (False, True, False),
    ModelNotFound: (False, True, False),
    AdapterClosed: (False, False, False),
    UnrecordedPrompt: (False, False, False),
}

EXTRA: dict[type[ProviderError], dict[str, Any]] = {
    Timeout: {"kind": TimeoutKind.TOTAL, "after_s": 1.0},
    UnrecordedPrompt: {"prompt_digest": "ab", "recorded_models": ()},
}


def everything_under(kind: type[ProviderError]) -> set[type[ProviderError]]:
    return {kind}.union(*(everything_under(child) for child in kind.__subclasses__()))


def test_the_policy_is_stated_for_every_error() -> None:
    shipped = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ProviderError)}
    assert shipped == set(POLICY)
    assert shipped == everything_under(ProviderError)


@pytest.mark.parametrize("kind", POLICY, ids=lambda kind: str(kind.__name__))
def test_flags_and_facts(kind: type[ProviderError]) -> None:
    error = kind("what happened", provider="p", model="m", **EXTRA.get(kind, {}))
    assert (error.retryable, error.fallback_worthy, error.blames_provider) == POLICY[kind]
    assert (error.provider, error.model, error.status, error.retry_after_s) == ("p", "m", None, None)
    assert str(error) == "what happened"
    assert repr(error).startswith(f"{kind.__name__}('what happened', provider='p', model='m'")
    assert kind.__doc__


@pytest.mark.parametrize("kind", TimeoutKind)
def test_only_a_connect_timeout_is_retried(kind: TimeoutKind) -> None:
    error = Timeout("late", provider="p", model="m", kind=kind, after_s=2.0)
    assert error.retryable is (kind is TimeoutKind.CONNECT)
    assert Timeout.retryable is False, "the instance's flag does not leak into the class"


def test_quota_is_left_alone_for_long_whatever_the_provider_says() -> None:
    error = QuotaExhausted("day's quota", provider="google", model="m", status=429, retry_after_s=22.0)
    assert error.cooldown_s >= 3600
    assert not error.retryable


def test_an_unrecorded_prompt_falls_back_only_to_a_model_that_has_it() -> None:
    error = UnrecordedPrompt("?", provider="replay", model="m", prompt_digest="ab", recorded_models=("n",))
    assert error.fallback_worthy


def test_facts_are_shown_in_repr() -> None:
    error = RateLimited("slow down", provider="p", model="m", status=429, retry_after_s=2.5)
    assert repr(error) == "RateLimited('slow down', provider='p', model='m', status=429, retry_after_s=2.5)"
