"""The configuration: what is wrong is refused with the file, the key, the rule and the remedy."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.replay_records import ReplayDataMissing
from naiad.server import config, providers
from naiad.server.address import split_address
from naiad.server.bounds import plain
from naiad.server.config import Config, load, parse
from naiad.server.objective_section import objective
from naiad.server.records import ObjectiveSpec
from naiad.server.sections import ConfigError, ObjectiveSection

WHOLE: dict[str, Any] = {
    "server": {"listen": "127.0.0.1:0"},
    "storage": {"path": ":memory:"},
    "policy": {"strategy": "balanced", "models": ["echo/a"], "usd_per_quality": 1.0},
    "learning": {"half_life_decisions": 1000, "drift": {"sensitivity": 2.0}},
    "models": [{
        "name": "echo/a", "endpoint": "mine", "input_usd_per_million": 1.0, "output_usd_per_million": 2.0,
        "capabilities": ["tools"], "labels": {"any": "thing"},
    }],
    "task_classes": [{"name": "code.debug", "objective": {"strategy": "quality_first"}}],
    "endpoints": {"mine": {"kind": "echo"}},
}  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return WHOLE with the value at a path of keys and positions; a missing last key is added."""
    data = copy.deepcopy(WHOLE)
    *way, last = path.split(".")
    at: Any = data
    for step in way:
        at = at[int(step) if isinstance(at, list) else step]
    at[int(last) if isinstance(at, list) else last] = value
    return data


def refused(data: dict[str, Any], *words: str) -> str:
    """Assert that a configuration is refused with these words and the name of its source."""
    with pytest.raises(ConfigError) as caught:
        parse(data, "my.toml")
    message = str(caught.value)
    assert message.startswith("my.toml")
    for word in words:
        assert word in message, message
    return message


def test_the_whole_is_accepted() -> None:
    found = parse(WHOLE, "my.toml")
    assert [m.name for m in found.models] == ["echo/a"]
    prices = found.models[0].prices
    assert prices is not None
    assert (prices.input, prices.output) == (1_000_000_000, 2_000_000_000)
    assert found.database is None
    assert found.policy.models == ("echo/a",)
    assert found.endpoints["mine"] == "echo"
    assert found.task_classes[0].objective is not None


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("serve", "server"),
        ("server.listne", "listen"),
        ("server.concurent_calls", "concurrent_calls"),
        ("storage.paht", "path"),
        ("policy.strategie", "strategy"),
        ("policy.usd_per_qualty", "usd_per_quality"),
        ("learning.half_life_decision", "half_life_decisions"),
        ("models.0.input_usd_per_milion", "input_usd_per_million"),
        ("models.0.capabilites", "capabilities"),
        ("task_classes.0.descripton", "description"),
        ("task_classes.0.objective.confidance", "confidence"),
        ("endpoints.mine.knd", "kind"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(path: str, near: str) -> None:
    message = refused(changed(path, 1), "unknown key", f"did you mean {near!r}?")
    assert path.rpartition(".")[2] in message
    parts = [part for part in path.split(".") if not part.isdigit()]
    assert all(part in message for part in parts), "the message says where"


def test_an_unknown_key_that_resembles_none_lists_those_that_exist() -> None:
    refused(changed("storage.zzz", 1), "zzz", "decide_waits, path")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("server", 3, "server is 3; it must be a table, begun by [server]"),
        ("server.listen", 50051, "server.listen is 50051; it must be text in quotes"),
        ("server.concurrent_calls", "many", "server.concurrent_calls is 'many'; it must be a whole number"),
        ("server.concurrent_calls", 1.5, "server.concurrent_calls is 1.5; it must be a whole number"),
        ("server.concurrent_calls", True, "server.concurrent_calls is True; it must be a whole number"),
        ("server.concurrent_calls", 10**30, "must be below"),
        ("server.drain_s", "long", "server.drain_s is 'long'; it must be a number"),
        ("storage.decide_waits", "yes", "storage.decide_waits is 'yes'; it must be true or false"),
        ("policy.models", "echo/a", "policy.models is 'echo/a'; it must be an array"),
        ("policy.create_task_classes", 1, "policy.create_task_classes is 1; it must be true or false"),
        (
            "models",
            {"name": "echo/a"},
            "models is {'name': 'echo/a'}; it must be a table for each, begun by [[models]]",
        ),
        ("models.0", "echo/a", "models[0] is 'echo/a'; it must be a table"),
        ("models.0.labels", {"a": 1}, "models[0].labels.a is 1; it must be text in quotes"),
        ("models.0.context_window", 1.5, "models[0].context_window is 1.5; it must be a whole number"),
        ("task_classes.0.objective", "balanced", "task_classes[0].objective is 'balanced'; it must be a table"),
        ("endpoints", "echo", "endpoints is 'echo'; it must be a table"),
        ("endpoints.mine", "echo", "endpoints.mine is 'echo'; it must be a table"),
    ],
)
def test_a_wrong_type_is_refused_with_the_value_and_the_type(path: str, value: Any, words: str) -> None:
    refused(changed(path, value), words)


