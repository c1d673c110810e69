"""The imperfections of a servo, between the commanded set point and the simulated joint."""

from __future__ import annotations

from collections import deque

import mujoco
import numpy as np

from step_ros.sim.servo import Servo


class ServoModel:
    """Turns set points into what the actuators of a MuJoCo model are given, one time step after the other.

    Args:
        servo: settings, the same for every joint.
        model: holds the actuators; the friction of its joints is set here while the servo sticks.
        joints: index of each joint's position, in the order of the actuators.
        dofs: index of each joint's degree of freedom, likewise.
    """

    def __init__(self, servo: Servo, model: mujoco.MjModel, joints: np.ndarray, dofs: np.ndarray):
        self._servo = servo
        self._ideal = servo.ideal
        self._model = model
        self._joints = joints
        self._dofs = dofs
        self._delay_steps = round(servo.delay / model.opt.timestep)
        self.reset(np.zeros(len(dofs)))

    def reset(self, positions: np.ndarray) -> None:
        """Everything stands still at `positions` (n,) rad, which is also the set point."""
        self._on_the_way = deque([positions] * self._delay_steps)
        self._target = positions.copy()
        self._driven = positions.copy()

    def measured(self, positions: np.ndarray) -> np.ndarray:
        """What the encoders say of true joint positions (n,) rad."""
        return self._rounded(positions)

    def drive(self, set_points: np.ndarray, data: mujoco.MjData) -> None:
        """Prepare the next time step of `data`: set points (n,) rad as commanded now."""
        servo = self._servo
        if self._ideal:
            data.ctrl[:] = set_points
            return
        self._on_the_way.append(set_points)
        arrived = self._rounded(self._on_the_way.popleft())
        follows = np.abs(arrived - self.measured(data.qpos[self._joints])) >= servo.dead_band
        self._target = np.where(follows, arrived, self._target)
        half = servo.backlash / 2
        self._driven = np.clip(self._driven, self._target - half, self._target + half)
        data.ctrl[:] = self._driven
        self._model.dof_frictionloss[self._dofs] = self._friction(data)

    def _friction(self, data: mujoco.MjData) -> np.ndarray:
        servo = self._servo
        at_rest = np.exp(-np.abs(data.qvel[self._dofs]) / servo.stiction_velocity)
        load = np.abs(data.qfrc_actuator[self._dofs])
        return servo.frictionloss + at_rest * (servo.stiction + servo.stiction_per_load * load)

    def _rounded(self, positions: np.ndarray) -> np.ndarray:
        step = self._servo.resolution
        return np.round(positions / step) * step if step else positions
