"""Runs the peers on a stream in a Python of their own, so that none of what they need comes into ours."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.routing.outcomes import Floats, Ints, Outcomes

_MAIN = Path(__file__).with_name("peers_main.py")


def peers(
    python: Path | None, outcomes: Outcomes, value: Floats, seed: int, wanted: Sequence[str] = ()
) -> dict[str, Ints]:
    """Return the arms that each peer chose, by name; nothing without a Python that has them.

    value: what choosing each model is worth, (T, M); a peer sees the chosen model's only. wanted: names, all if empty.
    """
    if python is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        stream, arms = Path(folder) / "stream.npz", Path(folder) / "arms.npz"
        texts = np.frombuffer(json.dumps(outcomes.texts).encode() if any(outcomes.texts) else b"", dtype=np.uint8)
        np.savez(
            stream, task_class=outcomes.task_class, value=value, seed=seed, peers=json.dumps(list(wanted)), texts=texts
        )
        subprocess.run([str(python), str(_MAIN), str(stream), str(arms)], check=True)
        with np.load(arms, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
