"""What both clients have in common: their settings, and how their methods get signatures."""

from __future__ import annotations

import inspect
import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc

from naiad.client.calls import Page, Timeouts
from naiad.client.errors import Internal, NaiadError
from naiad.client.recording import Progress
from naiad.client.retry import RetryPolicy
from naiad.client.settings import DEFAULT_TARGET, ChannelOption, Settings, pem_pair, read_pem

F = TypeVar("F", bound=Callable[..., Any])

log = logging.getLogger("naiad.client")


class ClientBase:
    """The settings of a client.

    Args:
        target: HOST:PORT of the server, or another gRPC target.
        key: sent with every call as "authorization: Bearer KEY"; over plaintext on this machine only.
        ca: PEM file of the authority that signed the server's certificate; with it the channel is TLS. None
            takes the system's authorities, and plaintext on this machine.
        certificate: PEM files of the client's own certificate and its private key, where the server asks for
            one (mTLS).
        credentials: of the TLS channel, in the place of ca and certificate.
        insecure_plaintext: do without TLS although the target is another machine: everyone in between can
            read the prompts and the key.
        timeouts: how long calls may take unless they say otherwise.
        retry: how often to try again, and how long to wait for a server that is missing.
        user_agent: put before the client's own.
        channel_options: further options of the gRPC channel.
        raise_report_errors: whether leaving a decision's block raises when its outcome cannot be reported. By
            default the block's result counts more: the error is logged, and kept as decision.report_error.
        clock: seconds that only grow, for deadlines and durations.
        sleep: waits for seconds; a coroutine function for AsyncClient.
        uniform: draws from [0, 1), for the waits between attempts.

    Raises:
        ValueError: the settings contradict each other, or a PEM file cannot be read.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        key: str | None = None,
        ca: str | Path | None = None,
        certificate: tuple[str | Path, str | Path] | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        insecure_plaintext: bool = False,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        user_agent: str = "",
        channel_options: Sequence[ChannelOption] = (),
        raise_report_errors: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] | None = None,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._settings = Settings(
            target=target,
            key=key,
            ca=None if ca is None else read_pem(ca, "ca"),
            certificate=None if certificate is None else pem_pair(certificate),
            credentials=credentials,
            insecure_plaintext=insecure_plaintext,
            timeouts=timeouts or Timeouts(),
            retry=retry or RetryPolicy(),
            user_agent=user_agent,
            channel_options=tuple(channel_options),
            raise_report_errors=raise_report_errors,
            clock=clock,
            uniform=uniform,
        )
        self._sleep: Callable[[float], Any] = sleep or self._default_sleep
        self._methods: dict[str, Any] = {}
        self._closed = False

    _default_sleep: Callable[[float], Any] = staticmethod(time.sleep)

    def __repr__(self) -> str:
        kind = "plaintext" if self._settings.channel_credentials is None else "TLS"
        state = ", closed" if self._closed else ""
        return f"<{type(self).__name__} of {self._settings.target}, {kind}{state}>"

    def _refuse_if_closed(self) -> None:
        """Raise RuntimeError when the client is closed."""
        if self._closed:
            raise RuntimeError(f"{type(self).__name__} is closed; make a new one")

    def _report_failed(self, failure: Exception, progress: Progress, error: BaseException | None) -> None:
        """Deal with a report that failed, so that it never hides what the caller's block raised.

        Raises:
            NaiadError: the failure, when the block itself went well and the client was made to raise.
        """
        if isinstance(failure, NaiadError):
            progress.report_error = failure
        if error is not None:
            error.add_note(f"naiad: the outcome was not reported: {failure!r}")
        elif self._settings.raise_report_errors or not isinstance(failure, NaiadError):
            raise failure
        log_report_failure(failure)


def log_report_failure(failure: BaseException) -> None:
    """Log that an outcome could not be reported."""
    reason = getattr(failure, "reason", "") or type(failure).__name__
    error = type(failure).__name__
    # In the message too: the handler that Python has by default shows nothing else.
    log.warning("outcome_not_reported reason=%s error=%s", reason, error, extra={"reason": reason, "error": error})


def dress(method: F, build: Callable[..., Any], returns: str, *, drop: int = 0) -> F:
    """Give a method the name, documentation and signature of the function that builds its call.

    `returns` says what becomes of `Call[T]`, `Listing[T]`, `Streaming[T]` or `Watch[T]`, with T for the type; `drop`
    leaves out arguments that the method itself supplies.
    """
    signature = inspect.signature(build)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    kept = list(signature.parameters.values())[drop:]
    inner = re.sub(r"^(?:Call|Listing|Streaming|Watch)\[(.*)\]$", r"\1", str(signature.return_annotation))
    annotation = re.sub(r"\bT\b", inner, returns)
    target: Any = method
    target.__signature__ = signature.replace(parameters=[own, *kept], return_annotation=annotation)
    target.__name__ = target.__qualname__ = build.__name__
    target.__doc__ = build.__doc__
    return method


def next_token(page: Page[Any], token: str) -> str:
    """Return the token of the next page; "" after the last.

    Raises:
        Internal: the server gives the same page again, which would never end.
    """
    if page.next_token and page.next_token == token:
        raise Internal("the server answered a page with the token of that same page; the list would never end")
    return page.next_token
