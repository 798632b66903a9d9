"""What ended an attempt: the kinds of error, and what each says about the model and about trying again."""

from __future__ import annotations

from enum import IntEnum

from naiad.adapters import errors as provider


class AttemptError(IntEnum):
    """Why an attempt failed; numbered as AttemptErrorKind in the API."""

    TIMEOUT = 1
    CONNECTION = 2
    RATE_LIMITED = 3
    OVERLOADED = 4
    SERVER = 5
    INVALID_REQUEST = 6
    CONTEXT_OVERFLOW = 7
    AUTHENTICATION = 8
    MODEL_NOT_FOUND = 9
    TRUNCATED = 10
    MALFORMED_ANSWER = 11
    CANCELLED = 12
    OTHER = 13


REJECTIONS = frozenset({
    AttemptError.INVALID_REQUEST, AttemptError.CONTEXT_OVERFLOW, AttemptError.AUTHENTICATION,
    AttemptError.MODEL_NOT_FOUND,
})  # fmt: skip
"""Kinds that the same request would meet again."""

BLAMELESS = frozenset({
    AttemptError.INVALID_REQUEST, AttemptError.CONTEXT_OVERFLOW, AttemptError.AUTHENTICATION, AttemptError.CANCELLED,
})  # fmt: skip
"""Kinds that say nothing about the availability of the model."""

_LONGEST_DETAIL = 1_000  # characters, as in the API

# The most specific class first.
_KINDS: tuple[tuple[type[provider.ProviderError], AttemptError], ...] = (
    (provider.Timeout, AttemptError.TIMEOUT),
    (provider.ConnectionFailed, AttemptError.CONNECTION),
    (provider.RateLimited, AttemptError.RATE_LIMITED),
    (provider.QuotaExhausted, AttemptError.RATE_LIMITED),
    (provider.Overloaded, AttemptError.OVERLOADED),
    (provider.ServerError, AttemptError.SERVER),
    (provider.ContextTooLong, AttemptError.CONTEXT_OVERFLOW),
    (provider.InvalidRequest, AttemptError.INVALID_REQUEST),
    (provider.UnrecordedPrompt, AttemptError.INVALID_REQUEST),  # the replay provider knows recorded prompts only
    (provider.AuthenticationFailed, AttemptError.AUTHENTICATION),
    (provider.ModelNotFound, AttemptError.MODEL_NOT_FOUND),
    (provider.Truncated, AttemptError.TRUNCATED),
    (provider.MalformedAnswer, AttemptError.MALFORMED_ANSWER),
)


def detail_of(error: provider.ProviderError) -> str:
    """Return what happened, for a person: the error's class and its message, which quotes no content and no key."""
    return f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL]


def kind_of(error: provider.ProviderError) -> AttemptError:
    """Return the kind of a provider's error."""
    return next((kind for known, kind in _KINDS if isinstance(error, known)), AttemptError.OTHER)
