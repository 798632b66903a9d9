"""Peers on one stream, in a Python of their own (`make peers`); reads a stream, writes the arms that each chose.

    .venv-peers/bin/python benchmarks/routing/peers_main.py STREAM.npz ARMS.npz

STREAM holds `task_class` (T,), `value` (T, M), `seed`, and `texts`, the prompts as JSON in UTF-8, or nothing. Only
numpy, scikit-learn and the peers are imported, nothing of ours. Settings are those that each project's own documents
recommend; where it offers several, all are run. Peers that look at the prompt are left out where a set has no texts.
"""

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DIMENSIONS = 25  # of a prompt's text, as ParetoBandit's and PILOT's routers have it


@dataclass(frozen=True)
class Stream:
    """What a peer may see, and what choosing each model is worth."""

    task_class: Ints  # (T,)
    value: Floats  # (T, M)
    seed: int
    text: Floats | None  # (T, DIMENSIONS + 1), the last column 1; None without texts

    @property
    def one_hot(self) -> Floats:
        """The task class, (T, K + 1), the last column 1."""
        eye = np.eye(int(self.task_class.max()) + 1)
        return np.column_stack([eye[self.task_class], np.ones(len(self.task_class))])


def embedded(texts: list[str]) -> Floats:
    """Return whitened principal components of hashed words and pairs of words, and a bias, (T, DIMENSIONS + 1).

    Fitted to all texts of the stream beforehand, which a server could not do.
    """
    from sklearn.decomposition import TruncatedSVD  # type: ignore[import-not-found]
    from sklearn.feature_extraction.text import HashingVectorizer  # type: ignore[import-not-found]

    words = HashingVectorizer(n_features=4_096, ngram_range=(1, 2)).transform(texts)
    parts = TruncatedSVD(DIMENSIONS, random_state=0).fit_transform(words)
    parts = (parts - parts.mean(axis=0)) / np.maximum(parts.std(axis=0), 1e-9)
    return np.column_stack([parts, np.ones(len(texts))])


def vowpal(stream: Stream, flags: str) -> Ints:
    """Vowpal Wabbit, action-dependent features, class crossed with model; costs are 1 - value."""
    import vowpalwabbit  # type: ignore[import-not-found]

    task_class, value, seed = stream.task_class, stream.value, stream.seed
    steps, n_models = value.shape
    workspace = vowpalwabbit.Workspace(f"--cb_explore_adf -q ca --quiet --random_seed {seed + 1} {flags}")
    rng = np.random.default_rng([seed, 40])
    arms = np.zeros(steps, dtype=np.int64)
    for step in range(steps):
        shared = f"shared |c k{task_class[step]}"
        actions = [f"|a m{m}" for m in range(n_models)]
        p = np.array(workspace.predict("\n".join([shared, *actions])))
        arm = int(rng.choice(n_models, p=p / p.sum()))
        arms[step] = arm
        actions[arm] = f"0:{1.0 - value[step, arm]:.6f}:{p[arm]:.6f} {actions[arm]}"
        workspace.learn("\n".join([shared, *actions]))
    workspace.finish()
    return arms


def mabwiser(stream: Stream, x: Floats, policy: str, alpha: float) -> Ints:
    """MABWiser's LinTS or LinUCB, l2 1; it must be fitted once, which nothing but zeros do here."""
    from mabwiser.mab import MAB, LearningPolicy  # type: ignore[import-not-found]

    value = stream.value
    steps, n_models = value.shape
    learning = getattr(LearningPolicy, policy)(alpha=alpha, l2_lambda=1.0)
    mab = MAB(list(range(n_models)), learning, seed=stream.seed)
    mab.fit(list(range(n_models)), [0.0] * n_models, np.zeros((n_models, x.shape[1])))
    arms = np.zeros(steps, dtype=np.int64)
    for step in range(steps):
        arm = int(mab.predict(x[step][None]))
        arms[step] = arm
        mab.partial_fit([arm], [value[step, arm]], x[step][None])
    return arms


