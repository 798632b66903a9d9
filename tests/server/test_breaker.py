"""The breaker as a state machine: when it opens, who may probe, and that it always comes back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from naiad.server.breaker import FIRST_S, IN_A_ROW, LONGEST_S, PROBE_S, WINDOW, Breaker, State

CLOSED = Breaker()


def after(results: list[bool], breaker: Breaker = CLOSED, now_s: float = 0.0) -> Breaker:
    """Return the state after calls one after the other, each True where it went well."""
    for good in results:
        era = breaker.era
        breaker = breaker.succeeded(era) if good else breaker.failed(era, now_s)
    return breaker


def opened(trips: int = 1) -> Breaker:
    """Return a breaker that opened so often in a row, the last time at 0."""
    breaker = after([False] * IN_A_ROW)
    for _ in range(trips - 1):
        probing = breaker.begin(breaker.until_s)
        breaker = probing.failed(probing.era, 0.0)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    assert after([False] * (IN_A_ROW - 1)).state is State.CLOSED
    assert after([False] * (IN_A_ROW - 1) + [True] + [False] * (IN_A_ROW - 1)).state is State.CLOSED
    breaker = after([False] * IN_A_ROW, now_s=7.0)
    assert (breaker.state, breaker.until_s) == (State.OPEN, 7.0 + FIRST_S)
    assert "5 calls in a row failed" in breaker.why


def test_more_than_half_of_the_last_ones_open_it() -> None:
    half = [True, False] * (WINDOW // 2)
    assert after(half).state is State.CLOSED
    breaker = after([*half, False])  # one that went well has left the window
    assert (breaker.state, breaker.why) == (State.OPEN, "11 of the last 20 calls failed")
    worse = [False, False, False, True] * 5
    assert after(worse[: WINDOW - 1]).state is State.CLOSED, "19 are not enough to tell"
    assert after(worse).state is State.CLOSED, "a success does not open it"
    assert after([*worse, False]).state is State.OPEN


@given(st.lists(st.booleans(), max_size=80))
def test_it_opens_exactly_where_the_rule_says(results: list[bool]) -> None:
    breaker = CLOSED
    for made, good in enumerate(results, start=1):
        breaker = after([good], breaker)
        tail = results[max(0, made - WINDOW) : made]
        row = made >= IN_A_ROW and not any(results[made - IN_A_ROW : made])
        share = len(tail) == WINDOW and tail.count(False) > WINDOW / 2 and not good
        assert (breaker.state is State.OPEN) == (row or share)
        if breaker.state is State.OPEN:
            return


def test_one_probe_at_a_time() -> None:
    breaker = opened()
    assert not breaker.ready(breaker.until_s - 0.001)
    with pytest.raises(ValueError, match="the breaker is open"):
        breaker.begin(0.0)
    probing = breaker.begin(breaker.until_s)
    assert probing.state is State.HALF_OPEN
    assert not probing.ready(breaker.until_s + 1.0)
    assert probing.succeeded(probing.era).state is State.CLOSED
    assert probing.ready(breaker.until_s + PROBE_S), "a probe that never ends does not hold the place for ever"


def test_a_probe_that_takes_long_counts_still() -> None:
    first = opened().begin(10.0)
    second = first.begin(10.0 + PROBE_S)
    assert second.succeeded(first.era).state is State.CLOSED
    assert second.failed(first.era, 20.0).state is State.OPEN


def test_each_probe_that_fails_doubles_the_wait_up_to_the_longest() -> None:
    waits = []
    for trips in range(1, 8):
        waits.append(opened(trips).until_s)
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]
    closed = opened(4).begin(100.0)
    again = after([False] * IN_A_ROW, closed.succeeded(closed.era))
    assert again.until_s == FIRST_S, "a success begins anew"


def test_a_probe_that_is_given_up_frees_its_place() -> None:
    probing = opened().begin(5.0)
    free = probing.abandoned(probing.era)
    assert (free.state, free.ready(5.0)) == (State.OPEN, True)
    assert after([], CLOSED).abandoned(0) is CLOSED


def test_what_began_before_it_opened_is_not_heard() -> None:
    breaker = opened()
    assert breaker.failed(0, 50.0) is breaker
    assert breaker.succeeded(0) is breaker
    assert breaker.told_to_wait(0, 50.0, 9.0, "late") is breaker


def test_a_provider_s_own_word_opens_it_at_once() -> None:
    breaker = CLOSED.told_to_wait(0, 3.0, 40.0, "its quota is used up")
    assert (breaker.ready(42.9), breaker.ready(43.0), breaker.why) == (False, True, "its quota is used up")


@dataclass
class Call:
    era: int
    probe: bool
    began_s: float
    open: bool = True


@dataclass
class World:
    now_s: float = 0.0
    breaker: Breaker = CLOSED
    calls: list[Call] = field(default_factory=list)


class Traffic(RuleBasedStateMachine):
    """Any traffic at all: calls that begin and end in any order while time goes by."""

    @initialize()
    def begin(self) -> None:
        self.world = World()

    @rule(seconds=st.floats(0.0, 5.0))
    def time_goes_by(self, seconds: float) -> None:
        self.world.now_s += seconds

    @rule()
    def a_call_comes(self) -> None:
        world = self.world
        if world.breaker.ready(world.now_s):
            probe = world.breaker.state is not State.CLOSED
            world.breaker = world.breaker.begin(world.now_s)
            world.calls.append(Call(world.breaker.era, probe, world.now_s))

    @precondition(lambda self: any(call.open for call in self.world.calls))
    @rule(data=st.data(), how=st.sampled_from(["good", "bad", "gone", "busy"]))
    def a_call_ends(self, data: st.DataObject, how: str) -> None:
        world = self.world
        call = data.draw(st.sampled_from([c for c in world.calls if c.open]))
        call.open = False
        before = world.breaker
        if how == "good":
            world.breaker = before.succeeded(call.era)
        elif how == "bad":
            world.breaker = before.failed(call.era, world.now_s)
        elif how == "busy":
            world.breaker = before.told_to_wait(call.era, world.now_s, 2.0, "busy")
        else:
            world.breaker = before.abandoned(call.era)
        if before.state is not State.CLOSED and not call.probe:
            assert world.breaker is before, "only probes change what is not closed"

    @invariant()
    def at_most_one_fresh_probe(self) -> None:
        world = self.world
        fresh = [c for c in world.calls if c.open and c.probe and world.now_s < c.began_s + PROBE_S]
        current = [c for c in fresh if c.era == world.breaker.era and world.breaker.state is State.HALF_OPEN]
        assert len(current) <= 1

    @invariant()
    def a_provider_that_is_well_is_back_in_time(self) -> None:
        """From any state: once time passes and a probe goes well, it is closed."""
        world = self.world
        later = world.now_s + max(LONGEST_S, PROBE_S)
        assert world.breaker.ready(later)
        probe = world.breaker.begin(later)
        assert probe.succeeded(probe.era).state is State.CLOSED

    @invariant()
    def eras_only_grow(self) -> None:
        assert self.world.breaker.opened <= self.world.breaker.era


TestTraffic = Traffic.TestCase
