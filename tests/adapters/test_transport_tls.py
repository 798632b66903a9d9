"""TLS: the certificate must hold, for the name and not for the address, by the authority that the endpoint trusts."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
import trustme

from naiad.adapters.dialling import tls_context
from naiad.adapters.endpoint import Endpoint, parse_url
from naiad.adapters.errors import ConnectionFailed, EgressRefused
from tests.adapters.peer import PATIENCE_S, Talk, peer, response, saying, serving, transport

NAME = "provider.example.com"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return a server's context with a certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    return made


async def ask(url: str, ca: Path | None) -> int:
    """Ask a peer whose name resolves to 127.0.0.1; return the status."""
    async with transport(url, ca=ca, addresses=["127.0.0.1"]) as out:
        return (await out.fetch("GET", "/models", model="m", timeout_s=PATIENCE_S)).status


def test_an_endpoint_without_tls_trusts_nobody(ca: Path) -> None:
    place = parse_url("http://127.0.0.1:1/v1", private=True)
    made = tls_context(Endpoint(name="plain", place=place, private=True))
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
    assert made.cert_store_stats()["x509_ca"] == 0
    assert tls_context(Endpoint(name="plain", place=place, private=True, ca=ca)).cert_store_stats()["x509_ca"] == 1


async def test_the_name_is_checked_although_the_address_is_connected_to(authority: trustme.CA, ca: Path) -> None:
    seen: list[str | None] = []
    tls = context(authority.issue_cert(NAME))
    tls.sni_callback = lambda _socket, name, _context: seen.append(name)
    async with peer(serving(response()), tls=tls) as there:
        assert await ask(there.url("https", NAME), ca) == 200
    assert seen == [NAME]


async def test_an_address_in_place_of_a_name_needs_a_certificate_for_it(authority: trustme.CA, ca: Path) -> None:
    async with peer(serving(response()), tls=context(authority.issue_cert("127.0.0.1"))) as there:
        assert await ask(there.url("https"), ca) == 200
    async with peer(serving(response()), tls=context(authority.issue_cert(NAME))) as there:
        with pytest.raises(EgressRefused, match="certificate"):
            await ask(there.url("https"), ca)


@pytest.mark.parametrize("names", [["other.example.com"], ["127.0.0.1"], ["*.com"], ["example.com"]])
async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, ca: Path, names: list[str]) -> None:
    async with peer(serving(response()), tls=context(authority.issue_cert(*names))) as there:
        with pytest.raises(EgressRefused, match=r"certificate does not hold: .*`ca`") as caught:
            await ask(there.url("https", NAME), ca)
        assert there.requests == []
    assert not caught.value.retryable


async def test_a_certificate_of_another_authority_is_refused(ca: Path) -> None:
    async with peer(serving(response()), tls=context(trustme.CA().issue_cert(NAME))) as there:
        for trusted in (ca, None):
            with pytest.raises(EgressRefused, match="certificate"):
                await ask(there.url("https", NAME), trusted)
        assert there.requests == []


async def test_an_expired_certificate_is_refused(authority: trustme.CA, ca: Path) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    expired = authority.issue_cert(NAME, not_before=past, not_after=past + datetime.timedelta(days=1))
    async with peer(serving(response()), tls=context(expired)) as there:
        with pytest.raises(EgressRefused, match="expired"):
            await ask(there.url("https", NAME), ca)


async def test_plain_text_where_tls_is_expected(ca: Path) -> None:
    async def plain(talk: Talk) -> None:
        await talk.reader.read(10)
        await talk.send(response())

    async with peer(plain) as there:
        with pytest.raises(ConnectionFailed, match="TLS"):
            await ask(there.url("https", NAME), ca)


async def test_an_old_version_of_tls_is_refused(authority: trustme.CA, ca: Path) -> None:
    tls = context(authority.issue_cert(NAME))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    async with peer(serving(response()), tls=tls) as there:
        with pytest.raises(ConnectionFailed):
            await ask(there.url("https", NAME), ca)
        assert there.requests == []


async def test_a_peer_that_hangs_up_in_the_handshake_or_after_it(authority: trustme.CA, ca: Path) -> None:
    async def rude(talk: Talk) -> None:
        await talk.reader.read(10)

    async with peer(rude) as there:
        with pytest.raises(ConnectionFailed):
            await ask(there.url("https", NAME), ca)
    async with peer(saying(), tls=context(authority.issue_cert(NAME))) as there:
        with pytest.raises(ConnectionFailed):
            await ask(there.url("https", NAME), ca)