TOML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from([
        "server", "storage", "policy", "learning", "models", "models.0", "models.0.name", "models.0.labels",
        "models.0.usd_per_request", "models.0.capabilities", "task_classes.0.objective", "endpoints", "endpoints.mine",
        "server.listen", "server.drain_s", "storage.path", "policy.models", "learning",
    ]),
    TOML,
)  # fmt: skip
def test_whatever_stands_in_a_place_it_is_accepted_or_refused_in_our_own_words(path: str, value: Any) -> None:
    message = ""
    try:
        parse(changed(path, value), "my.toml")
    except ConfigError as error:
        message = str(error)
    assert not message or message.startswith("my.toml: ")
    assert "Expected `" not in message, "the words of the library"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("policy.strategy", "balancd", ["policy.strategy", "did you mean 'balanced'?"]),
        ("task_classes.0.objective.strategy", "qualityfirst", ["did you mean 'quality_first'?"]),
        ("policy.strategy", "", ["policy.strategy", "balanced"]),
        ("models.0.endpoint", "min", ["endpoint", "did you mean 'mine'?"]),
        ("models.0.capabilities", ["tool"], ["did you mean 'tools'?"]),
        ("endpoints.mine.kind", "ecko", ["endpoints.mine.kind", "did you mean 'echo'?"]),
        ("server.log", "jsn", ["server.log", "did you mean 'json'?"]),
        ("server.log_level", "warn", ["server.log_level", "did you mean 'warning'?"]),
        ("policy.models", ["echo/b"], ["policy.models", "'echo/b'", "did you mean 'echo/a'?"]),
        ("server.concurrent_calls", 0, ["server.concurrent_calls", "1"]),
        ("server.message_mib", 0, ["server.message_mib"]),
        ("server.drain_s", -1.0, ["server.drain_s"]),
        ("server.longest_deadline_s", float("nan"), ["server.longest_deadline_s", "nan"]),
        ("policy.exploration", 1.1, ["policy.exploration"]),
        ("policy.newcomer_calls", -1, ["policy.newcomer_calls is -1", "0 to"]),
        ("policy.newcomer_share", 1.1, ["policy.newcomer_share is 1.1", "0 to 1"]),
        ("policy.newcomer_usd", -0.1, ["policy.newcomer_usd is -0.1", "0 to"]),
        ("policy.allowance_usd", float("nan"), ["policy.allowance_usd is nan", "0 to"]),
        ("policy.temper", float("inf"), ["policy.temper"]),
        ("policy.usd_per_quality", -1.0, ["policy.usd_per_quality"]),
        ("policy.usd_per_quality", float("nan"), ["policy.usd_per_quality", "nan"]),
        ("policy.confidence", 1.0, ["policy.confidence"]),
        ("learning.drift.sensitivity", 0.0, ["learning.drift.sensitivity", "0.001 to 100"]),
        ("learning.drift.evidence_kept", 0.0, ["learning.drift.evidence_kept", "1 to"]),
        ("learning.half_life_decisions", -1.0, ["learning.half_life_decisions"]),
        ("learning.half_life_decisions", 1e-300, ["learning.half_life_decisions", "1 to"]),
        ("storage.path", "", ["storage.path", ":memory:"]),
        ("storage.path", ".", ["storage.path"]),
        ("storage.path", "a\0b", ["storage.path"]),
        ("models.0.input_usd_per_million", 1_001.0, ["input_usd_per_million", "0 to 1000"]),
        ("models.0.usd_per_request", 1e6 + 1, ["usd_per_request"]),
        ("models.0.input_usd_per_million", -0.1, ["input_usd_per_million", "echo/a"]),
        ("models.0.input_usd_per_million", float("nan"), ["input_usd_per_million"]),
        ("models.0.usd_per_request", -1.0, ["usd_per_request"]),
        ("models.0.context_window", 0, ["context_window"]),
        ("models.0.name", "a", ["provider/model"]),
        ("models.0.name", "", ["models[0]"]),
        ("models.0.name", "echo/a b", ["echo/a b"]),
        ("models.0.name", "echo/" + "x" * 252, ["256"]),
        ("task_classes.0.name", "", ["task_classes[0]"]),
        ("task_classes.0.name", "a b", ["a b"]),
        ("task_classes.0.name", "x" * 129, ["128"]),
        ("server.listen", "127.0.0.1", ["HOST:PORT"]),
        ("server.listen", "127.0.0.1:http", ["HOST:PORT"]),
        ("server.listen", "127.0.0.1:65536", ["HOST:PORT"]),
        ("server.listen", ":50051", ["lacks the host", "HOST:PORT"]),
        ("server.listen", "localhost", ["lacks the port"]),
        ("server.listen", "localhost:", ["port ''", "0 to 65535"]),
        ("server.listen", "127.0.0.1:\u0663", ["0 to 65535"]),
        ("server.listen", "::1:50051", ["brackets", "[::1]:50051"]),
        ("server.listen", "[::1:50051", ["brackets"]),
        ("server.listen", "[localhost]:50051", ["between brackets", "IPv6"]),
        ("server.listen", " 127.0.0.1:1", ["' 127.0.0.1'", "without spaces"]),
        ("server.listen", "my host:1", ["'my host'", "without spaces"]),
        ("storage.path", "data/", ["names no file"]),
        ("storage.path", "data/..", ["names no file"]),
        ("server.message_mib", 1_000_001, ["is 1000001", "1 to 1024"]),
        ("learning.half_life_decisions", 1e9 + 1, ["is 1000000001", "1 to 1000000000"]),
        ("models.0.upstream_model", "x" * 257, ["upstream_model", "257 characters", "256"]),
        ("models.0.upstream_model", "a\nb", ["printable"]),
        ("models.0.data_zone", "x" * 129, ["data_zone", "128"]),
        ("models.0.labels", {"k" * 129: "v"}, ["labels", "129 characters", "128"]),
        ("models.0.labels", {"k": "v" * 129}, ["labels.k", "129 characters", "128"]),
        ("models.0.labels", {"": "v"}, ["labels", "empty key"]),
        ("models.0.labels", {str(i): "" for i in range(65)}, ["65 entries", "64"]),
        ("task_classes.0.labels", {"k": "v" * 129}, ["task_classes[0] ('code.debug').labels.k"]),
        ("task_classes.0.description", "x" * 4_001, ["description", "4001 characters", "4000"]),
    ],
)
def test_a_wrong_value_is_refused(path: str, value: Any, words: list[str]) -> None:
    refused(changed(path, value), *words)


