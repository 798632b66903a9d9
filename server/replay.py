"""Folding the log from event 0 in a fresh process, and the digests by which the result is compared."""

from __future__ import annotations

import struct
from typing import BinaryIO

import msgspec

from naiad.bandit.belief import BeliefSettings
from naiad.server.config import Config, belief_of
from naiad.server.decision_id import Signer
from naiad.server.engine import Engine, EngineSettings
from naiad.server.folding import check_foldable
from naiad.server.ledger import Entry, take_outcome, take_ratings
from naiad.server.records import DriftAlarmed, Event, FeedbackReported, OutcomeReported, decode
from naiad.server.sections import LearningSection

_FRAME = struct.Struct(">QI")


class LogMismatch(Exception):
    """An event of the log does not follow from those before it: it was altered, or written by a defect."""


class Digests(msgspec.Struct, frozen=True):
    """What an engine stands at: two engines are equal where these are."""

    sequence: int
    events: int
    statistics: str  # hex
    beliefs: str  # hex
    budgets: str = ""  # hex; what is spent and held of hard budgets

    @classmethod
    def of(cls, engine: Engine, events: int = 0) -> Digests:
        """Return the digests of an engine."""
        return cls(
            engine.sequence, events, engine.statistics_digest(), engine.belief_digest(), engine.ceilings.digest()
        )  # fmt: skip


class Replay:
    """Folds events one by one, and checks that each change of the statistics follows from the facts before it."""

    def __init__(self, belief: BeliefSettings) -> None:
        self.engine = Engine(EngineSettings(belief=belief), Signer({1: b"replays sign nothing" + bytes(12)}, 1))
        self._entries: dict[int, Entry] = {}
        self._events = 0

    def feed(self, sequence: int, event: Event) -> None:
        """Fold one event; raises LogMismatch."""
        expected = self.engine.sequence + 1
        if sequence != expected:
            raise LogMismatch(
                f"event {sequence} stands where event {expected} should: the log has a gap or was reordered; "
                "restore a backup"
            )
        try:
            check_foldable(self.engine, event)
        except LookupError as error:
            raise LogMismatch(f"event {sequence} cannot be folded: {error}; restore a backup") from error
        self._check(sequence, event)
        self.engine.apply(sequence, event)
        self._events += 1

    def _check(self, sequence: int, event: Event) -> None:
        if isinstance(event, DriftAlarmed):
            head = self.engine.statistics.head(event.model)
            if not (0 <= event.ordinal <= head and 0.0 < event.kept <= 1.0):
                raise LogMismatch(
                    f"event {sequence} puts a drift of model {event.model} at ordinal {event.ordinal} of {head} and "
                    f"keeps {event.kept:g} of its evidence; the log was altered: restore a backup"
                )
        if not isinstance(event, OutcomeReported | FeedbackReported):
            return
        entry = self._entries.get(event.uid) or Entry(
            uid=event.uid, task_class=event.task_class, model=event.first_model, ordinal=event.first_ordinal
        )
        followed: OutcomeReported | FeedbackReported
        if isinstance(event, OutcomeReported):
            after, followed = take_outcome(entry, event.attempt, event.outcome, event.at_ms)
        else:
            after, followed = take_ratings(entry, event.attempts, event.ratings, event.at_ms)
        if followed.changes != event.changes:
            raise LogMismatch(
                f"event {sequence} changes the statistics otherwise than the facts before it say; "
                "the log was altered: restore a backup"
            )
        self._entries[event.uid] = after

    def digests(self) -> Digests:
        """Return where the fold stands."""
        return Digests.of(self.engine, self._events)


def settings_of(config: Config) -> bytes:
    """Return the first frame of a stream: what the fold depends on besides the log."""
    body = msgspec.json.encode(config.file.learning)
    return _FRAME.pack(0, len(body)) + body


def frame(sequence: int, payload: bytes) -> bytes:
    """Return an event as it travels to the replaying process."""
    return _FRAME.pack(sequence, len(payload)) + payload


def fold_stream(stream: BinaryIO) -> Digests:
    """Fold a stream of frames, the settings first; raises LogMismatch or EOFError."""
    _, body = _read(stream) or (0, b"{}")
    replay = Replay(belief_of(msgspec.json.decode(body, type=LearningSection), "the stream"))
    while (found := _read(stream)) is not None:
        try:
            event = decode(found[1])
        except msgspec.MsgspecError as error:
            raise LogMismatch(f"event {found[0]} cannot be read: {error}; restore a backup") from error
        replay.feed(found[0], event)
    return replay.digests()


def _read(stream: BinaryIO) -> tuple[int, bytes] | None:
    head = stream.read(_FRAME.size)
    if not head:
        return None
    if len(head) < _FRAME.size:
        raise EOFError("the stream of events ends inside a frame")
    sequence, length = _FRAME.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        raise EOFError("the stream of events ends inside an event")
    return sequence, body
