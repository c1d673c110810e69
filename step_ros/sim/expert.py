"""The scripted expert: plans one pick-and-place in joint space with `mink` and plays it back tick by tick."""

from __future__ import annotations

from dataclasses import dataclass

import mink
import mujoco
import numpy as np

from step_ros.control.joints import JOINT_NAMES
from step_ros.sim.arm import CUBE_HALF, GRASP_CLEARANCE, GRASP_SITE, arm_spec
from step_ros.sim.environment import UnreachableError
from step_ros.sim.servo import Servo
from step_ros.sim.task import PAN_AXIS_X, yaw_of
from step_ros.sim.world import CONTROL_RATE, World

JAW_OPEN, JAW_CLOSED, JAW_RELEASED = 0.9, 0.05, 0.75
HOVER = 0.06
"""Height (m) above the object before and after a grasp: any higher and the wrist cannot point down."""
GRASP_HEIGHT = CUBE_HALF - 0.002
RELEASE_GAP = 0.002
FREE = 3.0
"""Freedom far from cubes and table: arriving a centimetre off has to be seen to be put right."""
IK_TOLERANCE = 0.004
_IK_ITERATIONS = 60


@dataclass(frozen=True)
class Waypoint:
    """Where the grasp point is to be, jaw angle, how long the way there takes, and what it goes through.

    The way is straight, or a parabola through `through` (m) half way. Disturbances may be `freedom` times
    larger than usual on it.
    """

    position: np.ndarray
    yaw: float
    jaw: float
    seconds: float
    through: np.ndarray | None = None
    freedom: float = 1.0


class Expert:
    """Plans from the world's present state; `action()` gives the set points of one tick after the other.

    Set points lie above the planned posture by what the servo gives way under the arm's weight.

    Args:
        mode: one of the world's modes; the first by default.

    Raises:
        ValueError: unknown mode.
        UnreachableError: inverse kinematics misses a waypoint by more than IK_TOLERANCE.
    """

    def __init__(self, world: World, mode: str | None = None):
        if mode not in (None, *world.modes):
            raise ValueError(f"mode: found {mode!r}, accepted: {', '.join(world.modes) or None}")
        self._mode = mode or (world.modes[0] if world.modes else None)
        self._path, self._freedom = self._plan(world)
        self._tick = 0

    @property
    def done(self) -> bool:
        """The whole plan has been played."""
        return self._tick >= len(self._path)

    def action(self) -> np.ndarray:
        """Set points (6,) rad to be reached at the end of this tick; the last ones once the plan is done."""
        action = self._path[min(self._tick, len(self._path) - 1)]
        self._tick += 1
        return action.copy()

    @property
    def freedom(self) -> float:
        """How many times larger than usual a disturbance may be on the way to the newest action."""
        return float(self._freedom[max(self._tick - 1, 0)])

    def __len__(self) -> int:
        return len(self._path)

    def _plan(self, world: World) -> tuple[np.ndarray, np.ndarray]:
        """Set points (T, 6) rad, and each tick's freedom (T,)."""
        arm = _ArmIk(world.joint_positions, world.servo)
        poses = world.object_poses
        path, freedom = [world.joint_positions], []
        start = arm.grasp_position()
        yaw = arm.jaw_yaw()
        for waypoint in _waypoints(poses, world, start, self._mode):
            ticks = max(1, round(waypoint.seconds * CONTROL_RATE))
            before, yaw_before, jaw_before = start, yaw, path[-1][-1]
            for share in _minimum_jerk(ticks):
                position = before + share * (waypoint.position - before)
                if waypoint.through is not None:
                    aside = waypoint.through - (before + waypoint.position) / 2
                    position = position + 4 * share * (1 - share) * aside
                joints = arm.solve(position, yaw_before + share * (waypoint.yaw - yaw_before))
                path.append(np.append(joints, jaw_before + share * (waypoint.jaw - jaw_before)))
            freedom += [waypoint.freedom] * ticks
            start, yaw = waypoint.position, waypoint.yaw
        return np.stack(path[1:]), np.array(freedom)


