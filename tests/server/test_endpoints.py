"""Endpoints of the configuration: refused before anything runs when they may not be reached; keys are never shown."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from naiad.adapters.base import Request, user
from naiad.adapters.endpoint import Endpoint
from naiad.adapters.errors import EgressRefused
from naiad.adapters.pricing import price_of
from naiad.adapters.profiles import PROFILES
from naiad.adapters.starters import STARTERS
from naiad.adapters.transport import Transport
from naiad.server import app, providers
from naiad.server.config import Config, parse
from naiad.server.sections import ConfigError
from naiad.v1 import content_pb2, router_service_pb2, router_service_pb2_grpc
from tests.adapters.peer import KEY, peer
from tests.adapters.wired import Wired, provider


@pytest.fixture(autouse=True)
def wired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know a kind that reaches a network."""
    monkeypatch.setitem(providers.NETWORKED, "wired", lambda endpoint: Wired(Transport(endpoint)))
    monkeypatch.setenv("PEER_KEY", KEY + "\n")


def configured(**keys: Any) -> Config:
    """Return a configuration with one endpoint of these keys."""
    section = {"kind": "wired", "base_url": "https://api.example.com/v1", **keys}
    return parse({"endpoints": {"peer": {k: v for k, v in section.items() if v is not None}}}, "my.toml")


def endpoint(**keys: Any) -> Endpoint:
    """Return the one endpoint."""
    return configured(**keys).networks["peer"]


def test_the_keys_become_an_endpoint() -> None:
    found = endpoint(
        api_key_env="PEER_KEY", connections=7, connect_s=1.0, first_byte_s=2.0, idle_s=3.0, response_mib=4,
    )  # fmt: skip
    assert (found.name, found.place.url, found.private, found.connections) == (
        "peer",
        "https://api.example.com/v1",
        False,
        7,
    )
    assert (found.patience.connect_s, found.patience.first_byte_s, found.patience.idle_s) == (1.0, 2.0, 3.0)
    assert (found.caps.response_bytes, found.caps.event_bytes) == (4 << 20, 4 << 20)
    assert found.key is not None
    assert found.key.reveal() == KEY, "the line end around it does not count"
    assert endpoint().key is None


def test_defaults_are_those_of_the_transport() -> None:
    bare = Endpoint("peer", endpoint().place)
    assert endpoint() == bare


def test_a_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f" {KEY}\r\n", encoding="utf-8")
    found = endpoint(api_key_file=str(tmp_path / "key"))
    assert found.key is not None
    assert found.key.reveal() == KEY


def refused(*words: str, **keys: Any) -> ConfigError:
    """Assert that keys are refused with these words, and that no part of a key is shown."""
    with pytest.raises(ConfigError) as caught:
        configured(**keys)
    message = str(caught.value)
    assert message.startswith("my.toml: endpoints.peer")
    for word in words:
        assert word in message, message
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY[:12] not in shown
    return caught.value


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"base_url": None}, ["lacks base_url", "https://HOST/PATH"]),
        ({"base_url": "http://api.example.com"}, ["base_url is refused", "use https", "private = true"]),
        ({"base_url": "http://api.example.com:80@10.0.0.1"}, ["base_url is refused", "api_key_env"]),
        ({"base_url": f"https://x:{KEY}@api.example.com"}, ["base_url is refused", "api_key_env"]),
        ({"base_url": f"https://api.example.com/?key={KEY}"}, ["query"]),
        ({"base_url": "https://10.0.0.1"}, ["10.0.0.1", "private = true"]),
        ({"base_url": "https://169.254.169.254", "private": True}, ["169.254.169.254"]),
        ({"base_url": "https://8.8.8.8", "private": True}, ["take private = true away"]),
        ({"connections": 0}, ["peer.connections is 0", "1 to 10000"]),
        ({"response_mib": 2_000}, ["response_mib is 2000", "1 to 1024"]),
        ({"connect_s": 0.0}, ["connect_s is 0", "0.1 to 86400"]),
        ({"first_byte_s": float("nan")}, ["first_byte_s"]),
        ({"idle_s": float("inf")}, ["idle_s"]),
        ({"api_key_env": "NO_SUCH_KEY"}, ["'NO_SUCH_KEY'", "not set"]),
        ({"api_key_env": "PEER_KEY", "api_key_file": "x"}, ["both", "one of them"]),
        ({"api_key_file": "no/such/file"}, ["no/such/file", "No such file"]),
        ({"api_key_file": "."}, ["cannot be read"]),
        ({"ca": "no/such/file"}, ["peer.ca is 'no/such/file'", "No such file", "PEM"]),
        ({"kind": "echo"}, ["base_url has no meaning for kind 'echo'", "leave it out"]),
        ({"kind": "echo", "base_url": None, "private": True}, ["private has no meaning"]),
        ({"kind": "wirde"}, ["did you mean 'wired'"]),
    ],
)  # fmt: skip
def test_what_may_not_be_is_refused(keys: dict[str, Any], words: list[str]) -> None:
    refused(*words, **keys)


