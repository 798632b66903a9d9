"""Answers kept for identical requests: exact match, in memory, only for task classes whose operator asked for it.

A request's *place* is a keyed digest of all that shapes its answer, and holds none of it. An answer that is kept may be
given again for `cache_s` seconds to requests of the same place, if the rules of that moment let the request see the
model that made it: each hit passes the choke point as a call does. It is a repetition of what a decision gave, not
another decision: it refers to that one, costs nothing, and teaches nothing (docs/decisions/0028-cache.md).
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import msgspec
import structlog

from naiad.adapters.base import Answer, FinishReason, TextPart, ToolCallPart
from naiad.server.cache_settings import CacheSettings
from naiad.server.completion import Completion
from naiad.server.egress import Egress
from naiad.server.eligibility import Capability, Permit
from naiad.server.engine import Decision, Engine, Query
from naiad.server.errors import NaiadError
from naiad.server.inventory import UNCLASSIFIED
from naiad.server.notices import Notice
from naiad.server.records import Decided, ModelPut, decode, encode
from naiad.server.walk import Task

log = structlog.get_logger(__name__)

_WHOLE = frozenset({FinishReason.STOP, FinishReason.TOOL_CALLS})
_OVERHEAD_BYTES = 900  # of an entry beyond its texts, its decision id included, as measured
_MANNERS = frozenset({int(Capability.STREAMING)})  # how an answer comes, not what is in it
_SWEEP_S = 30.0  # between two searches for answers that are too old
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request's answer is kept, and who may have it."""

    key: bytes
    seconds: float
    permit: Permit
    query: Query
    task: Task


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    decision_id: str
    record: bytes  # of the decision, as the log has it
    attempt: str
    model: ModelPut  # as it was when it answered
    kept_s: float  # monotonic
    until_s: float
    size: int  # bytes
    parts: frozenset[int] = frozenset()  # of a composite: whose answers went into it
    notices: tuple[Notice, ...] = ()


