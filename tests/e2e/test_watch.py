"""WatchArms over a socket: snapshot, changes, cursors, restarts, slow readers, drain and refusals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from naiad.v1 import insight_pb2
from tests.e2e.live import BASE, Caller, Live, Process, Refusal, live
from tests.e2e.watching import Reader, table_of
from tests.server.reasons import check

SEED = int(os.environ.get("WATCH_SEED", "20260101"))
MODELS = "".join(
    f'[[models]]\nname = "echo/m{i}"\ninput_usd_per_million = 0.1\noutput_usd_per_million = 0.{i}\n'
    for i in range(1, 9)
)
CONFIG = BASE.replace("[server]", "[server]\nconcurrent_streams = 6") + MODELS

NO_CURSOR, OTHER_LIFE = insight_pb2.WATCH_RESTART_NO_CURSOR, insight_pb2.WATCH_RESTART_OTHER_LIFE
Open = Callable[..., Reader]


@pytest.fixture
def opened(api: Caller) -> Iterator[Open]:
    """Return a function that opens a reader of the module's server, which is closed in the end."""
    made: list[Reader] = []

    def make(**fields: Any) -> Reader:
        made.append(Reader(api.address, **fields))
        made[-1].open()
        return made[-1]

    yield make
    for reader in made:
        reader.close()


def listed(api: Caller, **only: Any) -> tuple[list[insight_pb2.Arm], int]:
    """Return all arms of a filter and their place in the log; nothing may be moving."""
    api.settle()
    found, token = [], ""
    while True:
        page = api.call("InsightService/ListArms", page_size=1_000, page_token=token, **only)
        found += list(page.arms)
        token = page.next_page_token
        if not token:
            return found, page.sequence


def taught(api: Caller, task_class: str, score: float = 0.9) -> Any:
    """Decide, report and judge once; return the receipt."""
    made = api.decide(task_class)
    api.outcome(made.decision_id)
    return api.score(made.decision_id, score)


def test_it_begins_with_what_is_listed(api: Caller, opened: Open) -> None:
    for index in range(25):  # with 10 models more than one response
        taught(api, f"wa.begin{index}")
    arms, sequence = listed(api)
    reader = opened()
    last = reader.catch_up(sequence)
    assert reader.table == table_of(arms)
    assert len(reader.responses) > 2
    assert [r.restart for r in reader.responses] == [NO_CURSOR] + [0] * (len(reader.responses) - 1)
    assert [r.checkpoint for r in reader.responses] == [False] * (len(reader.responses) - 1) + [True]
    assert not last.arms
    assert last.sequence == sequence
    cursors = [r.cursor for r in reader.responses[:-1]]
    assert len(set(cursors)) == len(cursors)


@pytest.mark.parametrize(
    "only", [{"task_class": "wa.one"}, {"model": "echo/m3"}, {"task_class": "wa.one", "model": "echo/m3"}]
)
def test_filters_are_those_of_the_list(api: Caller, opened: Open, only: dict[str, str]) -> None:
    taught(api, "wa.one")
    taught(api, "wa.two")
    reader = opened(**only)
    for _ in range(3):
        arms, sequence = listed(api, **only)
        reader.catch_up(sequence)
        assert reader.table == table_of(arms)
        taught(api, "wa.one")


def test_an_acknowledged_judgement_arrives(api: Caller, opened: Open) -> None:
    taught(api, "wa.news")
    reader = opened(task_class="wa.news")
    reader.catch_up(0)
    before = dict(reader.table)
    receipt = taught(api, "wa.news", 0.1)
    reader.catch_up(receipt.sequence)
    assert reader.table != before
    assert reader.table == table_of(listed(api, task_class="wa.news")[0])


def test_only_arms_that_moved_are_sent(api: Caller, opened: Open) -> None:
    """A decision without a judgement moves the traffic of its task class and nothing else."""
    taught(api, "wa.still")
    taught(api, "wa.moves")
    reader = opened()
    reader.catch_up(listed(api)[1])
    begun = len(reader.responses)
    api.decide("wa.moves")
    reader.catch_up(listed(api)[1])
    moved = [arm for response in reader.responses[begun:] for arm in response.arms]
    assert {arm.task_class for arm in moved} == {"wa.moves"}


