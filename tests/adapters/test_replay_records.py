"""The reader of recorded outcomes: what it accepts, what it refuses and how it says so."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters import replay_records
from naiad.adapters.replay import (
    RECORDED_PRICES,
    RecordedArm,
    ReplayDataMissing,
    ReplayLineMalformed,
    load_records,
    replay_available,
)

needs_wheel = pytest.mark.skipif(not replay_available(), reason=f"not installed: {replay_records.INSTALL}")

GOOD: dict[str, object] = {
    "prompt": "Why?",
    "source": "mmlu",
    "arms": {"a/b": {"reward": 0.5, "cost": 3.73e-05, "near_best": True}},
}


def line(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def with_cost(number: bytes) -> bytes:
    return line(arms={"m": {"reward": 1, "cost": 0}}).replace(b'"cost": 0', b'"cost": ' + number)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "records.jsonl"
    path.write_bytes(content)
    return path


def test_a_line_becomes_a_record_with_integer_cost(tmp_path: Path) -> None:
    (record,) = load_records([write(tmp_path, line())])
    assert (record.prompt, record.task_class) == ("Why?", "mmlu")
    assert dict(record.arms) == {"a/b": RecordedArm(reward=0.5, cost_nano_usd=37_300)}


def test_only_newline_bytes_end_a_line(tmp_path: Path) -> None:
    prompt = "one\u2028two\u2029three\x85four\x0bfive\x1csix\rseven"
    text = json.dumps({**GOOD, "prompt": prompt}, ensure_ascii=False).encode()
    text = text.replace(b", ", b",\r", 1)  # a carriage return between JSON tokens is mere space
    records = load_records([write(tmp_path, text + b"\r\n\n" + text + b"\n")])
    assert [record.prompt for record in records] == [prompt, prompt]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "expected an object"),
        (line(prompt=""), "'prompt' must be text"),
        (line(prompt=5), "'prompt' must be text"),
        (line(prompt="\ud800"), "half a surrogate pair"),
        (line(source=None), "'source' must be text"),
        (line(arms={}), "'arms' must be an object"),
        (line(arms=[1]), "'arms' must be an object"),
        (line(arms={"m": 3}), "arm 'm' must be an object"),
        (line(arms={"m": {"cost": 0.1}}), "reward of 'm'"),
        (line(arms={"m": {"reward": 1.01, "cost": 0.1}}), "reward of 'm'"),
        (line(arms={"m": {"reward": True, "cost": 0.1}}), "reward of 'm'"),
        (line(arms={"m": {"reward": "1", "cost": 0.1}}), "reward of 'm'"),
        (line(arms={"m": {"reward": float("nan"), "cost": 0.1}}), "NaN is not"),
        (line(arms={"m": {"reward": 1, "cost": -1e-9}}), "cost of 'm'"),
        (line(arms={"m": {"reward": 1, "cost": float("inf")}}), "Infinity is not"),
        (line(arms={"m": {"reward": 1, "cost": 10**12}}), "cost of 'm'"),
        (with_cost(b"1e999999"), "cost of 'm'"),
        (with_cost(b"1e99999999999999999999"), "not JSON"),
        (with_cost(b"1" * 5000), "not JSON"),
    ],
)
def test_a_malformed_line_is_named_with_file_line_and_rule(tmp_path: Path, bad: bytes, rule: str) -> None:
    path = write(tmp_path, line() + b"\n" + bad + b"\n")
    with pytest.raises(ReplayLineMalformed, match=rule) as caught:
        load_records([path])
    assert (caught.value.path, caught.value.line) == (path, 2)
    assert f"{path}, line 2: " in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.mktemp("fuzz"), content)
    try:
        records = load_records([path])
    except ReplayLineMalformed as error:
        bad_line = error.line
    else:
        bad_line = 1
        assert not records, "random bytes are no records"
    assert 1 <= bad_line <= content.count(b"\n") + 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(json_values, json_values, json_values, json_values)
def test_no_json_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, prompt: object, arms: object, reward: object, cost: object
) -> None:
    rows = (line(prompt=prompt), line(arms=arms), line(arms={"m": {"reward": reward, "cost": cost}}))
    for row in rows:
        path = write(tmp_path_factory.mktemp("fuzz"), row)
        try:
            records = load_records([path])
        except ReplayLineMalformed:
            continue
        for arm in records[0].arms.values():
            assert 0 <= arm.reward <= 1
            assert arm.cost_nano_usd >= 0


def test_a_missing_wheel_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(replay_records, "distribution", absent)
    assert not replay_available()
    with pytest.raises(ReplayDataMissing, match=re.escape("pip install --no-deps paretobandit==0.1.1")):
        load_records()


@pytest.mark.parametrize(("found", "said"), [("0.2.0", "0.2.0 is installed"), ("0.1.1", "lacks val.jsonl")])
def test_another_or_a_broken_wheel_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: str, said: str
) -> None:
    wheel = SimpleNamespace(version=found, locate_file=lambda name: tmp_path / name)
    monkeypatch.setattr(replay_records, "distribution", lambda name: wheel)
    assert not replay_available()
    with pytest.raises(ReplayDataMissing, match=said):
        load_records()


@needs_wheel
def test_the_wheel_holds_what_the_readme_says() -> None:
    records = load_records()
    assert len(records) == 3609
    assert {model for record in records for model in record.arms} == set(RECORDED_PRICES)
    assert all(len(record.arms) == 3 for record in records)
    assert len({record.prompt for record in records}) == len(records), "no prompt twice"


@needs_wheel
def test_the_recorded_prices_are_the_wheels_own() -> None:
    config = replay_records.recorded_files()[0].parents[2] / "config" / "models.json"
    for model in json.loads(config.read_bytes())["models"]:
        price = RECORDED_PRICES[model["model_id"]]
        assert price.input == round(model["input_cost_per_m"] * 1e9)
        assert price.output == round(model["output_cost_per_m"] * 1e9)
