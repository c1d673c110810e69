"""What the step node counts and measures about its cycles. Knows no ROS."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

from step_ros.control.seams import SeamJump
from step_ros.policy.policy import Plan

_WINDOW = 500
"""Cycles over which percentiles are taken."""


@dataclass(frozen=True)
class CycleTimes:
    """Where the time of one cycle went.

    Attributes:
        stamp: of its observation [s].
        latency: from that stamp to when its command had been published [s].
        busy: from its begin on the worker's thread to then [s].
        decode_ms: decoding the window's frames, ahead of the cycle or in it.
        policy_ms: the policy's own figures: `encode`, `predict`, `denoise`, `post` and their `total`.
        seam: by how much the set point jumps where the command takes over.
    """

    stamp: float
    latency: float
    busy: float
    decode_ms: float
    policy_ms: dict[str, float]
    seam: SeamJump

    @property
    def overhead_ms(self) -> float:
        """What the node added to the policy's own time: transport, decoding, limits, publication."""
        return 1e3 * self.latency - self.policy_ms["total"]

    def values(self) -> dict[str, float]:
        """Times in milliseconds and the seam's jumps in rad, rad/s and rad/s^2, for a message."""
        return {
            "latency": 1e3 * self.latency,
            "overhead": self.overhead_ms,
            "busy": 1e3 * self.busy,
            "decode": self.decode_ms,
            **{f"policy_{part}": spent for part, spent in self.policy_ms.items()},
            **{f"seam_{kind}": jump for kind, jump in dataclasses.asdict(self.seam).items()},
        }


class CycleStatistics:
    """Counters and times since the node was configured.

    Attributes:
        received: usable messages per stream.
        refused: unusable messages per stream.
        restarts: windows started anew because a stamp went back or jumped.
        failures: how often the policy raised.
        faults: how often a chunk was changed, refused or rejected, by the fault's name.
        advice: settings of the controller that make motion jerk.
        last_change: the newest reason why a command is not quite what the policy asked for.
        warnings: how often something did not go as it should.
        last_warning: the newest reason.
    """

    def __init__(self) -> None:
        self.cycles = self.skipped = self.stalls = self.cold_starts = self.limited = self.nfe = 0
        self.received: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.last_change = ""
        self.advice = ""
        self.restarts = self.failures = self.warnings = 0
        self.last_warning = ""
        self._times: deque[CycleTimes] = deque(maxlen=_WINDOW)

    def finished(self, plan: Plan, times: CycleTimes, limited: bool) -> None:
        """A command was published; `limited`: not quite what was asked for."""
        self.cycles += 1
        self.stalls += plan.stalled
        self.cold_starts += plan.cold
        self.limited += limited
        self.nfe = plan.nfe
        self._times.append(times)

    def values(self) -> dict[str, object]:
        """Everything, for a diagnostic status; times in milliseconds."""
        return {
            "cycles": self.cycles,
            "skipped_cycles": self.skipped,
            "late_chunks": self.faults["late chunk"],
            "limited_chunks": self.limited,
            "stalls": self.stalls,
            "cold_starts": self.cold_starts,
            "nfe": self.nfe,
            **_percentiles("cycle_ms", [1e3 * times.latency for times in self._times]),
            **_percentiles("policy_ms", [times.policy_ms["total"] for times in self._times]),
            **_percentiles("overhead_ms", [times.overhead_ms for times in self._times]),
            **_percentiles("busy_ms", [1e3 * times.busy for times in self._times]),
            **_percentiles("seam_velocity", [times.seam.velocity for times in self._times]),
            "restarts": self.restarts,
            "policy_failures": self.failures,
            **{f"received {stream}": count for stream, count in sorted(self.received.items())},
            "refused_messages": self.refused.total(),
            **{f"refused {stream}": count for stream, count in sorted(self.refused.items())},
            **{f"fault {name}": count for name, count in sorted(self.faults.items())},
            "last_change": self.last_change,
            "controller_advice": self.advice,
            "last_warning": self.last_warning,
        }


def _percentiles(name: str, values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {f"{name}_p50": float(p50), f"{name}_p95": float(p95), f"{name}_p99": float(p99)}