def _waypoints(poses: np.ndarray, world: World, start: np.ndarray, mode: str | None) -> list[Waypoint]:
    picked = poses[world.task.picked(mode)]
    cube, place = picked[:3], world.task.place_position(poses)
    pick_yaw = _nearest_quarter_turn(yaw_of(picked), _radial_yaw(cube))
    wanted = world.task.place_yaw(poses)
    place_yaw = (
        pick_yaw + _radial_yaw(place) - _radial_yaw(cube)
        if wanted is None
        else _nearest_quarter_turn(wanted, _radial_yaw(place))
    )
    at_cube = np.array([*cube[:2], GRASP_HEIGHT])
    # Closing pushes the cube against the fixed finger, so the held cube sits that much off the grasp point.
    shift = GRASP_CLEARANCE * np.array([np.cos(place_yaw), np.sin(place_yaw), 0.0])
    at_place = place + shift + (0.0, 0.0, GRASP_HEIGHT - CUBE_HALF + RELEASE_GAP)
    up = np.array([0.0, 0.0, HOVER])
    carry_seconds = _transit_seconds(at_cube, at_place)
    passes = world.task.passes(poses, mode)
    through = None
    if passes is not None:
        through = np.array([*passes, at_cube[2] + HOVER])
        carry_seconds = _transit_seconds(at_cube, through) + _transit_seconds(through, at_place)
    return [
        Waypoint(at_cube + up, pick_yaw, JAW_OPEN, _transit_seconds(start, at_cube + up), freedom=FREE),
        Waypoint(at_cube, pick_yaw, JAW_OPEN, 0.6),
        Waypoint(at_cube, pick_yaw, JAW_CLOSED, 0.5),
        Waypoint(at_cube + up, pick_yaw, JAW_CLOSED, 0.6),
        Waypoint(at_place + up, place_yaw, JAW_CLOSED, carry_seconds, through, freedom=FREE),
        Waypoint(at_place, place_yaw, JAW_CLOSED, 0.6),
        Waypoint(at_place, place_yaw, JAW_RELEASED, 0.4),
        Waypoint(at_place + up, place_yaw, JAW_RELEASED, 0.6),
        Waypoint(at_place + up, place_yaw, JAW_RELEASED, 0.4),
    ]


def _transit_seconds(start: np.ndarray, end: np.ndarray) -> float:
    """About 0.2 m/s on average, but never rushed."""
    return 0.5 + float(np.linalg.norm(end - start)) / 0.3


def _radial_yaw(position: np.ndarray) -> float:
    return float(np.arctan2(position[1], position[0] - PAN_AXIS_X))


def _nearest_quarter_turn(yaw: float, reference: float) -> float:
    """A cube looks the same every quarter turn: the yaw nearest to `reference`."""
    return reference + (yaw - reference + np.pi / 4) % (np.pi / 2) - np.pi / 4


def _minimum_jerk(ticks: int) -> np.ndarray:
    share = np.arange(1, ticks + 1) / ticks
    return share**3 * (10 - 15 * share + 6 * share**2)


class _ArmIk:
    """Position first, then a gripper that points down with the wanted yaw, within the joint limits."""

    def __init__(self, joint_positions: np.ndarray, servo: Servo):
        self.model = arm_spec().compile()
        self.configuration = mink.Configuration(self.model, q=joint_positions.copy())
        self._stiffness = servo.kp
        self._task = mink.FrameTask(GRASP_SITE, "site", position_cost=1.0, orientation_cost=0.02)
        self._jaw = mink.PostureTask(self.model, cost=[0, 0, 0, 0, 0, 1.0])
        self._jaw.set_target_from_configuration(self.configuration)
        self._limits = [mink.ConfigurationLimit(self.model)]

    def grasp_position(self) -> np.ndarray:
        return self.configuration.get_transform_frame_to_world(GRASP_SITE, "site").translation()

    def jaw_yaw(self) -> float:
        """World yaw (rad) of the direction in which the jaw opens."""
        opening = (
            self.configuration.get_transform_frame_to_world(GRASP_SITE, "site").rotation().as_matrix()[:, 0]
        )
        return float(np.arctan2(opening[1], opening[0]))

    def solve(self, position: np.ndarray, yaw: float) -> np.ndarray:
        """Set points (5,) rad of the arm joints that hold the grasp point at `position` (m)."""
        rotation = mink.SO3.from_z_radians(yaw)
        self._task.set_target(mink.SE3.from_rotation_and_translation(rotation, position))
        for _ in range(_IK_ITERATIONS):
            velocity = mink.solve_ik(
                self.configuration, [self._task, self._jaw], 1.0, "daqp", damping=1e-6, limits=self._limits
            )
            self.configuration.integrate_inplace(velocity, 1.0)
            if np.abs(velocity).max() < 1e-4:
                break
        miss = float(np.linalg.norm(self.grasp_position() - position))
        if miss > IK_TOLERANCE:
            raise UnreachableError(f"grasp point {np.round(position, 3)} m missed by {1000 * miss:.1f} mm")
        # At rest, after the update of the configuration, the bias force is the arm's weight.
        mujoco.mj_forward(self.model, self.configuration.data)
        sag = self.configuration.data.qfrc_bias / self._stiffness
        return (self.configuration.q + sag)[: len(JOINT_NAMES) - 1]