def test_names_must_be_unique() -> None:
    refused(changed("models", WHOLE["models"] * 2), "'echo/a'", "twice")
    refused(changed("task_classes", WHOLE["task_classes"] * 2), "'code.debug'", "twice")


def test_required_keys() -> None:
    refused(changed("models", [{}]), "models[0] lacks the key 'name'", "add it")
    refused(changed("task_classes", [{}]), "task_classes[0] lacks the key 'name'")
    refused(changed("endpoints", {"mine": {}}), "endpoints.mine lacks the key 'kind'")


def test_an_endpoint_whose_data_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> None:
        raise ReplayDataMissing("the recorded outcomes are not installed: pip install them")

    monkeypatch.setattr(providers, "recorded_files", nothing)
    refused(changed("endpoints.mine.kind", "replay"), "endpoints.mine.kind", "not installed", "pip install")


def test_one_price_without_the_other_is_refused() -> None:
    data = changed("models", [{"name": "echo/a", "input_usd_per_million": 1.0}])
    refused(data, "both input_usd_per_million and output_usd_per_million")


def test_a_model_without_prices_takes_the_list_s_or_none() -> None:
    data = changed("models", [{"name": "openai/gpt-4o"}, {"name": "custom/own"}])
    data["policy"] = {}
    listed, own = parse(data, "my.toml").models
    assert listed.prices is not None
    assert listed.prices.version
    assert listed.prices.input > 0
    assert own.prices is None
    assert (own.upstream_model, own.endpoint) == ("own", "custom")


