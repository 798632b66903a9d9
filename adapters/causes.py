"""What the libraries below the transport raise, in the terms of the error tree.

Their messages hold URLs and pieces of what was received, so nothing is taken over from them but the operating system's
and OpenSSL's own words. httpx's classes do not decide: over aiohttp a server that hangs up counts there as a timeout
of the connection. What decides is what lies below.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from naiad.adapters.endpoint import Endpoint
from naiad.adapters.errors import (
    ConnectionFailed,
    EgressRefused,
    MalformedAnswer,
    ProviderError,
    Timeout,
    TimeoutKind,
    Truncated,
)
from naiad.adapters.exchange import Asked
from naiad.adapters.resolving import Refused

BELOW = (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError)
"""What sending and receiving raise for what a peer or the network does; uvloop has RuntimeError for some."""


def explained(error: BaseException, asked: Asked, endpoint: Endpoint, *, in_body: bool) -> ProviderError:
    """Return the error for what was raised; in_body: the head of the reply had come."""
    chain = _chain(error)
    host = endpoint.place.host
    if refused := _inmost(chain, Refused):
        return asked.error(EgressRefused, f"{host}: {refused}; {_remedy(endpoint)}")
    if certificate := _inmost(chain, ssl.SSLCertVerificationError):
        why = getattr(certificate, "verify_message", "no reason was given")
        return asked.error(EgressRefused, f"{host}: its certificate does not hold: {why}; see `ca` of the endpoint")
    if tls := _inmost(chain, ssl.SSLError):
        why = getattr(tls, "reason", None) or type(tls).__name__
        return asked.error(ConnectionFailed, f"{host}: TLS failed: {why}")
    if _inmost(chain, aiohttp.ConnectionTimeoutError):
        limit_s = endpoint.patience.connect_s
        return Timeout(
            f"no connection to {host} within {limit_s:g} s (connecting, or waiting for one of {endpoint.connections})",
            provider=asked.provider, model=asked.model, kind=TimeoutKind.CONNECT, after_s=limit_s,
        )  # fmt: skip
    if _inmost(chain, aiohttp.SocketTimeoutError):
        kind = TimeoutKind.IDLE if in_body else TimeoutKind.FIRST_BYTE
        limit_s = endpoint.patience.idle_s if in_body else endpoint.patience.first_byte_s
        return Timeout(
            f"nothing came within {limit_s:g} s",
            provider=asked.provider, model=asked.model, kind=kind, after_s=limit_s,
        )  # fmt: skip
    if in_body:
        return asked.error(Truncated, "the connection ended before the reply did")
    if _inmost(chain, HttpProcessingError) or _inmost(chain, aiohttp.ClientResponseError):
        return asked.error(MalformedAnswer, "what came is not an HTTP reply, or has a head that is too large")
    if _inmost(chain, socket.gaierror):
        return asked.error(ConnectionFailed, f"{host}: the name does not resolve")
    system = next((found.strerror for found in chain if isinstance(found, OSError) and found.strerror), "")
    return asked.error(ConnectionFailed, f"{host}: " + (system[:80] or "the connection ended before any reply"))


def _remedy(endpoint: Endpoint) -> str:
    if endpoint.private:
        return "the endpoint is marked private, so it may only be at private addresses"
    return "only public addresses may be connected to; add private = true if the endpoint is yours"


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the outermost first."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    return chain


def _inmost(chain: list[BaseException], kind: type[Any]) -> Any:
    return next((found for found in reversed(chain) if isinstance(found, kind)), None)
