"""The servo model: each imperfection alone, and what a servo may be called."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest

from step_ros.sim.servo import ENCODER_STEP, SERVOS, Servo, ServoError, make_servo
from step_ros.sim.servo_model import ServoModel
from step_ros.sim.world import CONTROL_RATE, SUBSTEPS, World

PLAIN = SERVOS["sts3215"]
ONE_JOINT = """
<mujoco><option timestep="0.0020833333"/><worldbody><body><joint name="j" axis="0 0 1"/>
<geom type="box" size=".1 .01 .01"/></body></worldbody>
<actuator><position joint="j" kp="10"/></actuator></mujoco>
"""


class Joint:
    """One joint without gravity behind a servo model."""

    def __init__(self, **settings: float):
        self.model = mujoco.MjModel.from_xml_string(ONE_JOINT)
        self.data = mujoco.MjData(self.model)
        self.servo = ServoModel(
            dataclasses.replace(PLAIN, **settings), self.model, np.array([0]), np.array([0])
        )

    def driven(self, set_point: float, position: float = 0.0) -> float:
        """What the actuator is given for a set point while the joint stands at `position`."""
        self.data.qpos[0] = position
        self.servo.drive(np.array([set_point]), self.data)
        return float(self.data.ctrl[0])


def test_the_usual_servo_is_ideal_and_hands_set_points_on_as_they_are():
    assert PLAIN.ideal
    assert Joint().driven(0.1234) == 0.1234


def test_a_command_within_the_dead_band_is_not_followed():
    joint = Joint(dead_band=0.05)
    assert joint.driven(0.04) == 0.0
    assert joint.driven(0.06) == 0.06
    assert joint.driven(0.10, position=0.06) == 0.06


def test_backlash_is_lost_when_the_motion_turns_round():
    joint = Joint(backlash=0.02)
    there = [joint.driven(value) for value in (0.1, 0.2, 0.3)]
    assert np.allclose(there, [0.09, 0.19, 0.29])
    assert np.allclose([joint.driven(value) for value in (0.29, 0.285)], 0.29)
    assert joint.driven(0.2) == pytest.approx(0.21)


def test_commands_and_measurements_are_whole_encoder_steps():
    joint = Joint(resolution=ENCODER_STEP)
    assert joint.driven(0.1) / ENCODER_STEP == pytest.approx(round(0.1 / ENCODER_STEP))
    assert 2 * np.pi / ENCODER_STEP == pytest.approx(4096)
    with World(servo="sts3215:resolution=0.01") as world:
        steps = world.joint_positions / 0.01
        assert np.allclose(steps, np.round(steps))


def test_a_command_takes_effect_one_cycle_later():
    joint = Joint(delay=1 / CONTROL_RATE)
    given = [joint.driven(1.0) for _ in range(SUBSTEPS + 1)]
    assert given == [0.0] * SUBSTEPS + [1.0]


def test_a_joint_at_rest_needs_more_torque_to_start_than_to_keep_moving():
    joint = Joint(stiction=0.4, frictionloss=0.1)
    joint.driven(0.0)
    assert joint.model.dof_frictionloss[0] == pytest.approx(0.5)
    joint.data.qvel[0] = 1.0
    joint.driven(0.0)
    assert joint.model.dof_frictionloss[0] == pytest.approx(0.1, abs=1e-6)


def test_static_friction_grows_with_the_torque_that_is_carried():
    joint = Joint(stiction_per_load=0.3, frictionloss=0.1)
    joint.data.qfrc_actuator[0] = -2.0
    joint.driven(0.0)
    assert joint.model.dof_frictionloss[0] == pytest.approx(0.7)


def moved(world: World, joint: int, by: float) -> float:
    """How far a joint has moved half a second after its set point was moved by `by`."""
    start = world.joint_positions[joint]
    target = world.set_points
    target[joint] += by
    for _ in range(CONTROL_RATE // 2):
        world.step(target)
    return float(world.joint_positions[joint] - start)


def test_a_soft_joint_that_sticks_does_not_follow_a_small_command_and_follows_a_large_one():
    with World(servo="sts3215:kp=13.2,kv=0,damping=1.57,stiction=0.12,resolution=0") as world:
        world.reset(20_000)
        assert abs(moved(world, 0, 0.005)) < 0.001
        assert moved(world, 0, 0.1) > 0.07


def test_the_torque_limit_bounds_what_a_joint_can_hold():
    with World() as strong, World(servo="sts3215:max_torque=0.05") as weak:
        assert abs(moved(strong, 1, 0.0)) < 0.01
        assert abs(moved(weak, 1, 0.0)) > 0.05


def test_a_reset_forgets_what_the_servo_was_doing():
    def episode(world: World) -> np.ndarray:
        world.reset(20_001)
        for _ in range(10):
            world.step(world.joint_positions + 0.03)
        return world.data.qpos.copy()

    with World(servo="sticky") as world:
        first = episode(world)
        world.step(world.joint_positions + 0.5)
        assert np.array_equal(first, episode(world))


def test_a_name_may_be_followed_by_settings():
    assert make_servo("sts3215:dead_band=0.05,stiction=0.4") == dataclasses.replace(
        PLAIN, dead_band=0.05, stiction=0.4
    )
    assert make_servo(PLAIN) is PLAIN


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("dynamixel", "sts3215, compliant, sticky"),
        ("sticky:glue=1", "dead_band"),
        ("sticky:backlash=much", "much"),
        ("sticky:backlash=-1", "backlash"),
        ("sticky:delay=nan", "delay"),
        ("sticky:stiction_velocity=0", "above 0"),
    ],
)
def test_what_a_servo_cannot_be_is_refused_with_what_it_can(text: str, named: str):
    with pytest.raises(ServoError, match=named):
        make_servo(text)


def test_every_preset_but_sticky_is_ideal():
    assert {name for name, servo in SERVOS.items() if not servo.ideal} == {"sticky"}
    assert isinstance(SERVOS["sticky"], Servo)