def listening(address: str, *, flag: bool = False) -> Config:
    """Return a configuration that listens there."""
    data = changed("server.listen", address)
    data["server"]["allow_plaintext_beyond_loopback"] = flag
    return parse(data, "my.toml")


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.8.8:1", "[::1]:50051", "localhost:50051"])
def test_loopback_needs_no_flag(address: str) -> None:
    assert split_address(listening(address).file.server)[1] == int(address.rpartition(":")[2])


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "192.168.1.2:50051", "example.org:443", "8.8.8.8:0"])
def test_plaintext_beyond_loopback_needs_the_flag(address: str) -> None:
    refused(changed("server.listen", address), address, "plaintext", "--allow-plaintext-beyond-loopback")
    assert listening(address, flag=True).file.server.listen == address


def test_options_stand_in_the_place_of_the_file_s_keys(tmp_path: Path) -> None:
    """Also where the file alone would be refused: what it says there is not what is done."""
    file = tmp_path / "naiad.toml"
    file.write_text('[server]\nlisten = "0.0.0.0:1"\nlog = "json"\n', encoding="utf-8")
    found = load(file, {"server": {"listen": "127.0.0.1:0"}, "storage": {"path": "x/naiad.db"}})
    assert (found.file.server.listen, found.file.server.log) == ("127.0.0.1:0", "json")
    assert found.database == Path("x/naiad.db")
    with pytest.raises(ConfigError, match=r"^--listen: .*'nowhere'"):
        load(file, {"server": {"listen": "nowhere"}})
    with pytest.raises(ConfigError, match=r"naiad\.toml: .*0\.0\.0\.0:1"):
        load(file, {"server": {"log": "console"}})
    assert load(None, {"server": {"listen": "127.0.0.1:7"}}).file.server.listen == "127.0.0.1:7"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml.*--config"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path)
    (tmp_path / "bad.toml").write_text("listen = [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML"):
        load(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match=r"latin\.toml is not UTF-8"):
        load(tmp_path / "latin.toml")


