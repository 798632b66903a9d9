"""The address to listen on: what it may be, and whether it is free."""

from __future__ import annotations

import ipaddress
import re
import socket

from naiad.server.sections import ConfigError, ServerSection

_FORM = "give HOST:PORT, for example 127.0.0.1:50051"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class CannotListen(Exception):
    """The address cannot be listened on; the message says why."""


def split_address(server: ServerSection, source: str = "") -> tuple[str, int]:
    """Return host and port of [server] listen; refuses plaintext beyond loopback unless the key says so."""
    host, colon, port = server.listen.rpartition(":")
    refusal = f"{source}: server.listen is {server.listen!r}"
    if not colon or not host:
        raise ConfigError(f"{refusal}, which lacks the {'host' if colon else 'port'}; {_FORM}")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65_535):
        raise ConfigError(f"{refusal}; the port {port!r} must be a number from 0 to 65535, 0 for a free one; {_FORM}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_address(host, 6):
            raise ConfigError(f"{refusal}; between brackets there must be an IPv6 address; {_FORM}")
    elif _is_address(server.listen.strip("[]"), 6) or ":" in host:
        raise ConfigError(f"{refusal}; an IPv6 address must stand in brackets, as [::1]:50051; {_FORM}")
    elif not _HOST.fullmatch(host):
        raise ConfigError(f"{refusal}; the host {host!r} must be an IP address or a name without spaces; {_FORM}")
    if not is_loopback(host) and server.tls is None and not server.allow_plaintext_beyond_loopback:
        raise ConfigError(
            f"{refusal}, which others can reach, in plaintext: prompts, answers and keys could be read on the way; "
            "give a certificate in [server.tls], listen on 127.0.0.1, or accept the danger with "
            "--allow-plaintext-beyond-loopback"
        )
    return host, int(port)


def address_of(host: str, port: int) -> str:
    """Return HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host can be reached from this machine only."""
    if host.lower() == "localhost":
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
