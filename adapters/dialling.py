"""From an endpoint to a connection: names are resolved here, and nobody else resolves them again.

Every address that a name leads to is checked; the connector is given addresses and no name; and the function that makes
each socket checks the address that this socket is about to connect to, which also covers URLs with an address in place
of a name. An answer of which one address is not permitted is refused whole.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection

from naiad.adapters.departure import depart
from naiad.adapters.endpoint import Endpoint
from naiad.adapters.resolving import Refused, Resolve, permitted_addresses
from naiad.adapters.reuse import Connector

_KEEP_S = 30.0  # how long an idle connection is kept
_REMEMBER_S = 10  # how long a resolved name is


class PinnedResolver(AbstractResolver):
    """Resolves the endpoint's own name and hands on only what may be connected to."""

    def __init__(self, endpoint: Endpoint, resolve: Resolve) -> None:
        self._endpoint = endpoint
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return addresses; raises Refused if one of them is not permitted, or if another name is asked for."""
        place = self._endpoint.place
        if (host, port) != (place.host, place.port):
            raise Refused("another host than the endpoint's was asked for")
        addresses = await permitted_addresses(self._endpoint, self._resolve)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=0,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in addresses
        ]  # fmt: skip

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for an address, at the last moment before it connects; raises Refused."""
        family, kind, protocol, _, place = info
        if not self._endpoint.permits(place[0]):
            raise Refused(f"{place[0]} is not permitted")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Nothing is held."""


def new_session(endpoint: Endpoint, resolve: Resolve, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    """Return a pool that connects to the endpoint alone; needs a running event loop."""
    caps, resolver = endpoint.caps, PinnedResolver(endpoint, resolve)
    connector = Connector(
        ssl=tls,
        resolver=resolver,
        socket_factory=resolver.socket,
        ttl_dns_cache=_REMEMBER_S,
        limit=endpoint.connections,
        keepalive_timeout=_KEEP_S,
    )
    return aiohttp.ClientSession(
        connector=connector,
        response_class=_Unworded,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_asking()],
        trust_env=False,
        max_line_size=caps.header_bytes,
        max_field_size=caps.header_bytes,
        max_headers=caps.headers,
    )


class _Unworded(aiohttp.ClientResponse):
    """A response without its reason phrase, which says nothing, and which httpx-aiohttp fails on beyond UTF-8."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        self.reason = None
        return self


def _asking() -> aiohttp.TraceConfig:
    """Return what asks, once there is a connection and before a request's head is written, whether it may leave."""

    async def leaving(*_: object) -> None:
        depart()

    asking = aiohttp.TraceConfig()
    asking.on_request_headers_sent.append(leaving)  # called before they are, and raises to the caller
    return asking


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, or only those of the endpoint's file.

    For an endpoint without TLS it trusts nobody, for reading the system's authorities takes 20 ms.
    """
    if endpoint.place.scheme == "http" and endpoint.ca is None:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context(cafile=None if endpoint.ca is None else str(endpoint.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
