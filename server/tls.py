"""The server's side of TLS: its files are read and checked at the start, so that a wrong one is told by its name.

When they change, new connections get the new ones; connections that are open stay as they are. Files that cannot be
used change nothing: the server goes on with those that it has, and says so once for each change.
"""

from __future__ import annotations

import os
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import structlog

from naiad.server.sections import ConfigError, TlsSection

log = structlog.get_logger(__name__)
Look = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM bytes that belong together; client_ca: whoever calls must show a certificate that it signed."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    client_ca: bytes | None = field(default=None, repr=False)

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Return gRPC's own form."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.client_ca)


class Renewed:
    """The files of [server.tls] as they are whenever somebody connects; loaded: as they were at the start."""

    def __init__(self, section: TlsSection, source: str, loaded: Tls) -> None:
        self._section = section
        self._source = source
        self._loaded = loaded
        self._seen = self._look()
        self._loading = threading.Lock()

    def __repr__(self) -> str:
        return f"Renewed({self._section.certificate!r})"

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a server's port is opened with."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration(),
            self.fetch,  # type: ignore[arg-type]  # its stubs know no None, which its documentation does
            self._loaded.client_ca is not None,
        )

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what has changed, None if nothing has or it cannot be used; gRPC asks in a thread of its own."""
        if not self._loading.acquire(blocking=False):
            return None  # for another connection it is being looked at
        try:
            seen = self._look()
            return None if seen == self._seen else self._load(seen)
        finally:
            self._loading.release()

    def _load(self, seen: Look) -> grpc.ServerCertificateConfiguration | None:
        try:
            loaded = load(self._section, self._source)
        except ConfigError as error:
            self._seen = seen
            log.error("tls_not_renewed", reason=str(error), meaning="the files of before stay in use")
            return None
        if self._look() != seen:  # they are being written: the next connection finds them whole
            return None
        self._seen = seen
        if loaded == self._loaded:
            return None
        self._loaded = loaded
        log.info("tls_renewed", certificate=self._section.certificate)
        return loaded.configuration()

    def _look(self) -> Look:
        """Return what tells that a file is another one or was written; zeros for one that is not there."""
        section, found = self._section, []
        for path in filter(None, (section.certificate, section.key, section.client_ca)):
            try:
                stat = os.stat(path)
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return tuple(found)


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
