"""What the step node counts and measures about its cycles. Knows no ROS."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

from step_ros.policy.policy import Plan

_WINDOW = 500
"""Cycles over which percentiles are taken."""


class CycleStatistics:
    """Counters and times since the node was configured.

    Attributes:
        refused: unusable messages per stream.
        restarts: windows started anew because a stamp went back or jumped.
        failures: how often the policy raised.
        warnings: how often something did not go as it should.
        last_warning: the newest reason.
    """

    def __init__(self) -> None:
        self.cycles = self.skipped = self.late = self.stalls = self.cold_starts = self.limited = self.nfe = 0
        self.refused: Counter[str] = Counter()
        self.restarts = self.failures = self.warnings = 0
        self.last_warning = ""
        self._cycle_ms: deque[float] = deque(maxlen=_WINDOW)
        self._policy_ms: deque[float] = deque(maxlen=_WINDOW)

    def finished(self, plan: Plan, latency: float, limited: bool) -> None:
        """A chunk was published `latency` [s] after its image's stamp."""
        self.cycles += 1
        self.stalls += plan.stalled
        self.cold_starts += plan.cold
        self.limited += limited
        self.nfe = plan.nfe
        self._cycle_ms.append(1e3 * latency)
        self._policy_ms.append(plan.milliseconds["total"])

    def values(self) -> dict[str, object]:
        """Everything, for a diagnostic status; times in milliseconds."""
        return {
            "cycles": self.cycles,
            "skipped_cycles": self.skipped,
            "late_chunks": self.late,
            "limited_chunks": self.limited,
            "stalls": self.stalls,
            "cold_starts": self.cold_starts,
            "nfe": self.nfe,
            **_percentiles("cycle_ms", self._cycle_ms),
            **_percentiles("policy_ms", self._policy_ms),
            "restarts": self.restarts,
            "policy_failures": self.failures,
            "refused_messages": self.refused.total(),
            **{f"refused {stream}": count for stream, count in sorted(self.refused.items())},
            "last_warning": self.last_warning,
        }


def _percentiles(name: str, values: deque[float]) -> dict[str, object]:
    if not values:
        return {}
    p50, p95 = np.percentile(values, [50, 95])
    return {f"{name}_p50": float(p50), f"{name}_p95": float(p95)}