class Cache:
    """The kept answers of one tenant; the one used least recently goes first."""

    def __init__(
        self, engine: Engine, egress: Egress, settings: CacheSettings, secret: bytes, monotonic: Callable[[], float]
    ) -> None:
        """Make an empty one; secret: 16 to 64 random bytes of this process, so that a key tells nothing of a text."""
        self._engine = engine
        self._egress = egress
        self._settings = settings
        self._secret = secret
        self._monotonic = monotonic
        self._kept: OrderedDict[bytes, _Entry] = OrderedDict()
        self._policy = -1  # version under which everything here was answered
        self._swept_s = monotonic()
        self.size_bytes = 0
        self.hits = self.misses = 0

    def __repr__(self) -> str:
        return f"Cache(entries={len(self._kept)}, size_bytes={self.size_bytes}, hits={self.hits}, misses={self.misses})"

    def __len__(self) -> int:
        return len(self._kept)

    def place(self, query: Query, task: Task) -> Place | None:
        """Return where the answer of a request is kept at this moment; None where it is not to be.

        What cannot be decided has no place either: deciding says why, with all its facts.
        """
        name = query.task_class or UNCLASSIFIED
        seconds = self._settings.seconds.get(name)
        if not seconds or self._engine.catalog.find_task_class(name) is None:
            return None
        query = msgspec.structs.replace(query, task_class=name)
        try:
            terms = self._engine.terms(query, at_present=False)  # a kept answer needs no provider that is well
        except NaiadError:
            return None
        if terms.treated is not None and terms.treated.no_store:
            return None
        key = blake2b(key=self._secret, digest_size=32)
        for part in (
            self._engine.policy.version, terms.task_class.task_class, query.workflow, query.data_class,
            terms.needs.data_class, terms.objective.numbers, terms.level, terms.order, int(terms.on_refusal),
            sorted(query.features.items()),
            sorted(terms.needs.allowed), sorted(terms.needs.key_models), sorted(terms.needs.capabilities - _MANNERS),
            *((f.name, getattr(task.request, f.name)) for f in fields(task.request)),
        ):  # fmt: skip
            key.update(_framed(part))
        return Place(key.digest(), seconds, self._engine.permit(terms), query, task)

    def find(self, place: Place) -> Completion | None:
        """Return the answer that is kept at a place, if the request may have it now."""
        self._clean()
        entry = self._kept.get(place.key)
        if entry is not None and not self._good(entry, place):
            self._drop(place.key)
            entry = None
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(place.key)
        age_s = self._monotonic() - entry.kept_s
        log.debug(
            "completion_cached", cache_hit=True, task_class=place.query.task_class, model=entry.model.name,
            age_s=round(age_s, 3),
        )  # fmt: skip
        record = decode(entry.record)
        if not isinstance(record, Decided):
            raise TypeError(f"{type(record).__name__} is kept where a decision should be")
        return Completion(
            Decision(entry.decision_id, record), entry.answer, entry.attempt, entry.model, (), age_s=age_s,
            notices=entry.notices,
        )  # fmt: skip

    def _good(self, entry: _Entry, place: Place) -> bool:
        """Return whether an entry may be given: young enough, by a model that is the same and permitted now."""
        present = self._engine.catalog.models[entry.model.model]
        same = (present.upstream_model, present.endpoint) == (entry.model.upstream_model, entry.model.endpoint)
        fresh = same and self._monotonic() < entry.until_s and self._egress.recall(place.permit, present.model)
        if not fresh or not entry.parts:
            return fresh
        parts = self._engine.eligibility.part_permit(place.permit, present.model)
        return all(self._egress.recall(parts, part) for part in entry.parts)

    def keep(self, place: Place, completion: Completion) -> None:
        """Keep an answer, if it is whole and the request still has the place that it had before it was asked."""
        answer, record = completion.answer, completion.decision.record
        if answer.finish not in _WHOLE or not answer.parts or record.no_store:
            return
        now = self.place(place.query, place.task)
        if now is None or now.key != place.key:
            return
        self._clean()
        kept = encode(record)
        size = _size(answer, completion.notices) + len(kept) + _OVERHEAD_BYTES
        at_s = self._monotonic()
        entry = _Entry(
            answer, completion.decision.decision_id, kept, completion.attempt, completion.model, at_s,
            at_s + place.seconds, size, completion.parts, completion.notices,
        )  # fmt: skip
        if not self._good(entry, now) or size > self._settings.size_bytes:
            return
        self._drop(place.key)
        self._kept[place.key] = entry
        self.size_bytes += size
        while len(self._kept) > self._settings.entries or self.size_bytes > self._settings.size_bytes:
            self._drop(next(iter(self._kept)))

    def _clean(self) -> None:
        """Forget what was answered under another policy, since no place leads there any more, and what is too old."""
        now_s = self._monotonic()
        if self._engine.policy.version != self._policy:
            self._policy = self._engine.policy.version
            self._kept.clear()
            self.size_bytes = 0
        elif now_s - self._swept_s > _SWEEP_S:
            self._swept_s = now_s
            for key in [key for key, entry in self._kept.items() if entry.until_s <= now_s]:
                self._drop(key)

    def _drop(self, key: bytes) -> None:
        entry = self._kept.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry.size


def _framed(part: Any) -> bytes:
    """Return a part of a key, so that no two lists of parts run together to the same bytes."""
    body = _encoder.encode(part)
    return len(body).to_bytes(8, "big") + body


def _size(answer: Answer, notices: Sequence[Notice]) -> int:
    """Return the bytes that an answer's texts take in memory."""
    texts = [text for notice in notices for text in (notice.message, *notice.metadata.values())]
    for part in answer.parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ToolCallPart):
            texts += (part.id, part.name, part.arguments)
    return sum(map(sys.getsizeof, texts)) + 200 * len(answer.parts) + 400 * len(notices)
