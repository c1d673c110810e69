"""From a bag to the page: what was recorded is read back, filmed, drawn, and put in one file."""

from __future__ import annotations

import io
import re

import av
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from step_ros.control.follower import TrajectoryCommand, TrajectoryPoint
from step_ros.control.joints import JOINT_NAMES
from step_ros.evaluation.figures import joints_figure, latency_figure
from step_ros.evaluation.recording import (
    JOINT_STATES,
    OBJECTS,
    TRAJECTORIES,
    Recording,
    RecordingError,
    SentTrajectory,
    read_recording,
)
from step_ros.evaluation.report import write_report
from step_ros.evaluation.video import FRAME_RATE, LINGER, SPEED, Film, Scene, film_episodes

START = 1_700_000_000.0
TYPES = get_typestore(Stores.ROS2_JAZZY)
PNG = b"\x89PNG"


def sent(at: float, *points: tuple[float, float]) -> SentTrajectory:
    """A trajectory stamped and received `at` seconds, with (time, position of every joint) points."""
    rows = [TrajectoryPoint(time, [position] * 6) for time, position in points]
    return SentTrajectory(START + at, TrajectoryCommand(JOINT_NAMES, START + at, rows))


def recording(seconds: float = 2.0) -> Recording:
    """An arm at rest that is told to go to 0.5, then to 0.2."""
    states = np.arange(0, seconds, 1 / 60)
    objects = np.arange(0, seconds, 1 / 30)
    return Recording(
        START + states,
        np.zeros((len(states), 6)),
        START + objects,
        np.tile([0.2, 0.0, 0.01, 1.0, 0.0, 0.0, 0.0], (len(objects), 2, 1)),
        (sent(0.1, (0.0, 0.0), (0.5, 0.5)), sent(1.1, (0.0, 0.5), (0.5, 0.2))),
    )


class PaintedWorld:
    """A world whose view is as bright as its first joint says."""

    def __init__(self) -> None:
        self.states: list[np.ndarray] = []

    def set_state(self, joint_positions: np.ndarray, object_poses: np.ndarray) -> None:
        self.states.append(joint_positions)

    def render(self, camera: str) -> np.ndarray:
        return np.full((48, 64, 3), 40 + len(self.states), np.uint8)


def row(seed: int, success: bool) -> dict[str, object]:
    return {
        "episode": seed + 1,
        "seed": seed,
        "success": success,
        "seconds": 5.25,
        "cycles": 0 if seed else 19,
        "cycle_ms_p50": None if seed else 21.5,
        "cycle_ms_p95": None if seed else 43.25,
        "nfe": 2,
        "stalls": 1,
        "skipped_cycles": 0,
    }


SUMMARY = {
    "task": "pick_place",
    "method": "step",
    "engine": "openvino",
    "checkpoint": "models/<pick & place>",
    "episodes": 2,
    "successes": 1,
    "success_interval": (0.09, 0.91),
    "cycles": 19,
    "cycle_ms_p50": 21.5,
    "cycle_ms_p95": 43.25,
    "policy_ms_p50": 3.5,
    "policy_ms_p95": 5.0,
    "nfe": 2,
    "stalls": 2,
    "skipped_cycles": 0,
    "slipped_seconds": 0.0,
    "command": "step-ros demo",
    "commit": None,
    "processor": "one",
    "versions": {"torch": "2.13.0", "openvino": None},
    "rows": [row(0, True), row(1, False)],
}


@pytest.fixture
def bag(tmp_path):
    """A function that writes a bag without ROS: (joint states, objects, trajectories) or fewer."""

    def write(topics: list[str]):
        header = TYPES.types["std_msgs/msg/Header"](
            stamp=TYPES.types["builtin_interfaces/msg/Time"](sec=int(START), nanosec=500_000_000), frame_id=""
        )
        # Reversed, so that only reading by name gives the right order.
        joints = TYPES.types["sensor_msgs/msg/JointState"](
            header, list(JOINT_NAMES[::-1]), np.arange(6.0)[::-1].copy(), np.zeros(6), np.zeros(0)
        )
        pose = TYPES.types["geometry_msgs/msg/Pose"](
            TYPES.types["geometry_msgs/msg/Point"](0.1, 0.2, 0.3),
            TYPES.types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=1.0, w=0.5),
        )
        poses = TYPES.types["geometry_msgs/msg/PoseArray"](header, [pose])
        point = TYPES.types["trajectory_msgs/msg/JointTrajectoryPoint"](
            np.ones(6),
            np.zeros(6),
            np.zeros(0),
            np.zeros(0),
            TYPES.types["builtin_interfaces/msg/Duration"](1, 250_000_000),
        )
        trajectory = TYPES.types["trajectory_msgs/msg/JointTrajectory"](header, list(JOINT_NAMES), [point])
        folder = tmp_path / "bag"
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            for topic, message in ((JOINT_STATES, joints), (OBJECTS, poses), (TRAJECTORIES, trajectory)):
                if topic in topics:
                    kind = message.__msgtype__
                    connection = writer.add_connection(topic, kind, typestore=TYPES)
                    writer.write(connection, int((START + 0.75) * 1e9), TYPES.serialize_cdr(message, kind))
        return folder

    return write


