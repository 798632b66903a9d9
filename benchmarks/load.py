"""Load on a Decide server: distinct contexts with judgements in between, in closed and in open loop."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from time import perf_counter, process_time

from benchmarks.wire import Connection, Reply, WireError
from naiad.v1 import feedback_pb2, feedback_service_pb2, router_service_pb2

DECIDE = "RouterService/Decide"
FEEDBACK = "FeedbackService/ReportFeedback"
OUTCOME = "FeedbackService/ReportOutcome"
FEEDBACK_EVERY = 8  # Decides to one ReportFeedback
_POOL = 4_096
_PATIENCE_S = 20.0


class Work:
    """What is asked: prepared Decide requests, all different, and a judgement of every so many decisions."""

    def __init__(self, classes: list[str], qualities: dict[str, float], *, every: int = FEEDBACK_EVERY) -> None:
        self.rng = random.Random("load")
        self._qualities = qualities
        self._every = every
        self._since = self._turn = 0
        self._pool = [
            router_service_pb2.DecideRequest(
                task_class=classes[i % len(classes)],
                workflow=f"flow-{i % 5}",
                input_tokens=50 + i,
                max_output_tokens=256 + self.rng.randrange(1_024),
            ).SerializeToString()
            for i in range(_POOL)
        ]

    def decide(self, connection: Connection) -> int:
        """Begin the next Decide; return its stream."""
        self._turn += 1
        return connection.send(DECIDE, self._pool[self._turn % _POOL])

    def answered(self, connection: Connection, reply: Reply) -> bool:
        """Take a reply in, judge its decision if it is time to; return whether it was a Decide's."""
        if reply.method != DECIDE:
            return False
        self._since += 1
        if self._since >= self._every and reply.status == "0":
            self._since = 0
            decided = router_service_pb2.DecideResponse.FromString(reply.message)
            quality = self._qualities.get(decided.model, 0.5) + self.rng.gauss(0.0, 0.15)
            self.judge(connection, decided.decision_id, min(1.0, max(0.0, quality)))
        return True

    def judge(self, connection: Connection, decision_id: str, score: float) -> int:
        """Begin a ReportFeedback; return its stream."""
        request = feedback_service_pb2.ReportFeedbackRequest(
            decision_id=decision_id, source=feedback_pb2.FEEDBACK_SOURCE_JUDGE, score=score
        )
        return connection.send(FEEDBACK, request.SerializeToString())


def drain(connection: Connection, work: Work | None = None) -> int:
    """Read until nothing is in flight; return how many Decides that were. Raises WireError when it takes too long."""
    limit = perf_counter() + _PATIENCE_S
    decides = 0
    while connection.in_flight:
        if perf_counter() > limit:
            raise WireError(f"{connection.in_flight} calls had no reply after {_PATIENCE_S} s")
        for reply in connection.receive(1.0):
            decides += reply.method == DECIDE
            if work is not None:
                work.answered(connection, reply)
    return decides


def one_at_a_time(connection: Connection, work: Work, calls: int) -> list[float]:
    """Return the times of so many Decides, each after the one before, in seconds; judgements go between them."""
    took = []
    for _ in range(calls):
        began = perf_counter()
        work.decide(connection)
        while not (replies := connection.receive(_PATIENCE_S)):
            if perf_counter() - began > _PATIENCE_S:
                raise WireError("no reply to Decide")
        took.append(replies[0].at_s - began)
        for reply in replies:
            work.answered(connection, reply)
        drain(connection, work)
    return took


@dataclass(frozen=True, slots=True)
class Rate:
    """What a closed loop came to: Decides a second and in all, and the share of its core that the load itself used."""

    per_s: float
    calls: int  # those that ended after the time was up included
    load_share: float


def closed_loop(connection: Connection, work: Work, in_flight: int, seconds: float) -> Rate:
    """Keep so many Decides in flight for so long; judgements come on top."""
    began, cpu = perf_counter(), process_time()
    stop = began + seconds
    done = 0
    for _ in range(in_flight):
        work.decide(connection)
    while perf_counter() < stop:
        for reply in connection.receive(0.1):
            if work.answered(connection, reply) and reply.at_s < stop:
                done += 1
                work.decide(connection)
    share = (process_time() - cpu) / (perf_counter() - began)
    calls = done + drain(connection, work)
    return Rate(done / seconds, calls, share)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Times from when each Decide was due to its reply, in seconds, and how late the load sent at worst."""

    asked_per_s: float
    took_s: list[float] = field(repr=False)
    latest_send_s: float


def open_loop(connection: Connection, work: Work, per_s: float, seconds: float) -> Latencies:
    """Send Decides at the times of a Poisson process, whatever the replies do.

    A reply's time counts from when its request was due, so a stall is charged to all who would have come meanwhile.
    """
    due, at = [], work.rng.expovariate(per_s)
    while at < seconds:
        due.append(at)
        at += work.rng.expovariate(per_s)
    began = perf_counter()
    waiting: dict[int, float] = {}
    took: list[float] = []
    latest, sent = 0.0, 0
    while len(took) < len(due):
        now = perf_counter() - began
        if now > seconds + _PATIENCE_S:
            raise WireError(f"{len(due) - len(took)} of {len(due)} Decides had no reply {_PATIENCE_S} s after the last")
        while sent < len(due) and due[sent] <= now:
            waiting[work.decide(connection)] = due[sent]
            latest = max(latest, now - due[sent])
            sent += 1
        for reply in connection.receive(max(0.0, due[sent] - now) if sent < len(due) else 1.0):
            if work.answered(connection, reply):
                took.append(reply.at_s - began - waiting.pop(reply.stream))
    drain(connection, work)
    return Latencies(per_s, took, latest)
