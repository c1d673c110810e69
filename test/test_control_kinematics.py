"""The forward kinematics agree with the arm's model."""

import mujoco
import numpy as np
import pytest

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.control.kinematics import FIXED_FINGER, GRIPPER_FRAME, MOVING_JAW, frames, lowest_point
from step_ros.sim.arm import arm_spec

HALF_PI = np.pi / 2


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([0, 0, 0, 0, 0, 0], [0.3914, 0.0, 0.2265]),
        ([HALF_PI, 0, 0, 0, 0, 0], [0.0388, -0.3525, 0.2265]),
        ([0, 0.5, 0, 0, 0, 0], [0.4046, 0, 0.0586]),
        ([0, -0.5, 0, 0, 0, 0], [0.2993, 0, 0.3675]),
        ([0, 0, 0.5, 0, 0, 0], [0.3541, 0, 0.0858]),
        ([0, 0, 0, 0.5, 0, 0], [0.3681, 0, 0.1511]),
        ([0, 0, 0, 0, 0.5, 0], [0.3914, -0.0038, 0.2274]),
        ([0, -1.745, 1.69, 1.2, 0, 0], [0.1465, 0, -0.0110]),
        ([0, 0, 0, 1.4, 0, 0], [0.2514, 0, 0.0761]),
        ([0, 1.5, -1.5, 0, 0, 0], [0.4776, 0, 0.0939]),
    ],
)
def test_the_gripper_frame_is_where_the_model_has_it(positions, expected) -> None:
    pose = frames(np.array(positions, float))["wrist_roll"]
    np.testing.assert_allclose(pose[:3, :3] @ GRIPPER_FRAME + pose[:3, 3], expected, atol=6e-5)


def test_the_fingers_are_where_the_simulation_has_them() -> None:
    model = arm_spec().compile()
    data, limits = mujoco.MjData(model), JointLimits.so101()
    for positions in np.random.default_rng(20000).uniform(limits.lower, limits.upper, (50, 6)):
        for name, position in zip(JOINT_NAMES, positions, strict=True):
            data.qpos[model.joint(name).qposadr[0]] = position
        mujoco.mj_kinematics(model, data)
        heights = [
            (data.body(body).xmat.reshape(3, 3) @ point + data.body(body).xpos)[2]
            for body, points in (("gripper", FIXED_FINGER), ("moving_jaw_so101_v1", MOVING_JAW))
            for point in points
        ]
        assert lowest_point(positions) <= min(heights) + 1e-5
        np.testing.assert_allclose(min(heights[:3]), _lowest_of(positions, "wrist_roll"), atol=1e-5)
        np.testing.assert_allclose(min(heights[3:]), _lowest_of(positions, "gripper"), atol=1e-5)


def _lowest_of(positions: np.ndarray, joint: str) -> float:
    pose = frames(positions)[joint]
    points = FIXED_FINGER if joint == "wrist_roll" else MOVING_JAW
    return float((points @ pose[:3, :3].T + pose[:3, 3])[:, 2].min())


def test_many_configurations_at_once_equal_each_alone() -> None:
    many = np.random.default_rng(20001).uniform(-1, 1, (4, 3, 6))
    heights = lowest_point(many)
    assert heights.shape == (4, 3)
    np.testing.assert_allclose(heights[2, 1], lowest_point(many[2, 1]))
    np.testing.assert_allclose(frames(many)["gripper"][1, 2], frames(many[1, 2])["gripper"])


def test_the_stock_limits_let_the_gripper_below_the_table() -> None:
    folded = np.array([0, -1.745, 1.69, 1.2, 0, 0])
    limits = JointLimits.so101()
    assert ((folded >= limits.lower) & (folded <= limits.upper)).all()
    assert lowest_point(folded) < 0