def test_bag_is_read_into_arrays_in_the_order_of_the_joints(bag):
    read = read_recording(bag([JOINT_STATES, OBJECTS, TRAJECTORIES]))
    np.testing.assert_allclose(read.state_times, [START + 0.5])
    np.testing.assert_allclose(read.positions, [np.arange(6.0)])
    np.testing.assert_allclose(read.object_poses, [[[0.1, 0.2, 0.3, 0.5, 0.0, 0.0, 1.0]]])
    (trajectory,) = read.trajectories
    assert trajectory.received == pytest.approx(START + 0.75)
    assert trajectory.command.stamp == pytest.approx(START + 0.5)
    assert trajectory.command.points[0].time == pytest.approx(1.25)


def test_bag_without_a_needed_topic_is_refused_by_name(bag):
    with pytest.raises(RecordingError, match=JOINT_STATES):
        read_recording(bag([OBJECTS]))


def test_missing_bag_is_refused_by_name(tmp_path):
    with pytest.raises(RecordingError, match="nowhere"):
        read_recording(tmp_path / "nowhere")


def test_cut_keeps_only_its_part():
    part = recording().between(START + 0.5, START + 1.5)
    assert part.state_times[0] >= START + 0.5
    assert part.object_times[-1] < START + 1.5
    assert [trajectory.received for trajectory in part.trajectories] == [START + 1.1]


def test_commanded_positions_are_those_the_controller_was_told():
    commanded, seams = recording().commanded()
    times = recording().state_times - START
    np.testing.assert_allclose(commanded[times < 0.09], 0.0)
    np.testing.assert_allclose(commanded[(times > 0.65) & (times < 1.05)], 0.5)
    np.testing.assert_allclose(commanded[times > 1.65], 0.2)
    np.testing.assert_allclose(np.subtract(seams, START), [0.1, 1.1], atol=1e-6)


def test_trajectory_the_controller_refused_is_no_seam():
    whole = recording()
    refused = SentTrajectory(START + 0.9, TrajectoryCommand(("elbow",), 0.0, []))
    with_refused = Recording(
        whole.state_times,
        whole.positions,
        whole.object_times,
        whole.object_poses,
        (whole.trajectories[0], refused, whole.trajectories[1]),
    )
    commanded, seams = with_refused.commanded()
    np.testing.assert_array_equal(commanded, whole.commanded()[0])
    assert len(seams) == 2


def test_film_shows_every_episode_at_its_speed_and_plays():
    world = PaintedWorld()
    film = film_episodes(world, [recording(2.0), recording(1.0)])
    with av.open(io.BytesIO(film.mp4)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == len(world.states) + 2 * LINGER
    first, second = film.scenes
    assert first.end - first.start == pytest.approx(2.0 / SPEED, abs=2 / FRAME_RATE)
    assert second.start == pytest.approx(first.end + LINGER / FRAME_RATE)


def test_figures_are_pictures():
    assert joints_figure(recording()).startswith(PNG)
    assert latency_figure([20.0, 22.0, 500.0], 3.5).startswith(PNG)
    assert latency_figure([20.0], None).startswith(PNG)


@pytest.fixture
def page(tmp_path) -> str:
    film = Film(b"film", (Scene(0.0, 2.5), Scene(3.0, 5.5)))
    write_report(tmp_path / "report.html", SUMMARY, [20.0, 23.0], 0, recording(), film)
    return (tmp_path / "report.html").read_text()


def test_page_needs_nothing_from_outside(page):
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']{0,12})""", page)
    assert len(sources) == 3
    assert all(source.startswith("data:") for source in sources)
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)


def test_page_says_what_came_out(page):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r'"data:[^"]*"', "", page)))
    assert "1 / 2" in text
    assert "21.5" in text and "43.2" in text and "3.5" in text
    assert "1 0 success 5.2 19" in text
    assert "2 1 failed 5.2 0 \N{EN DASH} \N{EN DASH}" in text, "an episode without cycles has no times"
    assert "torch 2.13.0" in text and "openvino None" not in text


def test_page_shows_text_of_others_as_text(page):
    assert "models/&lt;pick &amp; place&gt;" in page


def test_page_knows_where_each_episode_is_in_the_film(page):
    assert '{"end": 5.5, "seed": 1, "start": 3.0, "success": false}' in page
