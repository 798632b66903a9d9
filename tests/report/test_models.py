"""`naiad models list` and `import`: what a provider says reaches the catalogue, and nothing else does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from naiad.adapters.listing import ListedModel
from naiad.adapters.pricing import price_of
from naiad.client import Client, FailedPrecondition, Model, NotFound, Prices, ProviderModel
from naiad.server import rpc_listing
from naiad.server.cli import main
from naiad.server.report.importing import CannotRead, changes_of, chosen, compare, read_file
from naiad.server.report.models import SOON_DAYS, retirements, retiring
from tests.report.conftest import MODELS, Running, config_in, serving
from tests.report.listing_peer import Provider, provider

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
KNOWN = "mistral-large-latest"  # the price list has it
SOON = (datetime.now(UTC) + timedelta(days=30)).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def there() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture(scope="module")
def connected(there: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the endpoint "mistral", and one of its models in the catalogue."""
    folder = tmp_path_factory.mktemp("connected")
    (folder / "key").write_text("the-secret-key")
    endpoint = {"kind": "mistral", "base_url": there.url, "private": True, "api_key_file": str(folder / "key")}
    contract = {
        "name": "mistral/contract", "upstream_model": "contract", "input_usd_per_million": 1.0,
        "output_usd_per_million": 2.0, "context_window": 1_000,
    }  # fmt: skip
    config = config_in(folder, models=[*MODELS, contract], endpoints={"mistral": endpoint})
    with serving(config) as address, Client(address) as client:
        yield Running(address, client, config)


@pytest.fixture(autouse=True)
def whole(there: Provider) -> None:
    """Answer well, with the same three models."""
    there.status = 200
    there.asked.clear()
    there.models = [
        {"id": "contract", "max_context_length": 2_000, "deprecation": SOON.isoformat(),
         "capabilities": {"completion_chat": True, "function_calling": True}},
        {"id": KNOWN, "max_context_length": 131_072},
        {"id": "unpriced-thing"},
    ]  # fmt: skip


