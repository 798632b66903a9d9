"""Where the server is and how to talk to it; checked once, when the client is made."""

from __future__ import annotations

import ipaddress
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import grpc

from naiad.client.calls import Call, Timeouts
from naiad.client.retry import Attempts, RetryPolicy

DEFAULT_TARGET = "127.0.0.1:50051"

ChannelOption = tuple[str, str | int]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a client needs to know. Its repr does not show the key.

    Raises:
        ValueError: the target would be reached without encryption though it is not this machine.
    """

    target: str
    key: str | None = field(default=None, repr=False)
    ca: bytes | None = field(default=None, repr=False)  # PEM
    certificate: tuple[bytes, bytes] | None = field(default=None, repr=False)  # PEM: certificate, private key
    credentials: grpc.ChannelCredentials | None = field(default=None, repr=False)
    insecure_plaintext: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    user_agent: str = ""
    channel_options: Sequence[ChannelOption] = ()
    raise_report_errors: bool = False
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    uniform: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        own = self.ca is not None or self.certificate is not None
        if (self.credentials is not None or own) and self.insecure_plaintext:
            raise ValueError("got credentials, ca or certificate and insecure_plaintext=True; give one of them")
        if self.credentials is not None and own:
            raise ValueError("got credentials and ca or certificate; give one of them")
        if not self.target:
            raise ValueError(f"target is empty; give HOST:PORT, for example {DEFAULT_TARGET}")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise ValueError("key holds characters that a header cannot; was it read with its line end?")

    @property
    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """The credentials of the channel; None is plaintext. Without any, only this machine is plaintext."""
        if self.credentials is not None:
            return self.credentials
        if self.ca is not None or self.certificate is not None:
            certificate, key = self.certificate or (None, None)
            return grpc.ssl_channel_credentials(self.ca, key, certificate)
        plaintext = self.insecure_plaintext or is_loopback(self.target)
        return None if plaintext else grpc.ssl_channel_credentials()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of every call."""
        return (("authorization", f"Bearer {self.key}"),) if self.key else ()

    @property
    def options(self) -> list[ChannelOption]:
        """The options of the channel; the caller's come last, so that they hold."""
        try:
            release = version("naiad-client")
        except PackageNotFoundError:
            release = "0"
        agent = f"{self.user_agent} naiad-client-python/{release}".strip()
        options: list[ChannelOption] = [
            ("grpc.primary_user_agent", agent),
            ("grpc.max_receive_message_length", 64 << 20),  # long lists; the server bounds what it sends
            # How long gRPC pauses before it connects again: less than our attempts do, so that each finds a server
            # that is back. What is called "min" there bounds how long one connecting, with TLS, may take.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.min_reconnect_backoff_ms", 2_000),
        ]
        if is_loopback(self.target):
            options.append(("grpc.enable_http_proxy", 0))
        return [*options, *self.channel_options]

    def begin(self, call: Call[Any]) -> Attempts:
        """Return the attempts of a call that begins now."""
        timeout_s = call.timeout_s(self.timeouts)
        return Attempts(self.retry, deadline_s=self.clock() + timeout_s)


def read_pem(path: str | Path, what: str) -> bytes:
    """Return the content of a PEM file; `what` is for the message.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError(f"{what} {str(path)!r} cannot be read: {error}; give the path of a PEM file") from error


def pem_pair(paths: tuple[str | Path, str | Path]) -> tuple[bytes, bytes]:
    """Return the content of two PEM files, a certificate and its private key.

    Raises:
        ValueError: one cannot be read.
    """
    certificate, key = paths
    return read_pem(certificate, "certificate"), read_pem(key, "the key of the certificate")


def is_loopback(target: str) -> bool:
    """Return whether a gRPC target is certainly this machine: localhost, a loopback address or a Unix socket.

    >>> [is_loopback(t) for t in ("localhost:1", "127.8.8.8:1", "[::1]:1", "unix:/run/naiad", "a.internal:1")]
    [True, True, True, True, False]
    """
    scheme, colon, rest = target.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        return True
    address = rest if scheme in ("dns", "ipv4", "ipv6") else target
    if address.startswith("//"):  # dns://authority/host:port
        address = address[2:].partition("/")[2]
    return all(_is_loopback_address(part) for part in address.split(","))


def _is_loopback_address(address: str) -> bool:
    """Return whether HOST, HOST:PORT or [HOST]:PORT names this machine."""
    if address.startswith("["):
        host = address[1:].partition("]")[0]
    else:
        host = address.rpartition(":")[0] if address.count(":") == 1 else address
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
