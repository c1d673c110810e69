"""The pacer: simulated time follows the wall clock, and says so when it cannot."""

from __future__ import annotations

import pytest

from step_ros.nodes.pacing import OnDemandPacer, Pacer

EPOCH = 1_700_000_000_000_000_000
MILLISECOND = 1_000_000


class FakeClock:
    """A wall clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 5_000

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def pacer(clock: FakeClock, factor: float = 1.0) -> Pacer:
    return Pacer(100, factor, max_lag=0.030, monotonic_ns=clock, system_ns=lambda: EPOCH)


def run(pacer: Pacer, clock: FakeClock, periods: int) -> None:
    for _ in range(periods):
        clock.sleep(pacer.seconds_to_next())
        pacer.advance()


def test_stamps_are_the_system_clock_when_nothing_is_late(clock):
    paced, start = pacer(clock), clock.now
    run(paced, clock, 250)
    assert paced.stamp_ns == EPOCH + 2_500 * MILLISECOND == EPOCH + clock.now - start
    assert paced.slips == 0


def test_factor_two_takes_half_the_wall_time(clock):
    paced, start = pacer(clock, factor=2.0), clock.now
    run(paced, clock, 100)
    assert paced.stamp_ns - EPOCH == 1_000 * MILLISECOND
    assert clock.now - start == 500 * MILLISECOND


def test_small_delay_is_caught_up_without_a_gap(clock):
    paced = pacer(clock)
    run(paced, clock, 10)
    clock.sleep(0.025)
    assert paced.seconds_to_next() == 0.0
    paced.advance()
    assert paced.seconds_to_next() == 0.0, "the second period that fell due is simulated at once"
    assert paced.slips == 0
    assert paced.stamp_ns == EPOCH + 110 * MILLISECOND


def test_long_delay_is_given_up_and_the_stamps_skip_it(clock):
    paced, start = pacer(clock), clock.now
    run(paced, clock, 10)
    clock.sleep(2.0)
    assert paced.seconds_to_next() == 0.0
    assert paced.slips == 1
    assert paced.slipped_ns == 1_960 * MILLISECOND
    paced.advance()
    behind = (clock.now - start) - (paced.stamp_ns - EPOCH)
    assert 0 <= behind <= 30 * MILLISECOND


def test_stamps_never_go_back(clock):
    paced, last = pacer(clock), 0
    for pause in (0.0, 0.5, 0.001, 0.031, 3.0, 0.0):
        clock.sleep(pause + paced.seconds_to_next())
        paced.seconds_to_next()
        paced.advance()
        assert paced.stamp_ns > last
        last = paced.stamp_ns


def test_other_factors_keep_simulated_time_free_of_gaps(clock):
    paced = pacer(clock, factor=4.0)
    run(paced, clock, 10)
    clock.sleep(1.0)
    paced.seconds_to_next()
    paced.advance()
    assert paced.slips == 1
    assert paced.stamp_ns == EPOCH + 110 * MILLISECOND


def test_on_demand_only_as_many_periods_are_due_as_were_asked_for():
    pacer = OnDemandPacer(30)
    assert pacer.seconds_to_next() > 0
    pacer.request(2)
    for _ in range(2):
        assert pacer.seconds_to_next() == 0.0
        pacer.advance()
    assert pacer.seconds_to_next() > 0


def test_on_demand_stamps_are_the_nearest_nanosecond_and_do_not_depend_on_the_clock():
    pacer, start = OnDemandPacer(30), OnDemandPacer.START_NS
    stamps = []
    for _ in range(3):
        pacer.advance()
        stamps.append(pacer.stamp_ns - start)
    assert stamps == [33_333_333, 66_666_667, 100_000_000]


def test_on_demand_a_jump_ahead_drops_what_was_asked_for():
    pacer = OnDemandPacer(30)
    pacer.request(5)
    pacer.skip(2)
    assert pacer.seconds_to_next() > 0
    assert pacer.stamp_ns == OnDemandPacer.START_NS + 2 * 10**9


def test_on_demand_it_is_known_how_long_nothing_was_asked_for(clock):
    pacer = OnDemandPacer(30, monotonic=lambda: clock.now / 1e9)
    clock.sleep(3.0)
    assert pacer.idle_seconds == pytest.approx(3.0)
    pacer.advance()
    assert pacer.idle_seconds == pytest.approx(0.0)
