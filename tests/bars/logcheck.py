"""What a stopped server's database holds of each acknowledged write: exactly one event with the same facts, or not."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.bars.load import Write, uid_of

_SCALE = 1_000_000


class LogView:
    """The log and the kept replies, read with the standard library alone from a file that no server holds."""

    def __init__(self, database: Path) -> None:
        self.outcomes: dict[tuple[int, str], list[Any]] = defaultdict(list)  # (uid, attempt) -> events
        self.ratings: dict[tuple[int, str], list[Any]] = defaultdict(list)  # (uid, rater) -> ratings
        self.decided: dict[int, int] = defaultdict(int)  # uid -> how often
        self.gaps: list[int] = []
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            self.integrity = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
            self.replies: dict[str, Any] = {
                request_id: json.loads(reply)
                for request_id, reply in connection.execute("SELECT request_id, reply FROM requests")
            }
            last = 0
            for sequence, payload in connection.execute("SELECT seq, payload FROM events ORDER BY seq"):
                if sequence != last + 1:
                    self.gaps.append(sequence)
                last = sequence
                self._take(json.loads(payload))
        finally:
            connection.close()
        self.events = last

    def _take(self, event: Any) -> None:
        if event["kind"] == "decided":
            self.decided[event["uid"]] += 1
        elif event["kind"] == "outcome":
            self.outcomes[event["uid"], event["attempt"]].append(event)
        elif event["kind"] == "feedback":
            for rating in event["ratings"]:
                self.ratings[event["uid"], rating["rater"]].append(rating)

    def faults(self, acked: Iterable[Write]) -> list[str]:
        """Return what is wrong with the log as such and with each acknowledged write."""
        found = [] if self.integrity == "ok" else [f"integrity_check: {self.integrity}"]
        found += [f"the sequence has a gap before {gap}" for gap in self.gaps]
        found += [f"decision {uid} is there {n} times" for uid, n in self.decided.items() if n != 1]
        for write in acked:
            found.extend(self._fault(write))
        return found

    def _fault(self, write: Write) -> Iterable[str]:
        name = f"acknowledged {write.kind} {write.request_id}"
        reply = self.replies.get(write.request_id)
        if reply is None:
            yield f"{name}: its reply is not kept"
            return
        if write.kind == "completion":
            # After a retry whose answer was gone the client does not know the decision: the kept reply names it.
            uid, attempt = (uid_of(write.decision_id) if write.decision_id else reply["uid"]), reply["attempt"]
            events = self.outcomes.get((uid, attempt), [])
            if len(events) != 1 or events[0]["outcome"].get("failed", False):
                yield f"{name}: {len(events)} outcomes in the log"
        elif write.kind == "outcome":
            events = self.outcomes.get((uid_of(write.decision_id), write.attempt), [])
            if len(events) != 1 or events[0]["outcome"]["usage"]["output_tokens"] != write.tokens:
                yield f"{name}: {len(events)} outcomes in the log, or others than reported"
        else:
            ratings = self.ratings.get((uid_of(write.decision_id), write.rater), [])
            wanted = round(write.request.score * _SCALE)
            if [rating["value"] for rating in ratings] != [wanted]:
                yield f"{name}: {len(ratings)} ratings in the log, or another score than given"
