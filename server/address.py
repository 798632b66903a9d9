"""The address to listen on: what it may be, and whether it is free."""

from __future__ import annotations

import ipaddress
import socket

from naiad.server.sections import ConfigError, ServerSection


class CannotListen(Exception):
    """The address cannot be listened on; the message says why."""


def split_address(server: ServerSection, source: str = "") -> tuple[str, int]:
    """Return host and port of [server] listen; refuses plaintext beyond loopback unless the key says so."""
    host, colon, port = server.listen.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or int(port) > 65_535 or not host:
        raise ConfigError(f"{source}: server.listen is {server.listen!r}; give HOST:PORT, for example 127.0.0.1:50051")
    if not _is_loopback(host) and not server.allow_plaintext_beyond_loopback:
        raise ConfigError(
            f"{source}: server.listen is {server.listen!r}, which others can reach, and this version speaks plaintext: "
            "prompts and answers could be read on the way; listen on 127.0.0.1, or accept the danger with "
            "--allow-plaintext-beyond-loopback"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_free(host: str, port: int) -> None:
    """Raise CannotListen if an address cannot be listened on: asked of the system, because gRPC has its own words."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise CannotListen(error.strerror or str(error)) from error
