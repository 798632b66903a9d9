"""Where a provider is reached: the rules for its URL, and the limits that hold for every exchange with it.

A URL is taken apart by a grammar of our own, narrower than any parser's, and what it yields is put together anew. So
no two parsers can disagree about which host is meant: there is no user info, query, fragment, escape, backslash,
control character, character beyond ASCII, trailing dot, leading zero, or number in place of a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import quote

from naiad.adapters.addresses import kind_of
from naiad.adapters.secret import Secret

MEBIBYTE = 1 << 20
MOST_DELIVERED = 48 * MEBIBYTE
"""Bytes of an answer: our client takes messages of 64 MiB."""

RESERVED_HEADERS = frozenset({
    "host", "connection", "content-length", "transfer-encoding", "accept-encoding", "upgrade", "expect",
})  # fmt: skip
"""Headers that are the transport's own."""

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~:-]+)*)/?"
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_URL = 2_000
_METADATA_NAMES = (
    "metadata", "metadata.goog", "metadata.google.internal", "metadata.azure.internal", "metadata.azure.com",
    "instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com", "metadata.platformequinix.com",
    "metadata.packet.net",
)  # fmt: skip
_LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa", "intranet", "lan", "onion", "invalid", "test")


class EndpointError(ValueError):
    """An endpoint that may not be used; the message says which rule it breaks and what to do, never the URL whole."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that a provider may send in one exchange."""

    response_bytes: int = 16 * MEBIBYTE  # of a body that is read whole, on the wire and unpacked, each
    event_bytes: int = 16 * MEBIBYTE  # of one event of a stream; an image is one
    stream_bytes: int = 256 * MEBIBYTE  # of a stream, which is not kept: a long answer takes 300 bytes for each token
    void_lines: int = 100_000  # of a stream, that are no part of an event: comments and blank ones
    headers: int = 100  # fields
    header_bytes: int = 8_190  # of one field, and of the status line
    all_header_bytes: int = 32_768  # of all fields together

    @property
    def answer_bytes(self) -> int:
        """Return how long an answer may be in UTF-8, streamed or not: it is kept, and delivered in one message."""
        return min(self.response_bytes, MOST_DELIVERED)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the steps of one exchange may take, in seconds; the caller's own `timeout_s` bounds them together."""

    connect_s: float = 5.0  # a free connection, the name, TCP and TLS
    first_byte_s: float = 120.0  # from there to the head of the reply
    idle_s: float = 60.0  # between two pieces of the body


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL says, in one form: `https://HOST[:PORT]/PATH` without a slash at the end."""

    scheme: str
    host: str  # lower case, IPv6 without brackets
    port: int
    path: str  # "" or "/a/b"

    @property
    def origin(self) -> str:
        """Return scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if self.port == usual else f":{self.port}")

    @property
    def url(self) -> str:
        """Return the URL, which `parse_url` takes apart again."""
        return self.origin + self.path


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider's address, key and limits, from the administrator's configuration and nowhere else.

    One that exists has passed `parse_url`. Raises EndpointError otherwise.
    """

    name: str
    place: Place
    private: bool = False  # reached at private addresses, and only there; else at public ones, and only there
    key: Secret | None = None
    api_version: str = ""  # of the provider's API, where it has several; "" takes what its profile says
    headers: tuple[tuple[str, Secret], ...] = ()  # sent with every request, e.g. an organisation; they may hold secrets
    ca: Path | None = None  # PEM file trusted in place of the system's
    connections: int = 100
    patience: Patience = field(default_factory=Patience)
    caps: Caps = field(default_factory=Caps)

    def __post_init__(self) -> None:
        if parse_url(self.place.url, private=self.private) != self.place:
            raise EndpointError("its place is not what parse_url makes of its URL; use parse_url")

    def permits(self, address: str) -> bool:
        """Return whether a connection may go to this IP address."""
        return kind_of(address) == ("private" if self.private else "public")


def segment(text: str) -> str:
    """Return a text as one segment of a path, e.g. a model's name; raises ValueError for one that means a folder."""
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} cannot be a segment of a path; give a name")
    return quote(text, safe=":")


def parse_url(url: str, *, private: bool) -> Place:
    """Take a base URL apart; raises EndpointError with the rule that it breaks.

    private: whether the endpoint is marked so. What the name resolves to is checked when it is resolved.
    """
    if not url.isascii():
        raise EndpointError("it has characters beyond ASCII; write an international name in its form with xn--")
    if "@" in url:
        raise EndpointError("it holds '@'; a key goes into api_key_env or api_key_file, never into a URL")
    if "?" in url or "#" in url:
        raise EndpointError("it has a query or fragment; give the address without them")
    found = _URL.fullmatch(url)
    if found is None or len(url) > _LONGEST_URL:
        raise EndpointError(
            "it is not of the form https://HOST[:PORT][/PATH] with letters, digits, '.', '-', '_', '~' and ':' only; "
            "write it plainly"
        )
    scheme, path = found["scheme"], found["path"]
    if any(segment in (".", "..") for segment in path.split("/")):
        raise EndpointError("its path has the segment '.' or '..'; write the path that is meant")
    port = int(found["port"] or {"https": 443, "http": 80}[scheme])
    if port > 65_535:
        raise EndpointError(f"its port is {port}; give one from 1 to 65535")
    if scheme == "http" and not private:
        raise EndpointError("it is http, over which anybody can read the key; use https, or mark it private = true")
    return Place(scheme, _host(found["host"].lower(), private=private), port, path)


def _host(host: str, *, private: bool) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    address = _literal(bare)
    if address is not None and (host != bare) == (address.version == 6):
        kind = kind_of(str(address))
        if kind is None:
            raise EndpointError(f"{address} is an address that no provider has (metadata, link-local, reserved)")
        if private != (kind == "private"):
            raise EndpointError(
                f"{address} is a {kind} address and the endpoint is {'' if private else 'not '}marked private; "
                f"{'take private = true away' if private else 'add private = true if it is yours'}"
            )
        return str(address)
    if host != bare:
        raise EndpointError(f"{host} is not an IPv6 address")
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(host) > 253:
        raise EndpointError(f"{host!r} is not a host name: labels of letters, digits and '-', without a dot at the end")
    if labels[-1].isdigit() or re.fullmatch(r"0x[0-9a-f]*", labels[-1]):
        raise EndpointError(f"{host!r} ends in a number; write an address as four decimal numbers without zeros before")
    if _below(host, _METADATA_NAMES):
        raise EndpointError(f"{host!r} is a metadata service, which hands out this machine's credentials")
    if not private and (len(labels) == 1 or _below(host, _LOCAL_NAMES)):
        raise EndpointError(f"{host!r} is a name of a private network; add private = true if it is yours")
    return host


def _below(host: str, names: tuple[str, ...]) -> bool:
    return any(host == name or host.endswith("." + name) for name in names)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return address
