"""llmock's real quotas: a bucket of requests and one of tokens for each key, with the true wait and the headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.live import Caller, Refusal, live
from tests.llmock.mock import Mock, mock
from tests.llmock.play import VENDORS, Vendor

RPM, TPM = 3, 6_000
CALL = {"task_class": "llmock", "max_output_tokens": 100}


@dataclass
class World:
    """llmock with quotas, and a server before it."""

    there: Mock
    api: Caller

    def ask(self, model: str, text: str, **fields: Any) -> Any:
        """Call Complete for a model."""
        said = {"messages": [{"role": 2, "parts": [{"text": text}]}], "allowed_models": [model]}
        return self.api.call("RouterService/Complete", **{**CALL, **said, **fields})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return llmock and a server with a model of each provider for either quota."""
    folder = tmp_path_factory.mktemp("quotas")
    with (
        mock(folder, "--rpm", str(RPM), "--tpm", str(TPM)) as there,
        pytest.MonkeyPatch.context() as patched,
    ):
        for quota in ("requests", "tokens"):
            patched.setenv(f"TEST_{quota.upper()}_KEY", f"a-key-for-{quota}")
        with live(folder / "naiad", config(there.url)) as served:
            yield World(there, served.caller)


def config(url: str) -> str:
    """Return a configuration with a model `PROVIDER/requests` and `PROVIDER/tokens`, each with a key of its own."""
    lines = ["[storage]", 'path = ":memory:"']
    for provider, vendor in VENDORS.items():
        for quota in ("requests", "tokens"):
            lines += [f"[endpoints.{provider}-{quota}]", *_endpoint(provider, vendor, url, quota), "[[models]]"]
            lines += [f'name = "{provider}/{quota}"', f'upstream_model = "{vendor.stem}-{quota}"']
            lines += [f'endpoint = "{provider}-{quota}"', 'capabilities = ["streaming"]', "input_usd_per_million = 1.0"]
            lines += ["output_usd_per_million = 2.0"]
    return "\n".join(lines) + "\n"


def _endpoint(provider: str, vendor: Vendor, url: str, quota: str) -> list[str]:
    values = {
        "kind": provider,
        "base_url": url + vendor.path,
        "private": True,
        "api_key_env": f"TEST_{quota.upper()}_KEY",
    }
    return [f"{key} = {json.dumps(value)}" for key, value in {**values, **vendor.more}.items()]


def served_by(there: Mock, vendor: Vendor, quota: str) -> list[int]:
    """Return the statuses that a model's requests got."""
    return [request.status for request in there.seen() if request.model == f"{vendor.stem}-{quota}"]


@pytest.mark.parametrize("provider", VENDORS)
def test_an_allowance_that_the_headers_call_used_up_is_left_alone(provider: str, world: World) -> None:
    for n in range(RPM):
        assert world.ask(f"{provider}/requests", f"{provider} {n}").finish_reason == 1
    with pytest.raises(Refusal) as refused:
        world.ask(f"{provider}/requests", f"{provider} once more")
    assert refused.value.code == "UNAVAILABLE", str(refused.value)
    assert refused.value.retry_after_s is not None
    assert served_by(world.there, VENDORS[provider], "requests") == [200] * RPM, "llmock had to refuse nothing"


def test_a_call_too_many_waits_for_as_long_as_it_is_told(world: World) -> None:
    """A call takes nearly all of a minute's tokens; the next wants more than what is left, by some seconds' worth."""

    def ask(provider: str) -> list[int]:
        world.ask(f"{provider}/tokens", f"{provider} takes nearly all", max_output_tokens=TPM - 200)
        reply = world.ask(f"{provider}/tokens", f"{provider} takes more than is left", max_output_tokens=500)
        return [attempt.error.http_status for attempt in reply.attempts]

    with ThreadPoolExecutor(len(VENDORS)) as together:
        assert list(together.map(ask, VENDORS)) == [[429, 0]] * len(VENDORS)
    for vendor in VENDORS.values():
        assert served_by(world.there, vendor, "tokens") == [200, 429, 200]


def test_llmock_finds_no_fault(world: World) -> None:
    assert world.there.verdict() == []