def test_many_changes_become_few_updates(api: Caller, opened: Open) -> None:
    taught(api, "wa.many")
    reader = opened(task_class="wa.many", interval={"seconds": 2})
    reader.catch_up(0)
    begun = len(reader.responses)
    for _ in range(100):
        last = taught(api, "wa.many")
    reader.catch_up(last.sequence)
    updates = [r for r in reader.responses[begun:] if r.checkpoint]
    assert len(updates) < 20
    assert reader.table == table_of(listed(api, task_class="wa.many")[0])


def test_it_goes_on_where_it_broke_off(api: Caller, opened: Open) -> None:
    taught(api, "wa.resume")
    reader = opened(task_class="wa.resume")
    reader.catch_up(0)
    reader.stream.cancel()
    sequence = taught(api, "wa.resume").sequence
    reader.open()
    reader.catch_up(sequence)
    assert not any(r.restart for r in reader.responses)
    assert reader.table == table_of(listed(api, task_class="wa.resume")[0])
    reader.stream.cancel()
    reader.open()
    assert reader.read().checkpoint, "nothing was missed, so nothing is sent"


def test_a_random_history_with_breaks_is_rebuilt(api: Caller) -> None:
    """Readers that break off anywhere, inside of updates too, hold in the end what is listed."""
    rng = Random(SEED)
    filters: list[dict[str, Any]] = [{}, {"task_class": "wa.random1"}, {"model": "echo/m2"}]
    for index in range(30):
        api.decide(f"wa.random{index}")
    readers = [Reader(api.address, **only) for only in filters]
    for reader in readers:
        reader.open()
    made: list[Any] = []
    gone: set[str] = set()
    for _ in range(60):
        match rng.choice(["decide", "outcome", "score", "retract", "model", "class", "read", "break"]):
            case "decide":
                made.append(api.decide(f"wa.random{rng.randrange(30)}"))
            case "outcome" if made:
                api.outcome(rng.choice(made).decision_id, attempt_id=str(rng.random()))
            case "score" if made:
                api.score(rng.choice(made).decision_id, rng.random(), rater_id=str(rng.randrange(3)))
            case "retract" if made:
                given = api.score(rng.choice(made).decision_id, 0.0, rater_id="once")
                api.call("FeedbackService/RetractFeedback", feedback_id=given.feedback_id)
            case "model":
                change_model(api, gone)
            case "class":
                api.call("CatalogService/CreateTaskClass", task_class={"name": f"wa.random.made{rng.random()}"})
            case "read":
                rng.choice(readers).read()
            case "break":
                reader = rng.choice(readers)
                reader.stream.cancel()
                reader.open()
    if gone:
        change_model(api, gone)
    for only, reader in zip(filters, readers, strict=True):
        arms, sequence = listed(api, **only)
        reader.catch_up(sequence)
        assert reader.table == table_of(arms), f"WATCH_SEED={SEED} {only}"
        reader.close()


def change_model(api: Caller, gone: set[str]) -> None:
    """Delete a model, or create it again."""
    if gone:
        api.call("CatalogService/CreateModel", model={"name": gone.pop(), "prices": {}})
    else:
        api.call("CatalogService/DeleteModel", name="echo/m8")
        gone.add("echo/m8")


def test_deleted_arms_are_removed(api: Caller, opened: Open) -> None:
    for name in ("wa.gone", "wa.stays"):
        taught(api, name)
    reader, one = opened(), opened(task_class="wa.gone")
    for each in (reader, one):
        each.catch_up(listed(api)[1])
    api.call("CatalogService/DeleteTaskClass", name="wa.gone")
    arms, sequence = listed(api)
    reader.catch_up(sequence)
    assert reader.table == table_of(arms)
    one.catch_up(sequence)
    assert one.table == {}
    one.stream.cancel()
    one.open()
    with pytest.raises(Refusal) as caught:
        one.read()
    assert caught.value.reason == "TASK_CLASS_DELETED"


def test_a_reader_that_does_not_read_costs_no_memory(served: Live, opened: Open) -> None:
    """Its stream stands still while another's moves on, and in the end it is sent what is, not what was."""
    api = served.caller
    for index in range(60):
        api.decide(f"wa.slow{index}")
    quick, slow = opened(), opened()
    for reader in (quick, slow):
        reader.catch_up(0)
    begun, size = len(slow.responses), resident_kib(served.process)
    full = 0
    while full < 15 * len(slow.table):
        last = taught(api, "wa.slow1")  # moves every arm
        quick.catch_up(last.sequence)
        full += sum(len(r.arms) for r in quick.responses)
        quick.responses.clear()
    grown = resident_kib(served.process) - size
    slow.catch_up(last.sequence)
    assert slow.table == quick.table == table_of(listed(api)[0])
    assert sum(len(r.arms) for r in slow.responses[begun:]) < full / 2, "what moved was kept for it"
    assert grown < 20_000


