"""The simulation's time: in step with the wall clock and honest when it cannot keep up, or on demand."""

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


class OnDemandPacer:
    """Counts fixed periods of simulated time that pass only when asked for.

    Time begins at `START_NS`, not at the system clock's: so close to zero, a stamp in seconds is exact to far
    less than a nanosecond as a floating-point number, and an episode does not depend on when it was run.

    Args:
        rate: periods per simulated second.
        monotonic: the machine's clock in seconds.
    """

    START_NS = 10**9
    WAKE_SECONDS = 0.05
    slips = slipped_ns = 0
    """Nothing is ever given up; named as the Pacer's."""

    def __init__(self, rate: int, monotonic: Callable[[], float] = time.monotonic):
        self.rate = rate
        self.periods = 0
        self._monotonic = monotonic
        self._start_ns = self.START_NS
        self._asked = 0
        self._active_at = monotonic()

    @property
    def stamp_ns(self) -> int:
        """Simulated time in nanoseconds."""
        return self._start_ns + round(self.periods * 10**9 / self.rate)

    @property
    def idle_seconds(self) -> float:
        """Wall seconds since time last passed or somebody asked for it."""
        return self._monotonic() - self._active_at

    def request(self, periods: int) -> None:
        """Ask for `periods` more."""
        self._asked += periods
        self.rest()

    def rest(self) -> None:
        """Begin to count idle seconds anew."""
        self._active_at = self._monotonic()

    def seconds_to_next(self) -> float:
        """0 while periods are asked for, otherwise how long [s] to wait before looking again."""
        return 0.0 if self._asked else self.WAKE_SECONDS

    def advance(self) -> None:
        """Note that one period has passed, asked for or not."""
        self.periods += 1
        self._asked = max(self._asked - 1, 0)
        self.rest()

    def skip(self, seconds: int) -> None:
        """Drop what was asked for and let the stamps jump ahead."""
        self._asked = 0
        self._start_ns += seconds * 10**9
        self.rest()
