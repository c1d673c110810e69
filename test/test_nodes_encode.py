"""What is sent says exactly what was computed."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import Trajectory
from step_ros.nodes import encode
from step_ros.nodes.decode import seconds


def test_a_trajectory_message_carries_stamp_points_and_velocities() -> None:
    stamp = 1_700_000_000.25
    trajectory = make_trajectory(np.arange(32.0).reshape(16, 2), stamp, 30.0, 2)
    message = encode.trajectory_message(trajectory, ["a", "b"])
    assert message.joint_names == ["a", "b"]
    assert seconds(message.header.stamp) == pytest.approx(stamp, abs=1e-6)
    assert len(message.points) == 16
    assert seconds(message.points[3].time_from_start) == pytest.approx(0.1, abs=1e-9)
    assert list(message.points[3].positions) == [6.0, 7.0]
    assert list(message.points[3].velocities) == pytest.approx([60.0, 60.0])
    assert list(message.points[-1].velocities) == [0.0, 0.0]


def test_a_trajectory_without_velocities_sends_none() -> None:
    message = encode.trajectory_message(Trajectory(0.0, np.array([0.2]), np.ones((1, 2))), ["a", "b"])
    assert list(message.points[0].velocities) == []
    assert message.header.stamp.sec == message.header.stamp.nanosec == 0


def test_a_message_used_again_is_as_good_as_a_new_one() -> None:
    rng = np.random.default_rng(20_003)
    times = np.arange(1, 5) / 30
    longer = Trajectory(7.5, times, *rng.normal(size=(2, 4, 2)).astype(np.float32))
    shorter = Trajectory(8.5, times[:2], rng.normal(size=(2, 2)))
    used = encode.trajectory_message(longer, ["a", "b"])
    for trajectory in (shorter, longer):
        again = encode.trajectory_message(trajectory, ["c", "d"], reused=used)
        assert again is used
        assert again == encode.trajectory_message(trajectory, ["c", "d"])
        np.testing.assert_array_equal([point.positions for point in again.points], trajectory.positions)


@pytest.mark.parametrize("value", [0.0, 1.9999999999, 1_700_000_000.999999999, -0.1])
def test_times_survive_the_message(value: float) -> None:
    message = encode.duration_message(value) if value < 100 else encode.stamp_message(value)
    assert 0 <= message.nanosec < 10**9
    assert seconds(message) == pytest.approx(value, abs=1e-6)


def test_diagnostics_are_written_as_text() -> None:
    message = encode.diagnostics_message(
        1.5, "step: policy", DiagnosticStatus.WARN, "why", {"ms": 12.3456, "n": 3}
    )
    status = message.status[0]
    assert (status.name, status.level, status.message) == ("step: policy", DiagnosticStatus.WARN, "why")
    assert {item.key: item.value for item in status.values} == {"ms": "12.35", "n": "3"}
