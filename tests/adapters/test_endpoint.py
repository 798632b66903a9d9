"""Which URLs an endpoint may have: plain ones, read in one way; every trick is refused, and says why."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.endpoint import Endpoint, EndpointError, Place, parse_url
from naiad.adapters.secret import Secret

PUBLIC = {
    "https://api.example.com": ("api.example.com", 443, "", "https://api.example.com"),
    "https://api.example.com/": ("api.example.com", 443, "", "https://api.example.com"),
    "https://API.Example.COM:443/v1/": ("api.example.com", 443, "/v1", "https://api.example.com/v1"),
    "https://api.example.com:8443/openai/v1": ("api.example.com", 8443, "/openai/v1", "https://api.example.com:8443/openai/v1"),
    "https://xn--bcher-kva.example": ("xn--bcher-kva.example", 443, "", "https://xn--bcher-kva.example"),
    "https://8.8.8.8": ("8.8.8.8", 443, "", "https://8.8.8.8"),
    "https://[2606:4700:0::1111]": ("2606:4700::1111", 443, "", "https://[2606:4700::1111]"),
    "https://a.example.com/p:x/~a_b-c.d": ("a.example.com", 443, "/p:x/~a_b-c.d", "https://a.example.com/p:x/~a_b-c.d"),
}  # fmt: skip
PRIVATE = [
    "http://127.0.0.1:8000/v1", "http://localhost:11434", "http://[::1]:8080", "https://10.0.0.1", "http://ollama:11434",
    "https://models.corp.internal/v1", "http://192.168.1.5", "http://100.64.1.1", "http://[fd00::1]:80",
]  # fmt: skip
TRICKS = [
    "", " ", "api.example.com", "//api.example.com", "ftp://api.example.com", "file:///etc/passwd", "HTTPS://api.example.com",
    "https:/api.example.com", "https:api.example.com", "https://", "https:///v1", "https://?", "https://#",
    "https://user@api.example.com", "https://user:key@api.example.com", "https://api.example.com@127.0.0.1",
    "https://api.example.com:443@127.0.0.1", "https://api.example.com%40127.0.0.1", "https://api.example.com?x=1",
    "https://api.example.com#x", "https://api.example.com\\@127.0.0.1", "https://api.example.com\\.evil.example",
    "https://api.example.com/\\evil", "https://api.example.com /", " https://api.example.com", "https://api.example.com\n",
    "https://api.example.com\r\nHost: x", "https://api.exa\tmple.com", "https://api.example.com\0", "https://api%2eexample.com",
    "https://api.example.com.", "https://api.example.com..", "https://.api.example.com", "https://api..example.com",
    "https://-api.example.com", "https://api-.example.com", "https://api_x.example.com",
    "https://" + "a" * 64 + ".example.com", "https://" + "a." * 127 + "example.com",
    "https://api.example.com/" + "a" * 2_000,
    "https://api.example.com:", "https://api.example.com:0", "https://api.example.com:00443", "https://api.example.com:65536",
    "https://api.example.com:999999", "https://api.example.com:-1", "https://api.example.com:+443", "https://api.example.com:0x1bb",
    "https://api.example.com:443:443", "https://api.example.com: 443", "https://api.example.com:٤٤٣", "https://api.example.com:443.",
    "https://api.example.com/../x", "https://api.example.com/a/./b", "https://api.example.com//x", "https://api.example.com/%2e%2e",
    "https://api.example.com/a%00b", "https://api.example.com/a;b", "https://api.example.com/a@b",
    "https://127.1", "https://127.0.1", "https://2130706433", "https://0x7f000001", "https://0x7f.0.0.1", "https://0177.0.0.1",
    "https://017700000001", "https://127.0.0.01", "https://127.0.0.0x1", "https://0", "https://0x", "https://1.2.3.4.5",
    "https://256.1.1.1", "https://127.0.0.1.", "https://①②⑦.⓪.⓪.①", "https://１２７.0.0.1", "https://127。0。0。1", "https://ⓛocalhost",
    "https://lоcalhost.example.com", "https://api.example\u00ad.com", "https://api.example\u200b.com", "https://faß.example",
    "https://[::ffff:127.0.0.1]", "https://[::ffff:8.8.8.8]", "https://[::127.0.0.1]", "https://[64:ff9b::7f00:1]",
    "https://[2002:7f00:1::]", "https://[2001::1]", "https://[::]", "https://[fe80::1]", "https://[fe80::1%eth0]",
    "https://[fe80::1%25eth0]", "https://[ff02::1]", "https://[::1", "https://::1]", "https://::1", "https://[127.0.0.1]",
    "https://[api.example.com]", "https://[v1.a]", "https://[]", "https://[::1].example.com", "https://[::1]x",
    "https://0.0.0.0", "https://255.255.255.255", "https://224.0.0.1", "https://169.254.169.254", "https://169.254.170.2",
    "https://100.100.100.200", "https://168.63.129.16", "https://[fd00:ec2::254]", "https://metadata", "https://metadata.google.internal",
    "https://x.metadata.google.internal", "https://METADATA.google.internal", "https://instance-data",
]  # fmt: skip


@pytest.mark.parametrize("url", PUBLIC)
def test_plain_urls_are_taken_and_have_one_form(url: str) -> None:
    host, port, path, again = PUBLIC[url]
    place = parse_url(url, private=False)
    assert place == Place("https", host, port, path)
    assert place.url == again
    assert parse_url(again, private=False) == place


@pytest.mark.parametrize("url", PRIVATE)
def test_private_urls_need_the_mark(url: str) -> None:
    assert parse_url(url, private=True).port
    with pytest.raises(EndpointError, match="private = true"):
        parse_url(url, private=False)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("url", TRICKS)
def test_tricks_are_refused_whatever_the_mark(url: str, private: bool) -> None:
    with pytest.raises(EndpointError) as caught:
        parse_url(url, private=private)
    assert "key@" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://8.8.8.8", "http://8.8.8.8:80", "https://[2606:4700::1]"])
def test_what_is_marked_private_is_not_at_a_public_address(url: str) -> None:
    with pytest.raises(EndpointError, match="take private = true away"):
        parse_url(url, private=True)


PIECES = st.sampled_from([
    "https://", "http://", "a.example.com", "127.0.0.1", "[::1]", "localhost", ":443", ":8080", ":", "@", "/", "//",
    "\\", "?", "#", ".", "%", "%2e", "v1", "a", "0x7f", "1", "[", "]", "xn--", "-", "é", "。", " ", "\n", ";",
])  # fmt: skip


@given(st.lists(PIECES, max_size=9).map("".join), st.booleans())
def test_what_is_taken_other_parsers_read_in_the_same_way(url: str, private: bool) -> None:
    try:
        place = parse_url("https://" + url, private=private)
    except EndpointError:
        return
    for text in ("https://" + url, place.url):
        split, other = urlsplit(text), httpx.URL(text)
        assert split.hostname == place.host or ":" in place.host
        assert other.raw_host.decode().strip("[]") == place.host or ":" in place.host
        assert (split.port or 443) == (other.port or 443) == place.port
        assert not any((split.username, split.query, split.fragment, other.userinfo))
    assert parse_url(place.url, private=private) == place


def test_an_endpoint_cannot_be_made_around_the_rules() -> None:
    for place in (
        Place("https", "127.0.0.1", 443, ""),
        Place("http", "api.example.com", 80, ""),
        Place("https", "A.com", 443, ""),
    ):
        with pytest.raises(EndpointError):
            Endpoint("x", place)


def test_an_endpoint_does_not_show_its_key() -> None:
    made: Any = Endpoint("x", parse_url("https://api.example.com", private=False), key=Secret("sk-canary"))
    assert "canary" not in repr(made)
    assert made.permits("8.8.8.8")
    assert not made.permits("127.0.0.1")
