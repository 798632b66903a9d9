"""The server's side of TLS: its files are read and checked at the start, so that a wrong one is told by its name."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from naiad.server.sections import ConfigError, TlsSection


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM bytes that belong together; client_ca: whoever calls must show a certificate that it signed."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    client_ca: bytes | None = field(default=None, repr=False)

    def credentials(self) -> grpc.ServerCredentials:
        """Return gRPC's own form."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], self.client_ca, require_client_auth=self.client_ca is not None
        )


def load(section: TlsSection, source: str) -> Tls:
    """Read and check the files of [server.tls]; raises ConfigError."""
    certificate = _read(section.certificate, "certificate", source)
    key = _read(section.key, "key", source)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key under a password would ask for it on the terminal.
        context.load_cert_chain(section.certificate, section.key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        told = "the key does not belong to the certificate" if "MISMATCH" in str(error) else str(error)
        raise ConfigError(
            f"{source}: server.tls.certificate {section.certificate!r} and server.tls.key {section.key!r} cannot be "
            f"used: {told}; give PEM files that belong together, the key without a password"
        ) from error
    client_ca = None
    if section.client_ca:
        client_ca = _read(section.client_ca, "client_ca", source)
        try:
            context.load_verify_locations(section.client_ca)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"{source}: server.tls.client_ca {section.client_ca!r} cannot be used: {error}; give the PEM file of "
                "the authority that signed the clients' certificates"
            ) from error
    return Tls(certificate, key, client_ca)


def _read(path: str, key: str, source: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"{source}: server.tls.{key} is {path!r}, which cannot be read: {why}; give the path of a PEM file"
        ) from error