def paretobandit(stream: Stream, x: Floats, alpha: float | None = None) -> Ints:
    """ParetoBandit's router, cold, on features made beforehand, without its penalty: the value has the money in it.

    alpha: exploration; its default (0.01, chosen for warm priors) or one of its presets.
    """
    from pareto_bandit import (  # noqa: TID251 - here it is the peer
        BanditRouter,
        FeatureService,
        RouterConfig,
    )

    value = stream.value
    steps, n_models = value.shape
    exploration: Any = {} if alpha is None else {"alpha": alpha}
    price = {"input_cost_per_m": 1.0, "output_cost_per_m": 1.0}
    router = BanditRouter.create(
        {f"m{m}": dict(price) for m in range(n_models)},
        priors="none",
        feature_service=FeatureService.for_precomputed(x.shape[1]),
        config=RouterConfig(reward_min=-1.0),
        cost_penalty=0.0,
        bandit_seed=stream.seed,
        **exploration,
    )
    arms = np.zeros(steps, dtype=np.int64)
    for step in range(steps):
        name, log = router.route(x[step])
        arm = int(name[1:])
        arms[step] = arm
        router.process_feedback(log.request_id, float(value[step, arm]))
    return arms


def bayesian(stream: Stream) -> Ints:
    """bayesianbandits' Thompson sampling over NormalInverseGammaRegressor on the class as one-hot features."""
    from bayesianbandits import (  # type: ignore[import-not-found]
        Arm,
        ContextualAgent,
        NormalInverseGammaRegressor,
        ThompsonSampling,
    )

    value, x = stream.value, stream.one_hot[:, :-1]
    steps, n_models = value.shape
    agent = ContextualAgent(
        [Arm(m, learner=NormalInverseGammaRegressor()) for m in range(n_models)],
        ThompsonSampling(),
        random_seed=stream.seed,
    )
    arms = np.zeros(steps, dtype=np.int64)
    for step in range(steps):
        (arm,) = agent.pull(x[step][None])
        arms[step] = arm
        agent.update(x[step][None], np.array([value[step, arm]]))
    return arms


PEERS: dict[str, Callable[[Stream], Ints]] = {
    "VW epsilon .05": lambda s: vowpal(s, "--epsilon 0.05"),
    "VW squarecb": lambda s: vowpal(s, "--squarecb"),
    "VW regcb": lambda s: vowpal(s, "--regcb"),
    "MABWiser LinTS": lambda s: mabwiser(s, s.one_hot[:, :-1], "LinTS", 1.0),
    "bayesianbandits NIG": bayesian,
    "ParetoBandit, class": lambda s: paretobandit(s, s.one_hot),
    "ParetoBandit, class, alpha 1": lambda s: paretobandit(s, s.one_hot, 1.0),
}
READERS: dict[str, Callable[[Stream, Floats], Ints]] = {
    "ParetoBandit, 25 dims of text": paretobandit,
    "LinUCB .3, 25 dims (PILOT-like)": lambda s, x: mabwiser(s, x, "LinUCB", 0.3),
}


def main(stream_path: str, arms_path: str) -> None:
    logging.disable(logging.WARNING)
    found = np.load(stream_path, allow_pickle=False)
    texts = json.loads(found["texts"].tobytes()) if found["texts"].size else []
    text = embedded(texts) if any(texts) else None
    stream = Stream(found["task_class"], found["value"], int(found["seed"]), text)
    wanted = json.loads(str(found["peers"])) or [*PEERS, *READERS]
    arms = {name: PEERS[name](stream) for name in wanted if name in PEERS}
    if text is not None:
        arms |= {name: READERS[name](stream, text) for name in wanted if name in READERS}
    np.savez(arms_path, allow_pickle=False, **arms)


if __name__ == "__main__":
    main(*sys.argv[1:3])
