"""From an endpoint's name to addresses that may be connected to: an answer with one that may not is refused whole."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from naiad.adapters.endpoint import Endpoint

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Turns a name and a port into addresses; raises OSError."""


class Refused(OSError):
    """An address that may not be connected to; the message names it."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system; returns each address once, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


async def permitted_addresses(endpoint: Endpoint, resolve: Resolve) -> Sequence[str]:
    """Return the addresses of an endpoint; raises Refused if one of them is not permitted, OSError if there is none."""
    addresses = await resolve(endpoint.place.host, endpoint.place.port)
    for address in addresses:
        if not endpoint.permits(address):
            raise Refused(f"it resolves to {address[:45]}")
    if not addresses:
        raise OSError("no address")
    return addresses
