"""The routing benchmark on made-up outcomes: its data checks, its references, and that the engine learns through it."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.routing import features, figures, money, newcomers, plots
from benchmarks.routing import frontier as frontiers
from benchmarks.routing import peers as peers_module
from benchmarks.routing.__main__ import main
from benchmarks.routing.baselines import BASELINES
from benchmarks.routing.budgets import CUT_MODEL, cut_and_restored, held
from benchmarks.routing.drops import CUT, cut_in_the_middle
from benchmarks.routing.figures import QUALITY_ONLY, gap_closed, saving
from benchmarks.routing.outcomes import DataMissing, Floats, Outcomes, load
from benchmarks.routing.plan import Arena, Plan
from benchmarks.routing.prices import list_priced
from benchmarks.routing.references import Point, class_means, hull, offline, regret, static_mix
from benchmarks.routing.replay import EngineRouter, stream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of 300 prompts, 3 classes and 3 models, of which the second is best in two classes and dear."""
    rng = np.random.default_rng(1)
    task_class = rng.integers(0, 3, 300)
    level = np.array([[0.3, 0.9, 0.5], [0.2, 0.8, 0.4], [0.9, 0.4, 0.5]])[task_class]
    tokens = rng.integers(50, 500, (300, 3)).astype(np.float64)
    cost = tokens * np.array([1e-6, 1e-5, 2e-6])
    cost[0, 0] = np.nan
    path = tmp_path / "made_up"
    path.mkdir()
    np.savez(
        path / "matrix.npz", models=["a", "b", "c"], task_classes=["x", "y", "z"], task_class=task_class,
        quality=(rng.random((300, 3)) < level).astype(np.float32), cost_usd=cost, tokens_in=np.zeros((300, 3)),
        tokens_out=tokens, latency_s=np.full((300, 3), np.nan),
    )  # fmt: skip
    with open(path / "models.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, ["model", "pools", "price_in_per_m", "price_out_per_m"])
        rows.writeheader()
        for name, price, pools in (("a", 1, "two;all"), ("b", 10, "two;all"), ("c", 2, "all")):
            rows.writerow({"model": name, "pools": pools, "price_in_per_m": price, "price_out_per_m": price})
    return tmp_path


def test_a_pool_keeps_its_models_and_the_prompts_recorded_for_all(folder: Path) -> None:
    outcomes = load(folder, "made_up", "two")
    assert outcomes.models == ("a", "b")
    assert outcomes.quality.shape == (299, 2)  # one prompt has no cost
    assert load(folder, "made_up", "two", priced=False).quality.shape == (300, 2)
    np.testing.assert_allclose(outcomes.cost, outcomes.tokens_out * outcomes.price_out, rtol=1e-6)


def test_what_is_missing_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataMissing, match="no pool 'three'; it has all, two"):
        load(folder, "made_up", "three")
    with pytest.raises(DataMissing, match="is not an outcome set"):
        load(folder, "other")
    with pytest.raises(DataMissing, match="no prompts of split 'test'"):
        load(folder, "made_up").part("test")
    assert main(["--data", str(folder / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_without_data_it_says_how_to_get_some(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NAIAD_ROUTING_DATA", raising=False)
    assert main([]) == 2
    assert "benchmarks/README.md" in capsys.readouterr().err


def test_a_stream_is_the_set_in_another_order(folder: Path) -> None:
    outcomes = load(folder, "made_up", "all")
    one, again, other = stream(outcomes, 1), stream(outcomes, 1), stream(outcomes, 2)
    assert sorted(one.models) == sorted(outcomes.models)
    assert one.quality.tobytes() == again.quality.tobytes()
    assert one.quality.tobytes() != other.quality.tobytes()
    for model in outcomes.models:
        before = np.sort(outcomes.cost[:, outcomes.models.index(model)])
        np.testing.assert_array_equal(np.sort(one.cost[:, one.models.index(model)]), before)


def means(outcomes: Outcomes) -> Floats:
    return class_means(outcomes.quality, outcomes.task_class, len(outcomes.task_classes))


def test_the_engine_learns_through_it(folder: Path) -> None:
    """Half the regret of blind choice over 300 prompts; a bill of the second half that the best model would exceed."""
    lost, blind = [], []
    for seed in range(3):
        one = stream(load(folder, "made_up", "all", priced=False), seed)
        run = EngineRouter(one, QUALITY_ONLY, seed).run()
        lost.append(regret(means(one), one.task_class, run.arms)[-1])
        rng = np.random.default_rng(seed)
        blind.append(regret(means(one), one.task_class, rng.integers(0, 3, len(run.arms)))[-1])
        np.testing.assert_array_equal(run.quality, one.quality[np.arange(len(run.arms)), run.arms])
    assert sum(lost) < 0.5 * sum(blind)


def test_late_judgements_are_learned_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 40 decisions late they teach nearly as much; where none comes in time, nothing is learned."""
    lost: dict[int, float] = {40: 0.0, 1_000_000: 0.0}
    for late in lost:
        monkeypatch.setattr(figures, "LATE", late)
        for seed in range(3):
            one = stream(load(folder, "made_up", "all", priced=False), seed)
            lost[late] += regret(means(one), one.task_class, figures.delayed(one, seed))[-1]
    assert lost[40] < 0.6 * lost[1_000_000]


def test_the_best_of_each_class_closes_the_gap_and_the_best_single_saves_nothing(folder: Path) -> None:
    one = load(folder, "made_up", "all")
    best = means(one).argmax(axis=1)[one.task_class]
    assert regret(means(one), one.task_class, best)[-1] == 0.0
    assert gap_closed(one, one.quality, best) == pytest.approx(1.0)
    single = int(one.quality.mean(axis=0).argmax())
    rows = np.arange(len(best))
    run = EngineRouter(one, QUALITY_ONLY, 0).run()
    always = type(run)(np.full(len(best), single), one.quality[rows, single], one.cost[rows, single])
    assert saving(one, always, 100) == pytest.approx((1.0, 0.0))


def test_the_hull_of_fixed_models() -> None:
    points = [Point(0.5, 1.0), Point(0.9, 3.0), Point(0.6, 2.0), Point(0.8, 4.0)]
    assert hull(points) == [Point(0.5, 1.0), Point(0.9, 3.0)]
    assert static_mix(points, 2.0) == pytest.approx(0.7)
    assert static_mix(points, 0.1) == 0.5


def test_a_router_made_offline_is_as_good_as_what_it_is_shown(folder: Path) -> None:
    """Shown everything it is the best of each class within what it may cost; shown nothing it takes any model."""
    one = load(folder, "made_up", "all")
    first, second = one.rows(np.arange(150)), one.rows(np.arange(150, len(one.task_class)))
    best = means(one).argmax(axis=1)[second.task_class]
    rows = np.arange(len(best))
    whole = np.ones(first.quality.shape, dtype=np.bool_)
    assert offline(first, second, whole, 1.0) == pytest.approx(second.quality[rows, best].mean())
    half = 0.5 * float(second.cost[rows, best].mean())
    within = offline(first, second, whole, half)
    assert second.quality.mean(axis=0).min() < within < second.quality[rows, best].mean()
    assert offline(first, second, ~whole, 1.0) <= second.quality.mean(axis=0).max()
    assert offline(first, second, whole, 0.0) == -np.inf


def test_money_is_billed_so_that_the_engine_maximises_the_utility(folder: Path) -> None:
    one = load(folder, "made_up", "all")
    billed = money.billed(one)
    value = billed.quality - billed.cost
    np.testing.assert_allclose(value, money.utility(one) - money.WEIGHT * money.SHIFT)
    np.testing.assert_allclose(billed.tokens_out * billed.price_out, billed.cost, atol=money.WEIGHT / 1_000)
    assert len(money.spread(one).models) == 3


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_learn(folder: Path, name: str) -> None:
    one = stream(load(folder, "made_up", "two"), 5)
    arms = BASELINES[name](one, one.quality, 5)
    assert one.quality[np.arange(len(arms)), arms][150:].mean() > one.quality.mean()


def test_a_token_of_a_set_without_tokens_is_what_the_list_price_makes_it(folder: Path) -> None:
    outcomes = load(folder, "made_up", "all")
    with pytest.raises(DataMissing, match="has no list price"):
        list_priced(outcomes)
    named = replace(outcomes, models=("llama-3.1-8b-instruct", "gemini-2.5-pro", "mistral-large-2512"))
    priced = list_priced(named)
    np.testing.assert_allclose(priced.tokens_out * priced.price_out, outcomes.cost, atol=float(priced.price_out.max()))


def test_a_budget_is_held_through_a_cut_and_its_end(folder: Path) -> None:
    """The dear model is wanted everywhere: its bills fall while its price is cut, and the whole stays at the budget."""
    outcomes = load(folder, "made_up", "all")
    one = stream(replace(outcomes, models=("a", CUT_MODEL, "c")), 1)
    budget = float(outcomes.cost[:, 1].mean()) / 2
    quality, cost = cut_and_restored(one, budget, 1)
    before, during, after = (part.mean() / budget for part in np.array_split(cost, 3))
    assert during < min(before, after)
    assert cost.mean() <= 1.1 * budget
    assert quality.mean() > EngineRouter(one, held(budget / 20), 1).run().quality.mean()


def test_a_model_added_midstream_is_held_at_its_caps(folder: Path) -> None:
    for seed in range(3):
        one = newcomers.arrive(load(folder, "made_up", "all"), seed, 300)
        assert 0.05 < one.largest <= newcomers.SHARE + newcomers.SLACK
        assert 0.0 < one.spent <= 1.0
        assert 0.0 < one.realised < 0.2


def test_arrival_is_read_after_the_time_as_a_newcomer() -> None:
    """400 prompts: a call every fifth at 0.2 of the traffic, 20 of them as a newcomer; then 0.8 from prompt 150 on."""
    share = np.where(np.arange(400) < 150, 0.2, 0.8)
    mine = np.where(np.arange(400) < 150, np.arange(400) % 5 == 0, 1.0).astype(np.float64)
    flat = np.full(400, 0.5)
    run = newcomers.Played(share, mine, flat, np.full(400, 0.01))
    read = newcomers.read(run, newcomers.Played(share / 2, mine, flat, flat), cap=0.4)
    assert (read.steady, read.from_start, read.quality) == pytest.approx((0.8, 0.4, 0.0))
    assert (read.largest, read.realised, read.spent) == pytest.approx((0.2, 20 / 96, 0.5))
    assert (read.arrived, read.prompts, read.calls) == (True, 134, 27)  # 84 of the next 100 prompts at 0.8
    never = newcomers.read(run._replace(mine=mine * (np.cumsum(mine) < 20)), run, cap=0.4)
    assert (never.arrived, never.prompts, never.calls) == (False, 400, 19)


def test_a_cut_is_in_the_middle_third_of_the_best_model(folder: Path) -> None:
    outcomes = load(folder, "made_up", "all", priced=False)
    plain, (one, means) = stream(outcomes, 3, 300), cut_in_the_middle(outcomes, 300, 3)
    best = one.models.index("b")
    changed = one.quality != plain.quality
    assert changed[100:200, best].sum() > 10
    changed[100:200, best] = False
    assert not changed.any()
    assert set(np.unique(one.quality)) == {0.0, 1.0}, "what is pass or fail stays so"
    np.testing.assert_allclose(means[1, :, best], (1.0 - CUT) * means[0, :, best])


def test_an_engine_notices_a_cut_and_does_better_for_it(folder: Path) -> None:
    """The second third of a long stream in which the best model is cut to a quarter."""
    outcomes = load(folder, "made_up", "all", priced=False)
    rows = np.random.default_rng(5).integers(0, 300, 1_500)
    one = outcomes.rows(rows)
    quality = one.quality.copy()
    quality[500:, one.models.index("b")] *= np.random.default_rng(6).random(1_000) < 0.25
    one = replace(one, quality=quality)
    got = {}
    for drift in (True, False):
        router = EngineRouter(one, QUALITY_ONLY, 1, drift=drift)
        got[drift] = router.run(priced=False).quality[500:1_000].mean()
        assert bool(router.alarms) == drift
    assert got[True] > got[False]


def test_a_frontier_is_drawn_and_summed_up(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontiers, "ARENAS", (Arena("made_up", "all", 120, 0.0),))
    plan = Plan(folder, range(2), frozenset(), frozenset(), None, tmp_path / "plots")
    figure, table = frontiers.frontier(plan)
    rows = table["all"]["points"]
    assert [row["worth"] for row in rows] == list(frontiers.WORTHS)
    assert rows[-1]["usd"] > rows[0]["usd"], "quality worth more buys dearer models"
    assert figure["pass"] == (table["all"]["aiq_gain"]["mean"] >= 0.0)
    assert (tmp_path / "plots" / "frontier-all.png").stat().st_size > 10_000


def test_aiq_is_the_mean_height_of_the_hull() -> None:
    """A model for nothing with quality 0.2, one for 1 USD with 0.8: their mixes come to 0.5 in the mean."""
    models = [Point(0.2, 0.0), Point(0.8, 1.0)]
    assert frontiers.aiq(models, models) == pytest.approx(0.5)
    assert frontiers.aiq([Point(0.8, 0.5)], models) == pytest.approx(0.65)
    assert frontiers.aiq([Point(0.1, 0.5)], models) == pytest.approx(0.2), "as bad as the cheapest, never worse"


def test_regret_curves_are_drawn(tmp_path: Path) -> None:
    curves = {"Naiad": [np.arange(5.0)], "another": [np.arange(5.0) * 2]}
    assert plots.regret_curves(tmp_path, "p", curves, "Naiad").stat().st_size > 10_000


def test_features_pay_where_the_text_tells_the_score_and_not_where_it_does_not(folder: Path) -> None:
    """Long prompts are answered worse, by every model and in every class; in the other set length says nothing."""
    rng = np.random.default_rng(3)
    long = rng.random(300) < 0.5
    with np.load(folder / "made_up" / "matrix.npz") as file:
        matrix = dict(file)
    matrix["quality"] = np.where(long[:, None], 0.35, 0.65) + rng.normal(0.0, 0.02, (300, 3))
    np.savez(folder / "made_up" / "matrix.npz", **matrix)
    found = {}
    for name, lengths in (("told", np.where(long, 900, 30)), ("blind", rng.permutation(np.where(long, 900, 30)))):
        with gzip.open(folder / "made_up" / "prompts.jsonl.gz", "wt", encoding="utf-8") as lines:
            lines.writelines(json.dumps({"prompt": "a" * int(n)}) + "\n" for n in lengths)
        plan = Plan(folder, range(2), frozenset(), frozenset(), None)
        found[name] = features.features(plan, [Arena("made_up", "all", 300, 0.0)])
    assert found["told"][1]["all"]["quality"]["mean"] < -0.02
    assert found["blind"][1]["all"]["quality"]["mean"] > -0.005
    assert (found["told"][0]["pass"], found["blind"][0]["pass"]) == (False, True)


def test_texts_stay_with_their_prompts(folder: Path) -> None:
    """Through a cut and a shuffle; a set without texts has none."""
    assert load(folder, "made_up", "all").texts == ()
    names = [f"prompt {i}" for i in range(300)]
    with gzip.open(folder / "made_up" / "prompts.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": name if i else None}) + "\n" for i, name in enumerate(names))
    with np.load(folder / "made_up" / "matrix.npz") as matrix:
        classes = matrix["task_class"]
    whole = load(folder, "made_up", "all", priced=False)
    assert whole.texts == ("", *names[1:])
    one = stream(whole, 3, 50)
    assert len(set(one.texts)) == len(one.texts) == 50
    assert [classes[int(text.split()[1])] if text else classes[0] for text in one.texts] == one.task_class.tolist()


def test_peers_get_texts_of_the_very_stream_and_only_those_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that runs the peers, stood in for by one that shows what it was given."""
    fake = tmp_path / "fake.py"
    fake.write_text(
        "import json, sys\nimport numpy as np\n"
        "given = np.load(sys.argv[1], allow_pickle=False)\n"
        "texts = json.loads(given['texts'].tobytes()) if given['texts'].size else []\n"
        "names = json.loads(str(given['peers']))\n"
        "np.savez(sys.argv[2], **{name: np.array([len(text) for text in texts]) for name in names})\n"
    )
    monkeypatch.setattr(peers_module, "_MAIN", fake)
    one = load(folder, "made_up", "all")
    assert peers_module.peers(None, one, one.quality, 0) == {}
    found = peers_module.peers(Path(sys.executable), one, one.quality, 0, ["x"])
    assert found["x"].tolist() == []
    told = replace(one, texts=tuple("äb" * (i % 5) for i in range(len(one.task_class))))
    found = peers_module.peers(Path(sys.executable), told, told.quality, 0, ["x", "y"])
    assert set(found) == {"x", "y"}
    assert found["y"].tolist() == [len(text) for text in told.texts]


def test_a_set_that_a_figure_does_not_know_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--figures", "r1", "--set", "nosuch", "--seeds", "1"]) == 2
    told = capsys.readouterr()
    assert "nothing to measure" in told.err
    assert "--set bfcl --pool bfcl12" in told.err
    assert "reached" not in told.out