@pytest.mark.parametrize("available", [True, False], ids=["with the recorded outcomes", "without"])
def test_the_built_in_default_works(monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
    monkeypatch.setattr(providers, "replay_available", lambda: available)
    found = load(None)
    assert found.source == "built-in defaults"
    assert len(found.models) >= 2
    assert ("replay" in found.endpoints) is available
    for model in found.models:
        assert model.prices is not None
        assert model.endpoint in found.endpoints
        assert model.config_digest


def test_digests_tell_changes_of_an_entry() -> None:
    before = parse(WHOLE, "a.toml")
    again = parse(copy.deepcopy(WHOLE), "b.toml")
    dearer = parse(changed("models.0.output_usd_per_million", 3.0), "a.toml")
    other = parse(changed("policy.usd_per_quality", 2.0), "a.toml")
    assert before.models == again.models
    assert before.policy == again.policy
    assert before.models[0].config_digest != dearer.models[0].config_digest
    assert before.policy.digest != other.policy.digest


def test_workflows_belong_to_the_policy_and_change_its_version() -> None:
    plain = config.parse({}, "t").policy
    made = config.parse({"workflows": [{"name": "nightly", "objective": {"usd_per_request": 0.01}}]}, "t").policy
    assert made.workflows == {"nightly": ObjectiveSpec(usd_per_request=0.01)}
    assert made.digest != plain.digest


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"policy": {"usd_per_request": 0.0}}, r"policy\.usd_per_request is 0; the range is 1e-09 to 1000000"),
        ({"policy": {"usd_per_request": float("nan")}}, "finite"),
        ({"workflows": [{"name": "a"}, {"name": "a"}]}, "names 'a' twice"),
        ({"workflows": [{"name": ""}]}, "at least 1"),
        ({"workflows": [{"name": "a", "objectiv": {}}]}, "did you mean 'objective'"),
        ({"workflows": [{"name": "a", "objective": {"usd_per_request": -1.0}}]}, r"workflows\[0\] \('a'\)"),
    ],
)
def test_budgets_out_of_range_are_refused(sections: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        config.parse(sections, "t")


BUDGET: dict[str, Any] = {"id": "b", "limit_usd": 1.5, "period": "week"}


def test_budgets_are_read() -> None:
    (found,) = parse({"budgets": [BUDGET | {"task_class": "unclassified", "workflow": "w"}]}, "test").budgets
    assert (found.budget_id, found.limit_nano_usd, found.period) == ("b", 1_500_000_000, 3)
    assert (found.task_class, found.workflow, found.key) == ("unclassified", "w", "")
    assert parse({"budgets": [BUDGET | {"limit_usd": 0}]}, "test").budgets[0].limit_nano_usd == 0


@pytest.mark.parametrize(
    ("budgets", "words"),
    [
        ([BUDGET, BUDGET], "[[budgets]] has the id 'b' twice"),
        ([BUDGET | {"id": ""}], "budgets[0].id is empty"),
        ([BUDGET | {"limit_usd": -1}], "budgets[0] ('b').limit_usd is -1; it must be from 0"),
        ([BUDGET | {"limit_usd": 1e9}], "budgets[0] ('b').limit_usd"),
        ([BUDGET | {"period": "weak"}], "did you mean 'week'?"),
        ([BUDGET | {"task_class": "cod"}], "which is not in [[task_classes]]; did you mean 'code'?"),
        ([BUDGET | {"limit": 1}], "did you mean 'limit_usd'?"),
        ([{"id": "b", "period": "day"}], "lacks the key 'limit_usd'"),
    ],
)
def test_budgets_that_cannot_be_are_refused(budgets: list[dict[str, Any]], words: str) -> None:
    refused({"task_classes": [{"name": "code"}], "budgets": budgets}, words)


def test_what_is_cached_is_read() -> None:
    assert parse(WHOLE, "my.toml").cache.seconds == {}
    found = parse(changed("task_classes.0.cache_s", 60) | {"cache": {"entries": 7, "mib": 2}}, "my.toml").cache
    assert (found.seconds, found.entries, found.size_bytes) == ({"code.debug": 60.0}, 7, 2 << 20)


def test_what_is_remembered_of_sessions_is_read() -> None:
    found = parse(WHOLE | {"sessions": {"entries": 7, "idle_s": 2, "prompt_cache_s": 0}}, "my.toml").sessions
    assert (found.entries, found.idle_ms, found.prompt_cache_ms) == (7, 2_000, 0)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"sessions": {"entries": 0}}, "sessions.entries is 0; it must be from 1 to 10000000"),
        ({"sessions": {"idle_s": 0.5}}, "sessions.idle_s is 0.5; it must be from 1 to 31536000"),
        ({"sessions": {"prompt_cache_s": -1.0}}, "sessions.prompt_cache_s is -1; it must be from 0 to 86400"),
        ({"cache": {"entries": 0}}, "cache.entries is 0; it must be from 1 to 10000000"),
        ({"cache": {"mib": 70_000}}, "cache.mib is 70000; it must be from 1 to 65536"),
        ({"cache": {"mb": 1}}, "unknown key 'cache.mb'; did you mean 'mib'?"),
        *(
            (
                {"task_classes": [{"name": "t", "cache_s": value}]},
                f"task_classes[0] ('t').cache_s is {plain(value)}; it must be from 1 to 604800",
            )
            for value in (-1.0, 0.5, 1e9, math.inf, math.nan)
        ),
        (
            {
                "task_classes": [{"name": "t", "cache_s": 60.0, "data_class": "secret"}],
                "data_classes": [{"name": "secret", "allow": ["any"], "no_store": True}],
            },
            "task_classes[0] ('t').cache_s is 60, but nothing of data class 'secret' is kept (no_store)",
        ),
    ],
    ids=str,
)
def test_caches_and_sessions_that_cannot_be_are_refused(sections: dict[str, Any], words: str) -> None:
    refused(WHOLE | sections, words)


