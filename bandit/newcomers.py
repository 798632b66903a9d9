"""Newcomers' share of the traffic: a cap on what models that are hardly known may get together.

Thompson sampling gives a wide belief many calls, and it should; a cap bounds what that may cost while it lasts. Let q
be the newcomers' probability together and s < q the cap. Then

    a newcomer gets       p_a s / q
    any other model gets  (1 - s) p'_a,   p' the serving probabilities with the newcomers left out.

p' is solved anew. To scale p up instead would give each model its probability of being best *in those draws that beat
every newcomer*: such draws are high ones, so models with wide beliefs would get more than they do where there is no
newcomer. What is left to the others here is the Thompson sampling that they would have among themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from naiad.bandit.objective import Serving


def hold_back(
    serving: Serving, new: Sequence[bool], share: float, among: Callable[[list[int]], Serving]
) -> tuple[Serving, float | None]:
    """Return the serving with newcomers capped, and what they would have had together; None where no cap bound.

    new: which models are newcomers; among: serves the models at some positions as if there were no others. Where all
    models are new, or none is, nothing is capped.
    """
    held = sum(p for p, is_new in zip(serving.probabilities, new, strict=True) if is_new)
    others = [i for i, is_new in enumerate(new) if not is_new]
    if held <= share or not others:
        return serving, None
    rest = among(others)
    scale = share / held
    p = [own * scale for own in serving.probabilities]
    safe = list(serving.safe)
    for i, own, is_safe in zip(others, rest.probabilities, rest.safe or [True] * len(others), strict=True):
        p[i] = (1.0 - share) * own
        if safe:
            safe[i] = is_safe
    total = sum(p)
    return serving._replace(probabilities=[own / total for own in p], safe=safe), held