@pytest.mark.parametrize("text", ["", "\n", f"{KEY}\n{KEY}", f"{KEY}\0", f"ключ {KEY}"])
def test_a_key_that_is_none(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(text, encoding="utf-8")
    refused("holds no key", "printable", api_key_file=str(tmp_path / "key"))
    if "\0" not in text:
        monkeypatch.setenv("PEER_KEY", text)
        refused("holds no key", api_key_env="PEER_KEY")
    (tmp_path / "key").write_bytes(b"\xff" + KEY.encode())
    refused("not UTF-8", api_key_file=str(tmp_path / "key"))


def test_authorities(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert endpoint(ca=str(tmp_path / "ca.pem")).ca == tmp_path / "ca.pem"
    (tmp_path / "ca.pem").write_text("nothing", encoding="utf-8")
    refused("holds no certificate", ca=str(tmp_path / "ca.pem"))


def test_the_configuration_does_not_show_the_key() -> None:
    config = configured(api_key_env="PEER_KEY")
    assert KEY[:12] not in repr(config)
    with pytest.raises(TypeError):
        pickle.dumps(config)
    with pytest.raises(TypeError):
        json.dumps(config.networks["peer"].key)


async def test_the_adapter_is_built_and_reaches_what_the_configuration_says() -> None:
    async with peer(provider()) as there:
        config = configured(base_url=there.url(), private=True, api_key_env="PEER_KEY")
        adapter = providers.connect(config.endpoints, config.networks)["peer"]
        answer = await adapter.complete(Request("m", (user("Which city?"),)), timeout_s=10.0)
        await adapter.aclose()
    assert answer.text.startswith("Paris")
    assert f"authorization: Bearer {KEY}".encode().lower() in there.requests[0].lower()


async def test_a_name_that_leads_inside_is_refused_when_it_is_called() -> None:
    config = configured(base_url="https://localtest.example.com")
    adapter = providers.connect(config.endpoints, config.networks)["peer"]
    assert isinstance(adapter, Wired)

    async def inside(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    out = Transport(adapter.out.endpoint, resolve=inside)
    with pytest.raises(EgressRefused):
        await Wired(out).complete(Request("m", (user("Which city?"),)), timeout_s=10.0)
    await out.aclose()


async def test_complete_goes_out_through_the_transport(tmp_path: Path) -> None:
    async with peer(provider()) as there:
        config = parse(
            {
                "server": {"listen": "127.0.0.1:0"}, "storage": {"path": ":memory:"},
                "endpoints": {
                    "peer": {"kind": "wired", "base_url": there.url(), "private": True, "api_key_env": "PEER_KEY"}
                },
                "models": [
                    {"name": "a/a", "endpoint": "peer", "input_usd_per_million": 1.0, "output_usd_per_million": 2.0}
                ],
            },
            "my.toml",
        )  # fmt: skip
        server = await app.Server.start(config)
        try:
            async with grpc.aio.insecure_channel(server.address) as channel:
                router = router_service_pb2_grpc.RouterServiceStub(channel)
                message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Which city?")])
                reply = await router.Complete(
                    router_service_pb2.CompleteRequest(messages=[message], request_id="r-1"), timeout=20.0
                )
        finally:
            assert await server.stop()
    assert "Paris" in str(reply)
    assert KEY not in str(reply)


def test_headers_are_sent_with_every_request_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORG", "org-secret-0123456789")
    found = endpoint(headers={"X-Team": "search"}, headers_env={"x-org": "ORG"})
    assert [(name, value.reveal()) for name, value in found.headers] == [
        ("x-team", "search"), ("x-org", "org-secret-0123456789"),
    ]  # fmt: skip
    assert "org-secret" not in repr(found)


@pytest.mark.parametrize(("keys", "words"), [
    ({"headers": {"Authorization": "Bearer x"}}, "the key goes into api_key_env"),
    ({"headers": {"host": "elsewhere"}}, "not a header that may be set"),
    ({"headers": {"a b": "c"}}, "not a header that may be set"),
    ({"headers": {"x-a": "b\r\nx-c: d"}}, "has a value that no header can carry"),
    ({"headers": {"x-a": "1"}, "headers_env": {"X-A": "PEER_KEY"}}, "is there twice"),
    ({"headers_env": {"x-a": "NOT_SET_ANYWHERE"}}, "the environment variable 'NOT_SET_ANYWHERE' is not set"),
    ({"api_version": "7"}, "this kind has no versions"),
])  # fmt: skip
def test_headers_and_versions_that_cannot_be(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        endpoint(**keys)


# -- keys in the environment -------------------------------------------------------------------------------------------


def test_a_vendors_key_in_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor's endpoint is there, and without [[models]] a few of its models in place of the recorded ones."""
    before = parse({}, "my.toml")
    assert before.networks == {}
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    found = parse({}, "my.toml")
    assert found.networks["openai"].place.url == "https://api.openai.com/v1"
    assert found.networks["openai"].key is not None
    assert {m.endpoint for m in found.models} == {"openai"}
    assert found.usable == list(found.models), "each has a price"
    prices = [m.prices.output for m in found.models if m.prices is not None]
    assert prices == sorted(prices)
    assert KEY not in repr(found)
    own = parse(
        {"models": [{"name": "openai/my-tuned", "input_usd_per_million": 1.0, "output_usd_per_million": 1.0}]}, "t"
    )
    assert [m.name for m in own.usable] == ["openai/my-tuned"], "written models need no [endpoints.openai]"


def test_what_the_file_says_of_an_endpoint_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MINE", "sk-mine-0123456789")
    found = parse({"endpoints": {"openai": {"kind": "openai", "api_key_env": "MINE"}}}, "my.toml").networks["openai"]
    assert found.key is not None
    assert found.key.reveal() == "sk-mine-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", "  ")
    assert parse({}, "my.toml").networks == {}, "an empty one is none"


def test_the_demo_s_server_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ELSE", "here")
    environment = providers.without_keys()
    assert "OPENAI_API_KEY" not in environment
    assert environment["ELSE"] == "here"


@pytest.mark.parametrize("kind", sorted(STARTERS.keys() & PROFILES.keys()))
def test_the_first_models_of_a_vendor_are_in_the_price_list(kind: str) -> None:
    for name in STARTERS[kind].names:
        assert price_of(PROFILES[kind].listed_as, name) is not None, name
