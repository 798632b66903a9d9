"""Certificates for tests: an authority, a server of this machine, a client; and one of another authority."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Where the PEM files lie."""

    ca: Path
    certificate: Path
    key: Path
    client: Path
    client_key: Path
    stranger: Path  # a client of an authority that nobody trusts
    stranger_key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        """Write them into a folder: ca.pem, server.pem, server.key and so on."""
        folder.mkdir(parents=True, exist_ok=True)
        authority, other = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        found = [folder / "ca.pem"]
        for name, cert in (
            ("server", authority.issue_cert("localhost", "127.0.0.1")),
            ("client", authority.issue_cert("client@example.org")),
            ("stranger", other.issue_cert("stranger@example.org")),
        ):
            found += [folder / f"{name}.pem", folder / f"{name}.key"]
            cert.private_key_pem.write_to_path(found[-1])
            found[-2].write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
        return cls(*found)
