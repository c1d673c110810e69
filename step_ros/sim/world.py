"""The MuJoCo world: arm, table, objects and cameras, for lock-step rollouts and for the ROS bridge alike."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import mujoco
import numpy as np

from step_ros.control.joints import JOINT_NAMES
from step_ros.sim.arm import GRASP_SITE
from step_ros.sim.behaviour import Behaviour
from step_ros.sim.cameras import CAMERAS, POLICY_CAMERAS
from step_ros.sim.environment import Vector
from step_ros.sim.pick_either import PickEither
from step_ros.sim.pick_place import PickPlace
from step_ros.sim.round_obstacle import RoundObstacle
from step_ros.sim.scene import CONTROL_RATE, SUBSTEPS, scene_spec
from step_ros.sim.servo import Servo, make_servo
from step_ros.sim.servo_model import ServoModel
from step_ros.sim.stack_cube import StackCube
from step_ros.sim.task import GRIPPER_OPEN, Task

TASKS: dict[str, type[Task]] = {task.name: task for task in (PickPlace, StackCube, PickEither, RoundObstacle)}

HOLD_SUBSTEPS = CONTROL_RATE * SUBSTEPS // 2
"""Success must last this long: half a second."""
SHARES = np.arange(1, SUBSTEPS + 1)[:, None] / SUBSTEPS
"""How far a tick has come at the end of each of its time steps: (SUBSTEPS, 1)."""
TIP_NAMES, TIP_UNITS = ("tip.x", "tip.y", "tip.z"), ("m", "m", "m")
"""Where the jaws meet. Joint angles and objects alone leave it to the policy to learn the kinematics."""
HOME_SPREAD = 0.03
"""Starts vary by so much (rad) around the task's home posture."""


