"""Small synthetic bags: an arm that swings, cameras that show a moving square, and what commanded it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from step_ros.control.joints import JOINT_NAMES
from step_ros.data.bag_topics import COMPRESSED, TRAJECTORY
from step_ros.data.bag_writer import BagWriter, build, header, joint_state, picture

FPS = 30.0
STATE_RATE = 100.0
START = 1_700_000_000 * 10**9
SIZE = 32


def ns(seconds: float) -> int:
    """A time of the bag [s] as a stamp [ns]."""
    return START + round(seconds * 1e9)


def swing(time: float) -> np.ndarray:
    """Where the leader is at a time [s]: (6,) rad."""
    return 0.3 * np.sin(time + np.arange(6))


def frame(camera: int, index: int, size: int = SIZE) -> np.ndarray:
    """A picture (size, size, 3) that differs from frame to frame and camera to camera."""
    pixels = np.full((size, size, 3), 40 * camera, np.uint8)
    pixels[index % size, :, camera % 3] = 255
    pixels[0, 0] = index % 256
    return pixels


def compressed(stamp_ns: int, pixels: np.ndarray):
    """A PNG, so that nothing is lost."""
    data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].reshape(-1)
    return build(COMPRESSED, header=header(stamp_ns), format="png", data=data)


def trajectory(
    stamp_ns: int,
    times,
    positions: np.ndarray,
    velocities: np.ndarray | None = None,
    names=JOINT_NAMES,
):
    """A JointTrajectory; a stamp of 0 starts when it arrives."""
    points = []
    for k, (time, row) in enumerate(zip(times, positions, strict=True)):
        sec, nanosec = divmod(round(time * 1e9), 10**9)
        none = np.empty(0)
        points.append(
            build(
                "trajectory_msgs/msg/JointTrajectoryPoint",
                positions=np.asarray(row, dtype=np.float64),
                velocities=none if velocities is None else velocities[k],
                accelerations=none,
                effort=none,
                time_from_start=build("builtin_interfaces/msg/Duration", sec=sec, nanosec=nanosec),
            )
        )
    return build(TRAJECTORY, header=header(stamp_ns), joint_names=list(names), points=points)


def write_bag(
    folder: Path,
    seconds: float = 3.0,
    cameras: tuple[str, ...] = ("top",),
    storage: str = "mcap",
    *,
    start: float = 0.0,
    namespace: str = "",
    delay: float = 0.03,
    phase: float = 0.0,
    clock_ahead: float = 0.0,
    blind: tuple[float, float] | None = None,
    still: tuple[float, float] | None = None,
    size: int = SIZE,
    names: tuple[str, ...] = JOINT_NAMES,
    actions: bool = True,
    formats: tuple[str, ...] = (),
) -> Path:
    """A recording of `seconds`: joint states at 100 Hz, cameras and a leader (`/action`) at 30 Hz.

    delay: images arrive so much [s] after their stamp. phase: images are so much [s] after the grid.
    clock_ahead: the recorder's clock against the stamps. blind: no images then. still: the leader does not
    move then. formats: `compressed` or `raw` per camera.
    """
    entries = []

    def leader(time: float) -> np.ndarray:
        return swing(still[0] if still and still[0] <= time < still[1] else time)

    for k in range(int(seconds * STATE_RATE)):
        time = start + k / STATE_RATE
        state = joint_state(ns(time), names, leader(time - 0.05))
        entries.append((time + 0.001, f"{namespace}/joint_states", state))
    for k in range(int(seconds * FPS)):
        time = start + k / FPS
        if actions:
            entries.append((time + 0.001, f"{namespace}/action", joint_state(ns(time), names, leader(time))))
        if blind and blind[0] <= time < blind[1]:
            continue
        for number, camera in enumerate(cameras):
            coded = number < len(formats) and formats[number] == "compressed"
            pixels = frame(number, k, size)
            stamp = ns(time + phase)
            message = compressed(stamp, pixels) if coded else picture(stamp, pixels)
            topic = f"{namespace}/{camera}/image_raw" + ("/compressed" if coded else "")
            entries.append((time + phase + delay, topic, message))
    with BagWriter(folder, storage) as bag:
        for arrival, topic, message in sorted(entries, key=lambda entry: entry[0]):
            bag.write(topic, message, ns(arrival + clock_ahead))
    return folder
