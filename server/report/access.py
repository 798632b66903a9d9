"""How the command line reaches a running server: its address, a key, and what TLS needs."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from naiad.client.settings import DEFAULT_TARGET, Settings, pem_pair, read_pem
from naiad.server.options import KEY_VARIABLE
from naiad.server.sections import ConfigError


@dataclass(frozen=True)
class Access:
    """Address and credentials of a server; its text is the address."""

    server: str
    key: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: tuple[Path, Path] | None = None

    def __str__(self) -> str:
        return self.server

    @property
    def options(self) -> dict[str, Any]:
        """What a client is made with, besides the address."""
        return {"key": self.key, "ca": self.ca, "certificate": self.certificate}


def access_of(options: argparse.Namespace) -> Access:
    """Return what the options and the environment say; raises ConfigError for a key that cannot be read."""
    key = os.environ.get(KEY_VARIABLE, "")
    if options.key_file is not None:
        try:
            key = options.key_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(f"--key-file {str(options.key_file)!r} cannot be read: {why}") from error
        if not key.strip():
            raise ConfigError(f"--key-file {str(options.key_file)!r} is empty; it must hold a key")
    certificate = tuple(options.certificate) if options.certificate else None
    return Access(options.server or DEFAULT_TARGET, key.strip() or None, options.ca, certificate)


def connected(access: Access) -> tuple[grpc.Channel, tuple[tuple[str, str], ...]]:
    """Return a channel for what the client has no method for, and the metadata of its calls; raises ValueError."""
    settings = Settings(
        target=access.server,
        key=access.key,
        ca=None if access.ca is None else read_pem(access.ca, "ca"),
        certificate=None if access.certificate is None else pem_pair(access.certificate),
    )
    credentials = settings.channel_credentials
    if credentials is None:
        return grpc.insecure_channel(access.server, settings.options), settings.metadata
    return grpc.secure_channel(access.server, credentials, settings.options), settings.metadata