class World:
    """One arm, one task. Same seed, same episode, bit for bit.

    Args:
        task: a name in TASKS.
        servo: settings, or a name and settings as `make_servo` reads them.
        image_size: (height, width) in pixels of what `render` returns.

    Raises:
        ValueError: unknown task or servo.
    """

    robot = "so101"
    fps = CONTROL_RATE
    max_ticks = 300
    cameras: tuple[str, ...] = tuple(POLICY_CAMERAS)
    demonstration_noise = 0.015
    # A gripper that is shaken loses what it holds.
    disturbed = np.array([True] * 5 + [False])

    def __init__(
        self,
        task: str = "pick_place",
        servo: str | Servo = "sts3215",
        image_size: tuple[int, int] = (96, 96),
    ):
        if task not in TASKS:
            raise ValueError(f"task: found {task!r}, accepted: {', '.join(TASKS)}")
        self.task = TASKS[task]()
        self.name, self.instruction, self.modes = self.task.name, self.task.instruction, self.task.modes
        self.image_size = image_size
        self.servo = make_servo(servo)
        self.model = scene_spec(self.task, self.servo, image_size).compile()
        self.data = mujoco.MjData(self.model)
        self._joint_addresses = np.array([self.model.joint(name).qposadr[0] for name in JOINT_NAMES])
        self._velocity_addresses = np.array([self.model.joint(name).dofadr[0] for name in JOINT_NAMES])
        self._tip = self.model.site(GRASP_SITE).id
        self._gripper_address = self.model.joint("gripper").qposadr[0]
        self._objects = np.array([self.model.body(name).id for name in self.objects])
        self._set_point_limits = self.model.actuator_ctrlrange.T
        self._servo_model = ServoModel(
            self.servo, self.model, self._joint_addresses, self._velocity_addresses
        )
        self._renderer: mujoco.Renderer | None = None
        self.reset(0)

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the task's objects, in the order of `object_poses`."""
        return self.task.objects

    def reset(self, seed: int) -> None:
        """Start the episode that belongs to `seed`."""
        rng = np.random.default_rng(seed)
        poses = self.task.sample(rng)
        joints = self.task.home(poses) + rng.uniform(-HOME_SPREAD, HOME_SPREAD, len(JOINT_NAMES))
        self.set_state(joints, poses)
        self.command(joints)

    def set_state(self, joint_positions: np.ndarray, object_poses: np.ndarray) -> None:
        """Put everything at rest in the given state: joints (6,) rad, object poses (n, 7)."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._joint_addresses] = joint_positions
        for name, pose in zip(self.objects, object_poses, strict=True):
            body = self.model.body(name)
            if body.mocapid[0] >= 0:
                self.data.mocap_pos[body.mocapid[0]] = pose[:3]
                self.data.mocap_quat[body.mocapid[0]] = pose[3:]
            else:
                address = self.model.joint(name).qposadr[0]
                self.data.qpos[address : address + 7] = pose
        self._held_substeps = 0
        self._set_points = np.array(joint_positions, float)
        self._servo_model.reset(self._set_points)
        self.data.ctrl[:] = joint_positions
        mujoco.mj_forward(self.model, self.data)

    def command(self, positions: np.ndarray) -> None:
        """Set the servos' set points (6,) rad, limited to the actuators' ranges.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        if not np.isfinite(positions).all():
            raise ValueError(f"command: found {positions}, accepted: finite joint positions")
        self._set_points = np.clip(positions, *self._set_point_limits)

    @property
    def set_points(self) -> np.ndarray:
        """The servos' set points (6,) rad, as commanded."""
        return self._set_points.copy()

    def advance(self, substeps: int) -> None:
        """Simulate `substeps` of TIMESTEP with the present set points."""
        for _ in range(substeps):
            self._servo_model.drive(self._set_points, self.data)
            mujoco.mj_step(self.model, self.data)
            self._held_substeps = self._held_substeps + 1 if self._achieved_now() else 0

    def step(self, action: np.ndarray) -> None:
        """One tick of 1/30 s: the set point goes linearly to `action` (6,) rad, reached at the tick's end.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        start = self._set_points
        self.command(action)
        # The arm's time is mostly spent here, so all set points are limited at once.
        way = start + SHARES * (action - start)
        for set_points in np.clip(way, *self._set_point_limits):
            self._set_points = set_points
            self.advance(1)

    @property
    def joint_positions(self) -> np.ndarray:
        """Measured joint positions (6,) rad."""
        return self._servo_model.measured(self.data.qpos[self._joint_addresses])

    @property
    def joint_velocities(self) -> np.ndarray:
        """Measured joint velocities (6,) rad/s."""
        return self.data.qvel[self._velocity_addresses]

    @property
    def object_poses(self) -> np.ndarray:
        """Poses of the task's objects: (n, 7) x, y, z, quaternion w, x, y, z."""
        return np.concatenate([self.data.xpos[self._objects], self.data.xquat[self._objects]], axis=1)

    @property
    def time(self) -> float:
        """Simulated seconds since the reset."""
        return float(self.data.time)

    @property
    def success(self) -> bool:
        """The task's test has held for half a second with the gripper open."""
        return self._held_substeps >= HOLD_SUBSTEPS

    @property
    def score(self) -> float:
        """1 for success, 0 otherwise."""
        return float(self.success)

    def _achieved_now(self) -> bool:
        # The cheap test first: this runs on every substep.
        return self.data.qpos[self._gripper_address] > GRIPPER_OPEN and self.task.achieved(self.object_poses)

    def render(self, camera: str) -> np.ndarray:
        """What `camera` sees now: (H, W, 3) uint8 RGB. Raises ValueError for an unknown camera."""
        if camera not in CAMERAS:
            raise ValueError(f"camera: found {camera!r}, accepted: {', '.join(CAMERAS)}")
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self.model, *self.image_size)
            self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._renderer.update_scene(self.data, camera)
        return self._renderer.render()

    def camera_intrinsics(self, camera: str) -> tuple[float, float, float, float]:
        """(fx, fy, cx, cy) in pixels of a camera at this world's image size."""
        height, width = self.image_size
        focal = 0.5 * height / np.tan(np.radians(CAMERAS[camera].fovy) / 2)
        return focal, focal, (width - 1) / 2, (height - 1) / 2

    def observation(self, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """One frame of the named observations, LeRobot's feature names; all of them by default.

        Raises:
            ValueError: a name that this world does not have.
        """
        sources = {
            "observation.state": lambda: self.joint_positions.astype(np.float32),
            "observation.environment_state": self._environment_state,
            **{f"observation.images.{camera}": partial(self.render, camera) for camera in self.cameras},
        }
        unknown = set(names or ()) - set(sources)
        if unknown:
            raise ValueError(f"observation: found {sorted(unknown)}, accepted: {', '.join(sources)}")
        return {name: sources[name]() for name in names or sources}

    def _environment_state(self) -> np.ndarray:
        tip = self.data.site_xpos[self._tip]
        return np.concatenate([self.task.environment_state(self.object_poses), tip]).astype(np.float32)

    @property
    def vectors(self) -> dict[str, Vector]:
        """The action and the vector observations."""
        joints, objects = Vector(JOINT_NAMES, "rad"), self.task.environment
        return {
            "action": joints,
            "observation.state": joints,
            "observation.environment_state": Vector(
                (*objects.names, *TIP_NAMES), (*objects.unit, *TIP_UNITS)
            ),
        }

    def behaviour(self, states: np.ndarray, environment_states: np.ndarray) -> Behaviour:
        """The way that a trajectory takes: joint positions (T, 6) rad, environment states (T, E)."""
        if not self.modes:
            return Behaviour()
        scratch = mujoco.MjData(self.model)
        tips = np.empty((len(states), 3))
        for tick, joints in enumerate(states):
            scratch.qpos[self._joint_addresses] = joints
            mujoco.mj_kinematics(self.model, scratch)
            tips[tick] = scratch.site_xpos[self._tip]
        return self.task.behaviour(tips, environment_states.astype(float))

    def close(self) -> None:
        """Free the renderer; EGL complains at exit otherwise."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
