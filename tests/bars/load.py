"""The load of bar B1: decisions, and sixteen writers that always have one acknowledged write each in flight."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from naiad.v1 import content_pb2 as content
from naiad.v1 import feedback_pb2 as judged
from naiad.v1 import feedback_service_pb2 as feedback
from naiad.v1 import feedback_service_pb2_grpc, router_service_pb2_grpc
from naiad.v1 import router_service_pb2 as router

IN_FLIGHT = 16  # acknowledged writes under way at each kill
WRITERS = 24  # more, for a group commit answers many at once
DECIDERS = 2
_AHEAD = 48  # decisions kept ready for the writers
_CALL_S = 30.0
_CLASSES = 5


@dataclass(slots=True)
class Write:
    """One write that is to be acknowledged: how to send it again, and where the log must show it."""

    kind: str  # outcome, feedback or completion
    request: Any
    decision_id: str
    attempt: str
    rater: str = ""
    tokens: int = 0

    @property
    def request_id(self) -> str:
        """The idempotency key."""
        return str(self.request.request_id)


@dataclass
class Book:
    """What the client knows: answered decisions, acknowledged writes, and writes whose fate is unknown."""

    decisions: list[str] = field(default_factory=list)  # answered by Decide
    acked: dict[str, Write] = field(default_factory=dict)  # by request id
    unknown: dict[str, Write] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def uid_of(decision_id: str) -> int:
    """Return the unique number in a decision id: eight bytes, then four of names and a MAC of sixteen."""
    text = decision_id[1:]
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[-28:-20], "big")


class Load:
    """One spell of load against one server; `ending` says that failures are expected from now on."""

    def __init__(self, address: str, book: Book, rng: random.Random, label: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)
        self.router = router_service_pb2_grpc.RouterServiceStub(self.channel)
        self.feedback = feedback_service_pb2_grpc.FeedbackServiceStub(self.channel)
        self.book = book
        self.rng = rng
        self.label = label
        self.in_flight = 0
        self.ending = False
        self.new_decisions: list[str] = []
        self.new_acks: list[Write] = []
        self.refused: list[Write] = []
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._serial = 0
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Start deciders and writers."""
        self._tasks = [asyncio.create_task(self._forever(self._decide)) for _ in range(DECIDERS)]
        self._tasks += [asyncio.create_task(self._forever(self._write)) for _ in range(WRITERS)]

    async def end(self) -> None:
        """Wait until every task has seen the server's end, and close the channel."""
        self.ending = True
        _, late = await asyncio.wait(self._tasks, timeout=_CALL_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if late:
            self.book.errors.append(f"{self.label}: {len(late)} calls were still open {_CALL_S:g} s after the end")
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        await self.channel.close()

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        while not self.ending:
            try:
                await step()
            except grpc.aio.AioRpcError as error:
                if not self.ending:
                    self.book.errors.append(f"{self.label}: {error.code().name}: {error.details()}")
                return

    async def _decide(self) -> None:
        if self._ready.qsize() > _AHEAD:
            await asyncio.sleep(0.005)
            return
        name = f"kill.c{self.rng.randrange(_CLASSES)}"
        reply = await self.router.Decide(router.DecideRequest(task_class=name), timeout=_CALL_S)
        self.book.decisions.append(reply.decision_id)
        self.new_decisions.append(reply.decision_id)
        self._ready.put_nowait(reply.decision_id)

    async def _write(self) -> None:
        kind = self.rng.choice(("outcome", "feedback", "feedback", "completion"))
        if kind == "completion":
            write = self._completion()
        else:
            try:
                decision_id = await asyncio.wait_for(self._ready.get(), 0.05)
            except TimeoutError:
                return
            write = self._outcome(decision_id) if kind == "outcome" else self.judgement(decision_id)
        await self.send(write)

    def _name(self) -> str:
        self._serial += 1
        return f"{self.label}-{self._serial}"

    def _completion(self) -> Write:
        message = content.Message(role=content.ROLE_USER, parts=[content.Part(text="ping")])
        name = f"kill.c{self.rng.randrange(_CLASSES)}"
        request = router.CompleteRequest(task_class=name, messages=[message], request_id=self._name())
        return Write("completion", request, "", "")

    def _outcome(self, decision_id: str) -> Write:
        name, tokens = self._name(), self.rng.randrange(1, 2_000)
        request = feedback.ReportOutcomeRequest(
            decision_id=decision_id, attempt_id=f"a{name}", input_tokens=10, output_tokens=tokens, request_id=name
        )
        request.latency.FromMicroseconds(self.rng.randrange(1_000, 3_000_000))
        return Write("outcome", request, decision_id, request.attempt_id, tokens=tokens)

    def judgement(self, decision_id: str) -> Write:
        """Return a judgement of a decision by a rater who never judged before."""
        name = self._name()
        request = feedback.ReportFeedbackRequest(
            decision_id=decision_id, source=judged.FEEDBACK_SOURCE_HUMAN, rater_id=f"r{name}",
            score=self.rng.randrange(101) / 100, request_id=name,
        )  # fmt: skip
        return Write("feedback", request, decision_id, "", rater=request.rater_id)

    async def send(self, write: Write) -> None:
        """Send a write and note the acknowledgement; its fate is unknown when this raises."""
        self.book.unknown[write.request_id] = write
        self.in_flight += 1
        try:
            if write.kind == "completion":
                reply = await self.router.Complete(write.request, timeout=_CALL_S)
                write.decision_id, write.attempt = reply.decision_id, reply.attempt_id
            elif write.kind == "outcome":
                await self.feedback.ReportOutcome(write.request, timeout=_CALL_S)
            else:
                await self.feedback.ReportFeedback(write.request, timeout=_CALL_S)
        except grpc.aio.AioRpcError:
            self.refused.append(write)
            raise
        finally:
            self.in_flight -= 1
        del self.book.unknown[write.request_id]
        self.book.acked[write.request_id] = write
        self.new_acks.append(write)
