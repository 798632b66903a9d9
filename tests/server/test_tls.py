"""The server's TLS files change while it serves: new connections get the new ones, broken ones change nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from naiad.server.app import Server
from naiad.server.authorization import Role
from naiad.server.config import parse
from naiad.server.sections import TlsSection
from naiad.server.tls import Renewed, load
from tests.certificates import Certificates
from tests.keys import Wanted, made_keys
from tests.server.test_completion import DATA


@pytest.fixture
def several(tmp_path: Path) -> dict[str, Certificates]:
    """The files in use, and those of two more authorities."""
    return {name: Certificates.make(tmp_path / name) for name in ("used", "second", "third")}


def put(source: Certificates, target: Certificates, *names: str) -> None:
    """Rename copies into the place of some files, as one renews them."""
    for name in names or ("key", "certificate", "ca"):
        place: Path = getattr(target, name)
        shutil.copy(getattr(source, name), place.with_suffix(".new"))
        place.with_suffix(".new").rename(place)


def section_of(files: Certificates, *, client_ca: bool = False) -> TlsSection:
    client = str(files.ca) if client_ca else ""
    return TlsSection(certificate=str(files.certificate), key=str(files.key), client_ca=client)


def renewed(files: Certificates) -> Renewed:
    section = section_of(files, client_ca=True)
    return Renewed(section, "test", load(section, "test"))


def test_nothing_is_handed_over_while_nothing_changes(several: dict[str, Certificates]) -> None:
    watched = renewed(several["used"])
    with capture_logs() as logs:
        assert watched.fetch() is None
        several["used"].key.touch()  # as a deployment does that changes nothing
        assert watched.fetch() is None
    assert logs == []


@pytest.mark.parametrize("broken", ["certificate", "key", "ca", "gone", "empty", "cut"])
def test_what_cannot_be_used_changes_nothing_and_is_told_once(several: dict[str, Certificates], broken: str) -> None:
    files, second = several["used"], several["second"]
    watched = renewed(files)
    if broken == "gone":
        files.certificate.unlink()
    elif broken == "empty":
        files.key.write_bytes(b"")
    elif broken == "cut":
        files.certificate.write_bytes(second.certificate.read_bytes()[:300])
    elif broken == "ca":
        files.ca.write_bytes(b"no authority")
    else:
        put(second, files, broken)  # one half of a pair
    with capture_logs() as logs:
        for _ in range(3):
            assert watched.fetch() is None
    ((line),) = logs
    assert (line["event"], line["log_level"]) == ("tls_not_renewed", "error")
    assert "server.tls" in line["reason"]
    put(second, files)
    with capture_logs() as logs:
        assert watched.fetch() is not None
        assert watched.fetch() is None
    assert [line["event"] for line in logs] == ["tls_renewed"]
    assert "PRIVATE" not in f"{logs}{watched!r}"


@asynccontextmanager
async def serving(files: Certificates, folder: Path, *, client_ca: bool) -> AsyncIterator[tuple[int, str]]:
    """Serve with these files; yield the port and a key."""
    database = folder / "naiad.db"
    key = (await made_keys(database, {"admin": Wanted(Role.ADMIN)}))["admin"]
    tls = {"certificate": str(files.certificate), "key": str(files.key)}
    if client_ca:
        tls["client_ca"] = str(files.ca)
    data: dict[str, Any] = DATA | {"server": DATA["server"] | {"tls": tls}, "storage": {"path": str(database)}}
    server = await Server.start(parse(data, "test"))
    try:
        yield int(server.address.rpartition(":")[2]), key
    finally:
        await server.stop()


def shown(port: int, trusted: Path) -> str:
    """Return the serial number of the certificate that a new connection is shown; raises SSLError."""
    context = ssl.create_default_context(cafile=str(trusted))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20.0) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secret,
    ):
        found: Any = secret.getpeercert()
        return str(found["serialNumber"])


async def healthy(channel: grpc.aio.Channel) -> bool:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20.0)
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


async def test_a_server_takes_over_new_files_and_open_connections_go_on(
    several: dict[str, Certificates], tmp_path: Path
) -> None:
    files, second, third = several["used"], several["second"], several["third"]
    first_ca = tmp_path / "first.pem"
    shutil.copy(files.ca, first_ca)
    async with serving(files, tmp_path, client_ca=False) as (port, _):
        trust = grpc.ssl_channel_credentials(first_ca.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{port}", trust) as channel:
            assert await healthy(channel)
            before = await asyncio.to_thread(shown, port, first_ca)
            put(second, files)
            after = await asyncio.to_thread(shown, port, second.ca)
            assert before != after
            with pytest.raises(ssl.SSLError):
                await asyncio.to_thread(shown, port, first_ca)
            assert await healthy(channel), "an open connection stays"
            put(third, files, "certificate")  # without its key
            assert await asyncio.to_thread(shown, port, second.ca) == after


async def test_the_authority_of_clients_is_renewed_too(several: dict[str, Certificates], tmp_path: Path) -> None:
    files, second = several["used"], several["second"]
    first = Certificates.make(tmp_path / "kept")
    put(first, files)
    async with serving(files, tmp_path, client_ca=True) as (port, _):

        async def enters(own: Certificates, trusted: Certificates) -> bool:
            trust = grpc.ssl_channel_credentials(
                trusted.ca.read_bytes(), own.client_key.read_bytes(), own.client.read_bytes()
            )
            async with grpc.aio.secure_channel(f"localhost:{port}", trust) as channel:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    return await healthy(channel)
            return False

        assert await enters(first, first)
        assert not await enters(second, first)
        put(second, files)
        assert await enters(second, second)
        assert not await enters(first, second)
