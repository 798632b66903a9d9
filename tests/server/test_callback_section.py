"""Callbacks of the configuration: where one may be, what it may be told, and what each refusal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.callback import CallbackFailed, Failure
from naiad.server.callback_channel import _verdict
from naiad.server.config import Config, parse
from naiad.server.sections import ConfigError
from naiad.v1.check_service_pb2 import CheckAnswerResponse
from tests.certificates import Certificates

LOCAL: dict[str, Any] = {"address": "127.0.0.1:50061", "tls": False, "private": True}


def loaded(callback: dict[str, Any] | None = None, name: str = "taste", **check: Any) -> Config:
    """Return a configuration with a cascade, and this callback, one on loopback if nothing is said."""
    models: list[dict[str, Any]] = [
        {"name": f"echo/{size}", "input_usd_per_million": 1.0, "output_usd_per_million": 1.0} for size in ("s", "l")
    ]
    check = {"callback": check.pop("named", "taste")} | check
    made = {"members": ["echo/s", "echo/l"], "check": check}
    callbacks = {name: LOCAL if callback is None else callback}
    return parse({"models": [*models, {"name": "team/c", "cascade": made}], "callbacks": callbacks}, "t.toml")


def refusal(callback: dict[str, Any] | None = None, name: str = "taste", **check: Any) -> str:
    """Return what is said to a configuration that cannot be."""
    with pytest.raises(ConfigError) as caught:
        loaded(callback, name, **check)
    return str(caught.value)


def test_what_is_left_out_is_cautious() -> None:
    callback = loaded({"address": "checks.example.com:8443"}).callbacks["taste"]
    assert callback.endpoint.place.scheme == "https"
    assert not callback.endpoint.private
    assert not callback.send_task
    assert callback.endpoint.key is None
    assert not loaded().models[-1].composite.check.accept_unchecked  # type: ignore[union-attr]
    assert loaded(on_error="accept").models[-1].composite.check.accept_unchecked  # type: ignore[union-attr]


@pytest.mark.parametrize("address", ["[::1]:50061", "localhost:50061", "127.9.9.9:1"])
def test_plaintext_is_for_loopback(address: str) -> None:
    assert loaded(LOCAL | {"address": address}).callbacks["taste"].plaintext


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"address": "10.0.0.7:50061"}, "callbacks.taste.tls is false and '10.0.0.7:50061' is not on this machine"),
        ({"address": "checks.internal:50061"}, "is not on this machine"),
        ({"address": "localhost.example.com:50061"}, "is not on this machine"),
        ({"private": False}, "a private address; add private = true"),
        ({"ca": "ca.pem"}, "has a ca and tls = false"),
        ({"address": "127.0.0.1"}, "give HOST:PORT"),
        ({"address": "https://checks.example.com:1"}, "give HOST:PORT"),
        ({"address": "checks.example.com:1/path"}, "give HOST:PORT"),
        ({"address": "user@checks.example.com:1"}, "give HOST:PORT"),
        ({"address": "unix:/run/it:1"}, "give HOST:PORT"),
        ({"address": "checks.example.com:01"}, "give HOST:PORT"),
        ({"address": "checks.example.com:65536", "tls": True, "private": False}, "port is 65536"),
        ({"address": "169.254.169.254:80", "tls": True}, "an address that no provider has"),
        ({"address": "metadata.google.internal:80", "tls": True}, "is a metadata service"),
        ({"address": "0x7f000001:80", "tls": True}, "ends in a number"),
        ({"address": "10.0.0.7:80", "tls": True, "private": False}, "add private = true if it is yours"),
        ({"address": "8.8.8.8:80", "tls": True}, "take private = true away"),
        ({"tls": True, "ca": "absent.pem"}, "callbacks.taste.ca is 'absent.pem'"),
        ({"token_env": "NO_SUCH_TOKEN"}, "the environment variable 'NO_SUCH_TOKEN' is not set"),
        ({"timeout_s": 0.0}, "callbacks.taste.timeout_s is 0; it must be from 0.05 to 600"),
        ({"concurrent_calls": 0}, "callbacks.taste.concurrent_calls is 0"),
        ({"send_prompt": True}, "unknown key 'callbacks.taste.send_prompt'"),
        ({"send_task": "yes"}, "it must be true or false"),
    ],
)
def test_what_cannot_be_is_refused_with_its_rule(change: dict[str, Any], said: str) -> None:
    assert said in refusal(LOCAL | change)


def test_names_are_plain_and_known() -> None:
    assert "names the callback 'taste', which is not in [callbacks]; did you mean 'tastes'?" in refusal(LOCAL, "tastes")
    assert "add [callbacks.taste]" in refusal(LOCAL, "else")
    assert "a name has letters" in refusal(LOCAL, "a/b")
    assert "exactly one of json_schema, pattern, judge and callback" in refusal(pattern="x")
    assert "check.on_error is 'reject'" in refusal(on_error="reject")
    assert "check.on_error is 'accept' with pattern; on_error goes with a callback" in refusal(
        named="", pattern="x", on_error="accept"
    )


def test_a_token_is_one_line_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTE_TOKEN", "sk-canary\nb")
    said = refusal(LOCAL | {"token_env": "TASTE_TOKEN"})
    assert "holds no token" in said
    assert "canary" not in said
    monkeypatch.setenv("TASTE_TOKEN", "sk-canary")
    assert "canary" not in repr(loaded(LOCAL | {"token_env": "TASTE_TOKEN"}))


def test_zones_of_callbacks_are_zones(tmp_path: Path) -> None:
    ca = str(Certificates.make(tmp_path).ca)
    callback = {"address": "10.0.0.7:8443", "private": True, "ca": ca, "data_zone": "eu, inside"}
    data = {"callbacks": {"x": callback}, "data_classes": [{"name": "secret", "allow": ["inside"]}]}
    config = parse(data, "t.toml")
    assert set(config.policy.data_zones) >= {"eu", "inside"}
    data["callbacks"]["x"]["data_zone"] = "any"  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"callbacks\.x\.data_zone has 'any'"):
        parse(data, "t.toml")


@given(st.binary(max_size=64) | st.builds(lambda s, r: CheckAnswerResponse(accepted=True, score=s, reason=r)
                                          .SerializeToString(), st.floats(), st.text(max_size=700)))  # fmt: skip
def test_whatever_is_received_is_a_verdict_within_its_bounds_or_an_invalid_reply(data: bytes) -> None:
    try:
        verdict = _verdict(data)
    except CallbackFailed as failed:
        assert failed.failure is Failure.INVALID_REPLY  # noqa: PT017 - or none at all
    else:
        assert 0.0 <= verdict.score <= 1.0
        assert len(verdict.reason) <= 500
        assert verdict.reason.isprintable()