# -- a primary and its fallbacks ---------------------------------------------------------------------------------------

LISTING = {"strategy": "fallback", "primary": "echo/large", "fallbacks": ["echo/small"]}
TWO = [
    {"name": name, "endpoint": "echo", "input_usd_per_million": 1.0, "output_usd_per_million": 1.0}
    for name in ("echo/large", "echo/small")
]


def test_a_primary_and_its_fallbacks_become_one_list() -> None:
    made = parse({
        "models": TWO, "policy": LISTING, "workflows": [{"name": "w", "objective": LISTING}],
        "task_classes": [{"name": "c", "objective": LISTING | {"fallbacks": []}}],
    }, "t")  # fmt: skip
    assert made.policy.objective.models == ("echo/large", "echo/small")
    assert made.policy.workflows["w"].models == ("echo/large", "echo/small")
    assert made.task_classes[0].objective is not None
    assert made.task_classes[0].objective.models == ("echo/large",)


@pytest.mark.parametrize(("changes", "words"), [
    ({"primary": None}, "policy has fallbacks and no primary"),
    ({"primary": None, "fallbacks": None}, r"policy.primary is missing; name the model"),
    ({"strategy": None}, "policy.primary has no meaning for strategy"),
    ({"strategy": "balanced"}, "policy.primary has no meaning for strategy 'balanced'"),
    ({"fallbacks": ["echo/large"]}, "lists 'echo/large' twice"),
    ({"primary": "echo/larg"}, "policy.primary names 'echo/larg'.*did you mean 'echo/large'"),
    ({"fallbacks": ["none/such"]}, "policy.fallbacks names 'none/such'"),
])  # fmt: skip
def test_lists_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    section = {key: value for key, value in (LISTING | changes).items() if value is not None}
    with pytest.raises(ConfigError, match=words):
        parse({"models": TWO, "policy": section}, "t")


def test_a_list_has_an_end() -> None:
    section = ObjectiveSection(strategy="fallback", primary="a/b", fallbacks=[f"a/{i}" for i in range(64)])
    with pytest.raises(ConfigError, match="t: policy lists 65 models; the limit is 64"):
        objective(section, "policy", "t")