def resident_kib(process: Process) -> int:
    """Return the memory that a process holds, in KiB."""
    status = Path(f"/proc/{process.process.pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmRSS")).split()[1])


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_drain_ends_the_streams_and_another_life_begins_again(tmp_path: Path) -> None:
    process = Process(tmp_path)
    caller = Caller(process.address)
    taught(caller, "wa.drain")
    reader, silent = Reader(process.address), Reader(process.address)
    for each in (reader, silent):
        each.open()
    reader.catch_up(0)
    cursor = reader.cursor
    process.process.send_signal(signal.SIGTERM)
    with pytest.raises(Refusal) as caught:
        while True:
            reader.read()
    refusal = caught.value
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "DRAINING")
    assert refusal.retry_after_s is not None
    check(refusal.reason, refusal.code, refusal.metadata)
    assert process.stop() == 0, process.errors()
    for closing in (caller, reader, silent):
        closing.close()

    with live(tmp_path) as running:
        again = Reader(running.process.address)
        again.cursor = cursor
        again.table = dict(reader.table)
        again.table["left", "over"] = insight_pb2.Arm()
        again.open()
        again.catch_up(0)
        assert [r.restart for r in again.responses] == [OTHER_LIFE, 0]
        assert again.table == table_of(listed(running.caller)[0])
        again.close()


def test_a_deadline_ends_the_stream(opened: Open) -> None:
    reader = opened(patience_s=0.5)
    with pytest.raises(Refusal) as caught:
        while True:
            reader.read()
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_streams_have_a_limit_of_their_own(api: Caller, opened: Open) -> None:
    readers = [opened() for _ in range(6)]
    for reader in readers:
        reader.read()
    with pytest.raises(Refusal) as caught:
        opened().read()
    assert (caught.value.reason, caught.value.metadata["limit"]) == ("OVERLOADED", "6")
    check(caught.value.reason, caught.value.code, caught.value.metadata)
    api.decide("wa.limit")
    for reader in readers:  # those that broke off make room
        reader.stream.cancel()
    for _ in range(1_000):
        with suppress(Refusal):
            opened().read()
            return
    raise AssertionError("the places stay taken")


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"task_class": "wa.nowhere"}, "UNKNOWN_TASK_CLASS", ""),
        ({"task_class": "no spaces"}, "INVALID_ID", "task_class"),
        ({"model": "echo/nothing"}, "UNKNOWN_MODEL", ""),
        ({"model": "noslash"}, "INVALID_ID", "model"),
        ({"interval": {"nanos": 99_000_000}}, "NUMBER_OUT_OF_RANGE", "interval"),
        ({"interval": {"seconds": 3_601}}, "NUMBER_OUT_OF_RANGE", "interval"),
        ({"interval": {"seconds": -1}}, "NUMBER_OUT_OF_RANGE", "interval"),
        ({"interval": {"seconds": 1, "nanos": -1}}, "INVALID_FORMAT", "interval"),
        ({"cursor": "x"}, "CURSOR_INVALID", "cursor"),
        ({"cursor": "x" * 100_000}, "CURSOR_INVALID", "cursor"),
        ({"cursor": "0" * 16 + ".1." + "0" * 12}, "CURSOR_INVALID", "cursor"),
    ],
)
def test_refusals(api: Caller, opened: Open, fields: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(Refusal) as caught:
        opened(**fields).read()
    refusal = caught.value
    assert refusal.reason == reason
    check(refusal.reason, refusal.code, refusal.metadata)
    assert refusal.metadata.get("field", "") == field


def test_a_cursor_of_another_filter_or_of_the_future_is_refused(api: Caller, opened: Open) -> None:
    taught(api, "wa.filter")
    reader = opened()
    cursor = reader.catch_up(0).cursor
    life, _, scope = cursor.split(".")
    for fields in ({"task_class": "wa.filter", "cursor": cursor}, {"cursor": f"{life}.{10**12:x}.{scope}"}):
        with pytest.raises(Refusal) as caught:
            opened(**fields).read()
        assert caught.value.reason == "CURSOR_INVALID"
        assert caught.value.metadata["value"].startswith(life)
