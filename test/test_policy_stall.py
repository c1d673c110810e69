"""Stall rule: what is measured, and when it fires."""

from __future__ import annotations

import numpy as np
import pytest

from step_ros.policy.settings import Settings
from step_ros.policy.stall import StallRule, stall_distance


def test_distance_is_the_rms_of_all_elements() -> None:
    first = np.zeros((8, 3))
    second = first.copy()
    second[0] = 0.6
    assert stall_distance((first, second)) == pytest.approx(0.6 / np.sqrt(8))


@pytest.mark.parametrize("executed", [(), (np.zeros((8, 3)),), (np.zeros((8, 3)), np.zeros((4, 3)))])
def test_there_is_no_distance_without_two_chunks_of_one_length(executed: tuple[np.ndarray, ...]) -> None:
    assert stall_distance(executed) is None


def test_the_rule_fires_after_patience_still_cycles_and_starts_over_on_motion() -> None:
    rule = StallRule.from_settings(Settings(stall_threshold=0.02, stall_patience=2))
    count, fired = 0, []
    for distance in (0.5, 0.01, 0.01, 0.01, 0.02, 0.01, None, 0.01):
        count = rule.still_cycles(distance, count)
        fired.append(rule.stalled(count))
    assert fired == [False, False, True, True, False, False, False, False]


def test_threshold_zero_switches_the_rule_off() -> None:
    rule = StallRule.from_settings(Settings(stall_threshold=0.0))
    assert not rule.stalled(rule.still_cycles(0.0, 5))
