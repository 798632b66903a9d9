"""[[data_classes]] and [governance]: rules that cannot be are refused, rules that are odd are told."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from naiad.server.config import parse
from naiad.server.data_rules import empty_classes, widened
from naiad.server.sections import ConfigError

_RULED: dict[str, Any] = {
    "data_classes": [
        {"name": "open", "allow": ["any"]},
        {"name": "secret", "allow": ["on_prem", "vendor:acme", "acme/large", "region:eu"]},
    ],
    "models": [
        {"name": "acme/large", "data_zone": "private_cloud, region:eu"},
        {"name": "local/small", "data_zone": "on_prem"},
    ],
}


def _ruled(path: str, value: Any) -> dict[str, Any]:
    """Return the rules above with the value at a path of keys changed."""
    data = copy.deepcopy(_RULED)
    *steps, last = path.split(".")
    place: Any = data
    for step in steps:
        place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
    place[last] = value
    return data


def test_data_classes_become_part_of_the_policy() -> None:
    config = parse(copy.deepcopy(_RULED), "t")
    assert [c.name for c in config.policy.data_classes] == ["open", "secret"]
    assert config.policy.data_zones == ("on_prem", "private_cloud", "region:eu")
    assert config.policy.digest != parse({"models": _RULED["models"]}, "t").policy.digest
    said = _ruled("workflows", [{"name": "w", "data_class": "secret"}]) | {
        "task_classes": [{"name": "t", "data_class": "open"}]
    }
    config = parse(said, "t")
    assert (config.policy.workflow_data, config.task_classes[0].data_class) == ({"w": "secret"}, "open")
    extra = _ruled("data_classes.1.allow", ["region:us", "vendor:later"]) | {
        "governance": {"zones": ["region:us", "vendor:later"]}
    }
    assert parse(extra, "t").policy.data_zones == ("on_prem", "private_cloud", "region:eu", "region:us")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("data_classes.1.allow", ["on-prem"], ["'on-prem'", "zone", "did you mean 'on_prem'?"]),
        ("data_classes.1.allow", ["acme/lage"], ["'acme/lage'", "[[models]]", "did you mean 'acme/large'?"]),
        ("data_classes.1.allow", ["vendor:acne"], ["'vendor:acne'", "did you mean 'vendor:acme'?"]),
        ("data_classes.1.allow", [""], ["allow", "''"]),
        ("data_classes.1.allow", ["on_prem"] * 1_001, ["1001", "1000"]),
        ("data_classes.1.allow", "on_prem", ["array"]),
        ("data_classes.1.name", "open", ["'open'", "twice", "unique"]),
        ("data_classes.1.name", "", ["name must be"]),
        ("data_classes.1.name", "top secret", ["name must be"]),
        ("data_classes.1.no_store", "yes", ["true or false"]),
        ("data_classes.1.description", "x" * 4_001, ["4001", "4000"]),
        ("data_classes.1.zones", [], ["unknown key", "data_classes[1].zones"]),
        ("data_classes", [{"name": f"c{i}"} for i in range(65)], ["65", "64"]),
        ("models.0.data_zone", "vendor:local", ["vendor:local", "a zone is"]),
        ("models.0.data_zone", "any", ["'any'", "a zone is"]),
        ("models.0.data_zone", "local/small", ["'local/small'", "a zone is"]),
        ("governance.zones", ["any"], ["governance.zones", "a zone is"]),
        ("workflows", [{"name": "w", "data_class": "secrt"}], ["'secrt'", "did you mean 'secret'?"]),
        ("task_classes", [{"name": "t", "data_class": "secrt"}], ["'secrt'", "did you mean 'secret'?"]),
        ("task_classes", [{"name": "t", "data_class": "x" * 129}], ["129", "128"]),
    ],
)
def test_rules_that_cannot_be_are_refused(path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(_ruled(path, value), "naiad.toml")
    for word in ("naiad.toml", *words):
        assert word in str(caught.value), str(caught.value)


def test_zones_without_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="there are no"):
        parse({"governance": {"zones": ["region:us"]}}, "t")


@pytest.mark.parametrize("entries", [[], ["local/small"]])
def test_a_class_that_permits_nothing_usable_is_an_error_only_if_asked(entries: list[str]) -> None:
    data = _ruled("data_classes.1.allow", entries)
    for model in data["models"]:
        model |= {"endpoint": "echo", "input_usd_per_million": 0.0, "output_usd_per_million": 0.0}
    data["models"][1]["disabled"] = True
    config = parse(copy.deepcopy(data), "t")
    (said,) = empty_classes(config.policy.data_classes, config.usable)
    assert "'secret'" in said
    assert "NO_ELIGIBLE_MODEL" in said
    with pytest.raises(ConfigError, match="refuse_empty_classes"):
        parse(data | {"governance": {"refuse_empty_classes": True}}, "t")


def test_an_entry_that_an_earlier_class_takes_back_is_told() -> None:
    config = parse(_ruled("data_classes.0.allow", ["vendor:acme"]), "t")
    (said,) = widened(config.policy.data_classes, config.models)
    assert "'secret' allows 'on_prem', but local/small" in said
    assert "from open to strict" in said
