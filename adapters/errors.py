"""The error tree of the providers: what went wrong, with facts, and what a router should do about it.

Three flags on every error say what to do, so that no caller ever looks into a message:

`retryable`         the same model may be asked again, after `retry_after_s` if the provider gave one
`fallback_worthy`   another model may well succeed with the same request
`blames_provider`   the failure is evidence about the availability of the model as we reach it;
                    where it is False the request, our key or our configuration is at fault

A model that declines to answer (Anthropic `refusal`, Gemini SAFETY, OpenAI content_filter) is an outcome and
not an error: the adapter answers with `FinishReason.REFUSAL` or `CONTENT_FILTER`, which is billed and judged. Where a
provider says so by an error (Azure's 400), the wire format raises `Blocked`, and the adapter makes an answer of it.

Messages never hold a prompt, an answer or a key.
"""

from __future__ import annotations

from enum import StrEnum

from naiad.adapters.base import Spent


class ProviderError(Exception):
    """A call to a provider failed; the class says what to do, the fields say what is known.

    Raised bare only for a failure that no class below describes: not retried, the next model is tried.
    """

    retryable: bool = False
    fallback_worthy: bool = True
    blames_provider: bool = True

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        model: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        provider_request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.provider = provider  # name of the adapter or vendor, e.g. "openai"
        self.model = model  # the upstream name that was asked for
        self.status = status  # HTTP status, None where there was no reply or no HTTP
        self.retry_after_s = retry_after_s  # the provider's own estimate, None if it gave none
        self.provider_request_id = provider_request_id  # "" if the provider named none
        self.spent: Spent | None = None  # what it counted all the same, as far as that was read: see `remote`

    def __repr__(self) -> str:
        facts = {
            "provider": self.provider,
            "model": self.model,
            "status": self.status,
            "retry_after_s": self.retry_after_s,
            "provider_request_id": self.provider_request_id or None,
        }
        known = ", ".join(f"{name}={value!r}" for name, value in facts.items() if value is not None)
        return f"{type(self).__name__}({str(self)!r}, {known})"


class RateLimited(ProviderError):
    """The provider refuses for now; retry the same model after `retry_after_s`, or go to the next at once."""

    retryable = True


class QuotaExhausted(ProviderError):
    """A day's or month's quota or the account's credit is used up: next model, and leave this one for long.

    Never retried: `retry_after_s` is not to be believed here (Gemini says "retry in 22s" when the day's quota
    is gone). `cooldown_s` is the time to leave the model alone.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        model: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        provider_request_id: str = "",
        cooldown_s: float = 3600.0,
    ) -> None:
        super().__init__(
            message,
            provider=provider,
            model=model,
            status=status,
            retry_after_s=retry_after_s,
            provider_request_id=provider_request_id,
        )
        self.cooldown_s = cooldown_s  # until the quota is renewed if known, else an hour


class Overloaded(ProviderError):
    """The provider has no capacity (Anthropic 529, 503): retry with a delay, or next model."""

    retryable = True


class ServerError(ProviderError):
    """The provider failed inside (5xx): retry once with a delay, or next model."""

    retryable = True


class TimeoutKind(StrEnum):
    """Which patience ran out."""

    CONNECT = "connect"  # no connection: nothing was sent
    FIRST_BYTE = "first_byte"  # connected and sent, not one byte came back
    IDLE = "idle"  # a stream fell silent
    TOTAL = "total"  # the caller's `timeout_s`


class Timeout(ProviderError):
    """Patience ran out after `after_s` seconds: next model.

    Only `kind=CONNECT` is retryable on the same model, for there nothing was sent. In the other cases the
    provider may have worked, and may bill, although no answer arrived.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        model: str,
        kind: TimeoutKind,
        after_s: float,
        status: int | None = None,
        provider_request_id: str = "",
    ) -> None:
        super().__init__(
            message, provider=provider, model=model, status=status, provider_request_id=provider_request_id
        )
        self.kind = kind
        self.after_s = after_s
        self.retryable = kind is TimeoutKind.CONNECT


class ConnectionFailed(ProviderError):
    """The provider could not be reached, or the connection broke before any reply: retry, or next model."""

    retryable = True


class EgressRefused(ConnectionFailed):
    """We refuse the connection: the name leads to an address that is not permitted, or the certificate does not hold.

    Next model, never the same again: it is for the operator, of the endpoint or of the name, to put this right.
    """

    retryable = False


class Truncated(ProviderError):
    """A stream ended before its finish reason: a failure, never a short success.

    Next model, or the same once more; the client must be told to discard what it has seen.
    """

    retryable = True


class MalformedAnswer(ProviderError):
    """The reply does not have the shape that the provider documents: next model."""


class InvalidRequest(ProviderError):
    """The provider says that the request is wrong (400, 422): never the same model again.

    Another model may take it (one that knows the parameter), so falling back is allowed.
    """

    blames_provider = False


class ContextTooLong(InvalidRequest):
    """The input does not fit the model's context window: only a model with a larger window."""


class Blocked(InvalidRequest):
    """The provider's content rules stopped the prompt or the answer, and it calls that an error: see `remote`."""


class UnsupportedContent(InvalidRequest):
    """The provider has no place for what the request holds, e.g. an image; nothing was sent. Another may take it."""


class AuthenticationFailed(ProviderError):
    """The key is missing, wrong or lacks the right (401, 403): next model, never retry, tell the operator."""

    blames_provider = False


class ModelNotFound(ProviderError):
    """The provider does not know this model, or no longer: next model, never retry, tell the operator."""

    blames_provider = False


class AdapterClosed(ProviderError):
    """The adapter was closed before the call: the server is shutting down. Neither retry nor fall back."""

    fallback_worthy = False
    blames_provider = False


class UnrecordedPrompt(ProviderError):
    """Replay has no recorded outcome for this prompt and model; retrying never helps.

    `recorded_models` names the models that do have an outcome for the prompt: falling back helps only if
    there are any. The prompt itself is not kept; `prompt_digest` is the start of its SHA-256.
    """

    blames_provider = False

    def __init__(
        self, message: str, *, provider: str, model: str, prompt_digest: str, recorded_models: tuple[str, ...]
    ) -> None:
        super().__init__(message, provider=provider, model=model)
        self.prompt_digest = prompt_digest
        self.recorded_models = recorded_models
        self.fallback_worthy = bool(recorded_models)