def run(running: Running, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run `naiad models ...` and return what it prints."""
    assert main(["models", arguments[0], "--server", running.address, *arguments[1:]]) == code
    shown = capsys.readouterr()
    return " ".join((shown.out + shown.err).split())


def catalogue(running: Running) -> dict[str, Model]:
    """Return the models by name."""
    return {model.name: model for model in running.client.list_models()}


# -- the RPC -------------------------------------------------------------------------------------------------------


def test_the_server_asks_with_its_own_key_and_sends_nothing_else(connected: Running, there: Provider) -> None:
    listed = {model.name: model for model in connected.client.list_provider_models("mistral")}
    assert there.asked == [("/v1/models", "Bearer the-secret-key")]
    assert listed.keys() == {"contract", KNOWN, "unpriced-thing"}
    assert listed["contract"].context_window == 2_000
    assert listed["contract"].capabilities == ("tools",)
    assert listed["contract"].retire_time == SOON
    facts = price_of("mistral", KNOWN)
    assert facts is not None
    prices = listed[KNOWN].prices
    assert prices is not None
    assert prices.input_nano_usd_per_million_tokens == facts.price.input
    assert listed["unpriced-thing"].prices is None


def test_what_cannot_be_listed_is_refused_with_its_reason(connected: Running, there: Provider) -> None:
    with pytest.raises(NotFound) as unknown:
        connected.client.list_provider_models("mistrall")
    assert unknown.value.metadata["nearest"] == "mistral"
    with pytest.raises(FailedPrecondition, match="its kind, 'echo', has no list of models") as kind:
        connected.client.list_provider_models("echo")
    assert kind.value.reason == "ERROR_REASON_MODELS_NOT_LISTED"
    there.status = 401
    with pytest.raises(FailedPrecondition, match=r"AuthenticationFailed \(HTTP status 401\)") as refused:
        connected.client.list_provider_models("mistral")
    assert (refused.value.metadata["kind"], len(there.asked)) == ("AuthenticationFailed", 1)  # asked once
    assert "secret" not in refused.value.message


def test_a_number_that_no_model_has_is_taken_as_not_said(connected: Running, there: Provider) -> None:
    there.models = [
        {"id": "wide", "max_context_length": 99_999_999_999_999_999_999, "max_completion_tokens": 2**63},
        {"id": KNOWN, "max_context_length": 2**41},
        {"id": "whole", "max_context_length": 2**40, "deprecation": "0001-01-01T00:00:00+14:00"},
        {"id": "late", "deprecation": "9999-12-31T23:59:59-14:00"},
    ]
    wide, known, whole, late = connected.client.list_provider_models("mistral")
    assert (wide.context_window, wide.max_output_tokens) == (None, None)
    facts = price_of("mistral", KNOWN)
    assert facts is not None
    assert known.context_window == facts.context_window
    assert (whole.context_window, whole.retire_time, late.retire_time) == (2**40, None, None)


def test_a_very_long_list_is_cut_and_says_so(
    connected: Running, there: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    there.models = [{"id": f"vendor/model-{number}-2024-05"} for number in range(20_000)]
    found = connected.client.list_provider_models("mistral", timeout_s=60.0)
    assert (len(found), found.left_out, found[-1].name) == (5_000, 15_000, "vendor/model-4999-2024-05")
    shown = run(connected, capsys, "import", "--endpoint", "mistral", "--dry-run")
    assert "lists 15,000 models more than the 5,000" in shown
    assert "0 gone" in shown


async def test_looking_prices_up_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = most = since = 0

    def slow(name: str, upstream_model: str) -> None:
        nonlocal looked_up
        looked_up += 1
        time.sleep(0.0005)

    async def others() -> None:
        nonlocal most, since
        while True:
            await asyncio.sleep(0)
            most, since = max(most, looked_up - since), looked_up

    monkeypatch.setattr(rpc_listing, "listed_prices", slow)
    watching = asyncio.create_task(others())
    response = await rpc_listing.rendered([ListedModel(f"m{number}") for number in range(400)], "mistral")
    watching.cancel()
    most = max(most, looked_up - since)
    assert (len(response.models), response.left_out) == (400, 0)
    assert 1 <= most <= 4, "about two in a millisecond"


# -- import --------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_what_differs_and_changes_nothing(
    connected: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    before = catalogue(connected)
    text = run(connected, capsys, "import", "--endpoint", "mistral", "--add", "*", "--dry-run")
    assert "mistral/contract context window 1,000 2,000" in text
    assert "mistral/contract retire time not known" in text
    assert "2 models new, 1 changed, 0 gone, 0 as the catalogue has them." in text
    assert f"mistral/contract is retired by its provider on {SOON:%Y-%m-%d}" in text
    assert "Nothing was changed: this was a dry run." in text
    assert catalogue(connected) == before


def test_an_import_changes_what_the_catalogue_has_and_creates_what_is_named(
    connected: Running, capsys: pytest.CaptureFixture[str], there: Provider
) -> None:
    text = run(connected, capsys, "import", "--endpoint", "mistral")
    assert "1 model changed or created." in text
    assert "New models are not created by themselves" in text
    after = catalogue(connected)["mistral/contract"]
    assert (after.context_window, after.retire_time, after.capabilities) == (2_000, SOON, ("tools",))
    assert after.prices is not None
    assert after.prices.price_version == "configuration"  # a contract's prices stay
    assert f"mistral/{KNOWN}" not in catalogue(connected)

    text = run(connected, capsys, "import", "--endpoint", "mistral", "--add", "mistral-large-*")
    assert f"{KNOWN} " in text
    assert "to be created" in text
    made = catalogue(connected)[f"mistral/{KNOWN}"]
    facts = price_of("mistral", KNOWN)
    assert facts is not None
    assert made.prices is not None
    assert made.prices.price_version == facts.price_version
    assert (made.upstream_model, made.endpoint_profile, made.context_window) == (KNOWN, "mistral", 131_072)
    assert "mistral/unpriced-thing" not in catalogue(connected)

    assert "1 model new, 0 changed, 0 gone, 2 as the" in run(connected, capsys, "import", "--endpoint", "mistral")
    there.models = there.models[1:]
    decision = connected.client.decide("hi", task_class="gone", allowed_models=["mistral/contract"])
    connected.client.report_outcome(decision, cost_nano_usd=5_000_000_000)
    text = run(connected, capsys, "import", "--endpoint", "mistral")
    assert "! mistral/contract is no longer listed by its provider; $5 was spent on it this month" in text
    assert "mistral/contract" in catalogue(connected)

    text = run(connected, capsys, "list")
    assert "5 was spent since" in text
    assert f"until {SOON:%Y-%m-%d}" in text
    assert f"! mistral/contract is retired by its provider on {SOON:%Y-%m-%d}" in text


def test_a_file_is_read_in_the_place_of_the_provider(
    connected: Running, capsys: pytest.CaptureFixture[str], there: Provider, tmp_path: Path
) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"endpoint": "echo", "models": [{"name": "fresh", "context_window": 77}]}))
    text = run(connected, capsys, "import", str(file), "--add", "fresh", "--provider", "acme")
    assert there.asked == []
    assert "1 model changed or created." in text
    made = catalogue(connected)["acme/fresh"]
    assert (made.upstream_model, made.endpoint_profile, made.context_window, made.prices) == ("fresh", "echo", 77, None)


def test_one_that_is_refused_does_not_keep_the_others(
    connected: Running, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"models": [{"name": "not a name"}, {"name": "good-name"}]}))
    text = run(connected, capsys, "import", str(file), "--endpoint", "echo", "--add", "*", code=1)
    assert "naiad: echo/not a name was not created:" in text
    assert "1 model changed or created. 1 refused." in text
    assert "echo/good-name" in catalogue(connected)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nonsense", "is no list of models"),
        (
            '{"models": [{"name": "b"}, {"name": "a", "context_window": 9223372036854775808}]}',
            r"models\[1\].context_window of 'a' is 9223372036854775808; give at most 1,099,511,627,776",
        ),
        ('{"models": [{"name": "a", "max_output_tokens": 1e30}]}', "max_output_tokens"),
        ('{"models": [{"nme": "a"}]}', "nme"),
        ('{"models": [{"name": ""}]}', "has no name"),
        ('{"models": [{"name": "a", "context_window": 0}]}', "context_window of 'a' is 0"),
        ('{"models": [{"name": "a", "capabilities": ["magic"]}]}', "known are"),
        ('{"models": [{"name": "a", "deprecated_at": "2026-01-01T00:00:00"}]}', "without a time zone"),
        ('{"models": [{"name": "a"}, {"name": "a"}]}', "lists a twice"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "list.json"
    file.write_text(content)
    with pytest.raises(CannotRead, match=says):
        read_file(file)


def test_a_missing_file_and_a_missing_endpoint_are_errors(
    connected: Running, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "cannot be read: No such file" in run(connected, capsys, "import", str(tmp_path / "none"), code=1)
    assert "no endpoint is named" in run(connected, capsys, "import", code=2)


# -- comparing -----------------------------------------------------------------------------------------------------


def test_what_the_list_does_not_say_stays_and_capabilities_only_grow() -> None:
    model = Model(
        "a/m", upstream_model="m", endpoint_profile="a", context_window=5, max_output_tokens=3,
        capabilities=("vision",), retire_time=NOW,
    )  # fmt: skip
    assert list(changes_of(model, ProviderModel("m"))) == []
    (change,) = changes_of(model, ProviderModel("m", context_window=5, capabilities=("tools",)))
    assert (change.field, change.after) == ("capabilities", ("tools", "vision"))


@pytest.mark.parametrize(
    ("version", "differs", "changes"),
    [
        ("genai-prices 0.1", True, True),
        ("genai-prices 0.1", False, False),
        ("contract 7", True, False),
        ("", True, False),
    ],
)
def test_prices_are_renewed_where_they_came_from_the_list(version: str, differs: bool, changes: bool) -> None:
    old = Prices.per_million_tokens(input_usd=1, output_usd=2, price_version=version)
    new = Prices.per_million_tokens(input_usd=3 if differs else 1, output_usd=2, price_version="genai-prices 0.2")
    model = Model("a/m", upstream_model="m", prices=old)
    assert bool(list(changes_of(model, ProviderModel("m", prices=new)))) is changes
    unknown = replace(model, prices=None)
    assert [c.after for c in changes_of(unknown, ProviderModel("m", prices=new))] == [new]


def test_only_models_of_the_endpoint_are_compared_and_each_of_several_entries_is() -> None:
    def entry(name: str, upstream: str, endpoint: str) -> Model:
        return Model(name, upstream_model=upstream, endpoint_profile=endpoint, context_window=1)

    models = [entry("a/1", "m", "a"), entry("a/2", "m", "a"), entry("b/3", "m", "b"), entry("a/4", "old", "a")]
    found = compare([ProviderModel("m", context_window=2), ProviderModel("n")], models, "a")
    assert [model.name for model, _ in found.changed] == ["a/1", "a/2"]
    assert [one.name for one in found.new] == ["n"]
    assert [model.name for model in found.gone] == ["a/4"]


def test_patterns_name_new_models_as_a_shell_would() -> None:
    new = [ProviderModel(name) for name in ("gpt-5", "gpt-5-mini", "o3")]
    names: Any = [one.name for one in chosen(new, ["gpt-5*", "nothing"])]
    assert names == ["gpt-5", "gpt-5-mini"]
    assert chosen(new, []) == ()


# -- retirement ----------------------------------------------------------------------------------------------------


def test_retirement_is_told_ninety_days_ahead_and_afterwards() -> None:
    assert "was retired by its provider on 2026-11-27: disable it" in retiring("a/b", NOW - timedelta(days=1), NOW)
    assert "on 2026-12-08, in 10 days: have another" in retiring("a/b", NOW + timedelta(days=10), NOW)
    assert retiring("a/b", NOW + timedelta(days=SOON_DAYS), NOW)
    assert retiring("a/b", NOW + timedelta(days=SOON_DAYS + 1), NOW) == ""


def test_a_disabled_model_is_not_told_of() -> None:
    soon = NOW + timedelta(days=3)
    models = [Model("a/on", retire_time=soon), Model("a/off", retire_time=soon, disabled=True), Model("a/never")]
    (sentence,) = retirements(models, {"a/on": 2_000_000_000}, NOW)
    assert sentence.startswith("a/on is retired")
    assert sentence.endswith("; $2 was spent on it this month")
