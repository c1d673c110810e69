"""Keep a simulation in step with the wall clock, and its time stamps honest when it cannot keep up."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pacer:
    """Counts fixed periods of simulated time against the wall clock.

    Stamps are `epoch + periods * period`, with the epoch taken from the system clock at the start. A
    simulation that falls more than `max_lag` behind does not race to catch up: what lies beyond `max_lag` is
    given up, as by a robot that stood still for that long. At real-time factor 1 the stamps skip that time as
    well, so they stay within `max_lag` of the system clock; at another factor they mean simulated time only,
    and have no gaps.

    Args:
        rate: periods per simulated second.
        real_time_factor: simulated seconds per wall second.
        max_lag: wall seconds that may be caught up.
        monotonic_ns, system_ns: clocks in nanoseconds.

    Attributes:
        slips: how often time was given up.
        slipped_ns: simulated nanoseconds given up in all.
    """

    def __init__(
        self,
        rate: int,
        real_time_factor: float = 1.0,
        max_lag: float = 1 / 30,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        system_ns: Callable[[], int] = time.time_ns,
    ):
        self.rate = rate
        self.real_time_factor = real_time_factor
        self._max_lag_ns = round(max_lag * 1e9)
        self._monotonic_ns = monotonic_ns
        self._wall_start_ns = monotonic_ns()
        self._epoch_ns = system_ns()
        self._done = 0
        self.slips = 0
        self.slipped_ns = 0

    @property
    def stamp_ns(self) -> int:
        """Simulated time as nanoseconds of the system clock's epoch."""
        return self._epoch_ns + self._done * 10**9 // self.rate

    @property
    def periods(self) -> int:
        """Periods simulated so far."""
        return self._done

    def seconds_to_next(self) -> float:
        """Wall seconds until the next period is due, 0 if it is. Gives up what is too late to catch up."""
        wait_ns = self._wall_due_ns() - self._monotonic_ns()
        if wait_ns < -self._max_lag_ns:
            self._give_up(-wait_ns - self._max_lag_ns)
        return max(wait_ns, 0) / 1e9

    def advance(self) -> None:
        """Note that one period has been simulated."""
        self._done += 1

    def _wall_due_ns(self) -> int:
        simulated_ns = (self._done + 1) * 10**9 / (self.rate * self.real_time_factor)
        return self._wall_start_ns + round(simulated_ns)

    def _give_up(self, wall_ns: int) -> None:
        self._wall_start_ns += wall_ns
        self.slips += 1
        self.slipped_ns += round(wall_ns * self.real_time_factor)
        if self.real_time_factor == 1.0:
            self._epoch_ns += wall_ns
