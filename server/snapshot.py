"""An engine's state as checksummed bytes: a cache of the log up to a sequence, never the truth."""

from __future__ import annotations

import base64
import hashlib
from collections import deque

import msgspec

from naiad.bandit import codec
from naiad.bandit.drift import WatchState
from naiad.server import ceilings, spending
from naiad.server.budgets import State
from naiad.server.engine import Engine
from naiad.server.records import DriftAlarmed, ModelPut, PolicySet, TaskClassPut
from naiad.server.sessions import Turn
from naiad.server.traffic import ArmTraffic

REDUCER_VERSION = 5  # grows when the same log would fold to another state; older snapshots are then ignored


class CorruptSnapshot(Exception):
    """The bytes are not a snapshot that this version can use; fold the log instead."""


class _State(msgspec.Struct, kw_only=True):
    reducer: int
    sequence: int
    last_uid: int
    policy: PolicySet
    models: list[ModelPut]
    task_classes: list[TaskClassPut]
    statistics: str
    caps: tuple[list[tuple[int, int]], int]  # under which raters have cells of their own
    arms: list[tuple[int, int, int, int, int, int]]
    recent: list[tuple[int, list[int]]]
    sessions: list[tuple[str, Turn]]
    steps: list[tuple[int, int, int, int]] = []  # (task class, cascade, member, times asked)
    alarms: list[DriftAlarmed] = []  # for display; what they do to evidence is in the statistics
    watches: list[WatchState] = []  # advisory
    budgets: list[State] = []  # advisory: without it a budget begins anew
    spending: spending.State | None = None  # advisory, too
    ceilings: ceilings.State | None = None
    ratios: list[tuple[int, int, int]] = []  # model, bytes, tokens


def dump(engine: Engine) -> bytes:
    """Return the state of an engine."""
    traffic = engine.traffic
    state = _State(
        reducer=REDUCER_VERSION,
        sequence=engine.sequence,
        last_uid=engine.last_uid,
        policy=engine.policy,
        models=engine.catalog.models,
        task_classes=engine.catalog.task_classes,
        statistics=base64.b64encode(codec.encode(engine.statistics)).decode("ascii"),
        caps=_caps(engine),
        arms=[(*key, a.pulls, a.attempts, a.failures, a.last_pull_ms) for key, a in sorted(traffic.arms.items())],
        recent=[(key, list(models)) for key, models in sorted(traffic.recent.items())],
        steps=[(*key, count) for key, count in sorted(engine.steps.asked.items())],
        sessions=engine.sessions.state(),
        alarms=[alarm for _, alarms in sorted(engine.drift.alarms.items()) for alarm in alarms],
        watches=engine.drift.state(),
        budgets=engine.budgets.state(),
        spending=engine.spending.state(),
        ceilings=engine.ceilings.state(),
        ratios=engine.ratios.state(),
    )
    body = msgspec.json.encode(state)
    return hashlib.sha256(body).digest() + body


def load(engine: Engine, data: bytes) -> None:
    """Put a fresh engine into the state of a snapshot; raises CorruptSnapshot and leaves it untouched otherwise."""
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise CorruptSnapshot("the snapshot's checksum does not match its content")
    try:
        state = msgspec.json.decode(data[32:], type=_State)
        statistics = codec.decode(base64.b64decode(state.statistics), engine.settings.belief.caps)
    except (msgspec.MsgspecError, ValueError, codec.CorruptStatistics) as error:
        raise CorruptSnapshot(f"the snapshot cannot be read: {error}") from error
    if state.reducer != REDUCER_VERSION:
        raise CorruptSnapshot(f"the snapshot was folded by reducer {state.reducer}; this is {REDUCER_VERSION}")
    if state.caps != _caps(engine):
        raise CorruptSnapshot("the snapshot was folded under other caps of influence")
    for task_class in state.task_classes:
        engine.apply(0, task_class)
    for model in state.models:
        engine.apply(0, model)
    engine.apply(state.sequence, state.policy)
    traffic = engine.traffic
    for task_class_id, model_id, pulls, attempts, failures, last in state.arms:
        traffic.arms[task_class_id, model_id] = ArmTraffic(pulls, attempts, failures, last)
        traffic.pulls[task_class_id] += pulls
    for task_class_id, models in state.recent:
        traffic.recent[task_class_id] = deque(models, maxlen=100)
    engine.steps.restore(state.steps)
    engine.restore(statistics, state.last_uid, state.sessions)
    engine.drift.restore(state.alarms, state.watches)
    engine.budgets.restore(state.budgets)
    if state.spending is not None:
        engine.spending.restore(state.spending)
    engine.ratios.restore(state.ratios)
    if state.ceilings is not None:
        engine.ceilings.restore(state.ceilings)


def _caps(engine: Engine) -> tuple[list[tuple[int, int]], int]:
    caps = engine.settings.belief.caps
    return sorted(caps.weights.items()), caps.anonymous
