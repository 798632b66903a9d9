"""Peers on one stream, in a Python of their own (`make peers`); reads a stream, writes the arms that each chose.

    .venv-peers/bin/python benchmarks/routing/peers_main.py STREAM.npz ARMS.npz

STREAM holds `task_class` (T,), `value` (T, M) and `seed`. Only numpy and the peers are imported, nothing of ours.
Settings are those that each project's own documents recommend; where it offers several, all are run.
"""

import json
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def vowpal(task_class: Ints, value: Floats, seed: int, flags: str) -> Ints:
    """Vowpal Wabbit, action-dependent features, class crossed with model; costs are 1 - value."""
    import vowpalwabbit  # type: ignore[import-not-found]

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


def mabwiser(task_class: Ints, value: Floats, seed: int) -> Ints:
    """MABWiser's LinTS on the class as one-hot features, its defaults (alpha 1, l2 1)."""
    from mabwiser.mab import MAB, LearningPolicy  # type: ignore[import-not-found]

    steps, n_models = value.shape
    eye = np.eye(int(task_class.max()) + 1)
    mab = MAB(list(range(n_models)), LearningPolicy.LinTS(alpha=1.0, l2_lambda=1.0), seed=seed)
    mab.fit(list(range(n_models)), [0.0] * n_models, np.zeros((n_models, eye.shape[0])))  # it must be fitted once
    arms = np.zeros(steps, dtype=np.int64)
    for step in range(steps):
        x = eye[task_class[step]][None]
        arm = int(mab.predict(x))
        arms[step] = arm
        mab.partial_fit([arm], [value[step, arm]], x)
    return arms


def bayesian(task_class: Ints, value: Floats, seed: int) -> Ints:
    """bayesianbandits' Thompson sampling over NormalInverseGammaRegressor on the class as one-hot features."""
    from bayesianbandits import (  # type: ignore[import-not-found]
        Arm,
        ContextualAgent,
        NormalInverseGammaRegressor,
        ThompsonSampling,
    )

    steps, n_models = value.shape
    eye = np.eye(int(task_class.max()) + 1)
    agent = ContextualAgent(
        [Arm(m, learner=NormalInverseGammaRegressor()) for m in range(n_models)],
        ThompsonSampling(),
        random_seed=seed,
    )
    arms = np.zeros(steps, dtype=np.int64)
    for step in range(steps):
        x = eye[task_class[step]][None]
        (arm,) = agent.pull(x)
        arms[step] = arm
        agent.update(x, np.array([value[step, arm]]))
    return arms


PEERS: dict[str, Callable[[Ints, Floats, int], Ints]] = {
    "VW epsilon .05": lambda c, v, s: vowpal(c, v, s, "--epsilon 0.05"),
    "VW squarecb": lambda c, v, s: vowpal(c, v, s, "--squarecb"),
    "VW regcb": lambda c, v, s: vowpal(c, v, s, "--regcb"),
    "MABWiser LinTS": mabwiser,
    "bayesianbandits NIG": bayesian,
}


def main(stream_path: str, arms_path: str) -> None:
    stream = np.load(stream_path, allow_pickle=False)
    task_class, value, seed = stream["task_class"], stream["value"], int(stream["seed"])
    wanted = json.loads(str(stream["peers"])) or list(PEERS)
    np.savez(arms_path, allow_pickle=False, **{name: PEERS[name](task_class, value, seed) for name in wanted})


if __name__ == "__main__":
    main(*sys.argv[1:3])
