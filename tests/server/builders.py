"""Small engines for tests: a catalogue of priced models, known task classes, no store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from naiad.bandit.belief import BeliefSettings
from naiad.bandit.statistics import SCALE
from naiad.server.decision_id import Signer
from naiad.server.eligibility import Needs
from naiad.server.engine import Engine, EngineSettings, Query
from naiad.server.ledger import Entry, take_ratings
from naiad.server.records import Event, ModelPut, ObjectiveSpec, PolicySet, Prices, Rating, TaskClassPut

SIGNER = Signer({1: b"k" * 32}, 1)
PRICES = Prices(input=100_000_000, output=400_000_000)


def model(index: int, name: str = "", **fields: Any) -> ModelPut:
    """Return a priced model behind the endpoint "echo"."""
    values: dict[str, Any] = {"upstream_model": f"m{index}", "endpoint": "echo", "prices": PRICES} | fields
    return ModelPut(model=index, name=name or f"echo/m{index}", **values)


def engine(
    models: Iterable[ModelPut] = (),
    classes: Iterable[TaskClassPut] = (),
    *,
    policy: PolicySet | None = None,
    endpoints: frozenset[str] = frozenset({"echo"}),
) -> Engine:
    """Return an engine with these models (three if none are given) and task classes ("a" if none are given)."""
    made = Engine(EngineSettings(belief=BeliefSettings(), endpoints=endpoints), SIGNER)
    sequence = 0
    events: list[Event] = [*(tuple(models) or (model(0), model(1), model(2)))]
    events += tuple(classes) or (TaskClassPut(task_class=0, name="a"),)
    for event in events:
        sequence += 1
        made.apply(sequence, event)
    if policy is not None:
        made.apply(sequence + 1, policy)
    return made


def policy(models: tuple[str, ...] = (), objective: ObjectiveSpec | None = None, **fields: Any) -> PolicySet:
    """Return a policy with the built-in defaults where nothing is said."""
    values: dict[str, Any] = {"temper": 0.5, "exploration": 0.01, "allowance": 0.05} | fields
    return PolicySet(version=1, objective=objective or ObjectiveSpec(), models=models, **values)


def query(task_class: str = "a", **fields: Any) -> Query:
    """Return a query for 100 tokens in and 100 out."""
    needs = fields.pop("needs", Needs(100, 100))
    return Query(task_class=task_class, needs=needs, **fields)


def judge(made: Engine, task_class: int, model_id: int, score: float, uid: int) -> None:
    """Let the engine learn one human score of one arm."""
    entry = Entry(uid=uid, task_class=task_class, model=model_id, ordinal=0)
    rating = Rating(source=1, rater="", value=round(score * SCALE))
    made.apply(made.sequence + 1, take_ratings(entry, ("1",), (rating,), 0)[1])
