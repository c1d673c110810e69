"""The simulated arm, its tasks, cameras and scripted expert."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.sim.arm import CUBE_HALF
from step_ros.sim.behaviour import Behaviour
from step_ros.sim.demonstrations import demonstrate
from step_ros.sim.environment import STATES
from step_ros.sim.expert import FREE, Expert
from step_ros.sim.meshes import merge_cells
from step_ros.sim.servo import SERVOS
from step_ros.sim.task import GRIPPER_OPEN
from step_ros.sim.world import CONTROL_RATE, HOLD_SUBSTEPS, SUBSTEPS, TASKS, World

# Positions (m) of the gripper frame for joint angles (rad), from the official model with its own meshes.
FORWARD_KINEMATICS = [
    ((0, 0, 0, 0, 0, 0), (0.3914, 0.0, 0.2265)),
    ((np.pi / 2, 0, 0, 0, 0, 0), (0.0388, -0.3525, 0.2265)),
    ((0, 0.5, 0, 0, 0, 0), (0.4046, 0.0, 0.0586)),
    ((0, -0.5, 0, 0, 0, 0), (0.2993, 0.0, 0.3675)),
    ((0, 0, 0.5, 0, 0, 0), (0.3541, 0.0, 0.0858)),
    ((0, 0, 0, 0.5, 0, 0), (0.3681, 0.0, 0.1511)),
    ((0, 0, 0, 0, 0.5, 0), (0.3914, -0.0038, 0.2274)),
    ((0, 0, 0, 1.4, 0, 0), (0.2514, 0.0, 0.0761)),
    ((0, 1.5, -1.5, 0, 0, 0), (0.4776, 0.0, 0.0939)),
]


@pytest.fixture(scope="module", params=sorted(TASKS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with World(request.param) as built:
        yield built


@pytest.fixture(scope="module")
def pick_place() -> Iterator[World]:
    with World("pick_place") as built:
        yield built


def test_every_number_of_the_environment_state_has_a_name_and_a_unit(world: World):
    vector = world.vectors["observation.environment_state"]
    assert len(world.observation(["observation.environment_state"])["observation.environment_state"]) == len(
        vector.names
    )
    assert len(vector.unit) == len(vector.names) == len(set(vector.names))


def test_the_environment_state_ends_with_the_gripper_tip(pick_place: World):
    pick_place.reset(1)
    before = pick_place.observation(["observation.environment_state"])["observation.environment_state"][-3:]
    pick_place.step(pick_place.set_points + np.array([0.0, 0.1, 0.0, 0.0, 0.0, 0.0]))
    after = pick_place.observation(["observation.environment_state"])["observation.environment_state"][-3:]
    np.testing.assert_allclose(after, pick_place.data.site("grasp").xpos, atol=1e-6)
    assert np.linalg.norm(after - before) > 0.005


def play(world: World, expert: Expert) -> None:
    while not expert.done:
        world.step(expert.action())


@pytest.mark.parametrize(("joints", "expected"), FORWARD_KINEMATICS)
def test_gripper_frame_is_where_the_official_kinematics_put_it(pick_place, joints, expected):
    pick_place.set_state(np.array(joints, float), pick_place.object_poses)
    assert np.allclose(pick_place.data.site("gripperframe").xpos, expected, atol=1e-4)


def test_same_seed_gives_the_same_episode_bit_for_bit(world: World):
    def episode() -> tuple[np.ndarray, np.ndarray]:
        world.reset(7)
        for _ in range(20):
            world.step(world.joint_positions + 0.02)
        return world.data.qpos.copy(), world.render("wrist")

    (first_state, first_image), (second_state, second_image) = episode(), episode()
    assert np.array_equal(first_state, second_state)
    assert np.array_equal(first_image, second_image)


def test_different_seeds_place_the_objects_differently(world: World):
    world.reset(1)
    first = world.object_poses
    world.reset(2)
    assert np.abs(world.object_poses - first)[:, :2].max() > 0.005


def test_start_poses_lie_on_the_table_within_reach_and_apart(world: World):
    for seed in range(50):
        world.reset(seed)
        positions = world.object_poses[:, :3]
        reach = np.linalg.norm(positions[:, :2] - (0.0388353, 0.0), axis=1)
        assert ((reach > 0.16) & (reach < 0.25)).all()
        between = np.linalg.norm(positions[:, None, :2] - positions[None, :, :2], axis=2)
        assert between[np.triu_indices(len(positions), k=1)].min() > 0.085
        assert 0.0 <= positions[:, 2].min() <= CUBE_HALF + 1e-6


@pytest.mark.parametrize("seed", [20_001, 20_002])
def test_expert_solves_unseen_starts(world: World, seed: int):
    world.reset(seed)
    play(world, Expert(world))
    assert world.success


@pytest.mark.parametrize(("task", "mode"), [(name, mode) for name in TASKS for mode in TASKS[name].modes])
def test_expert_takes_the_way_it_is_told_and_the_trajectory_shows_it(task: str, mode: str):
    with World(task) as world:
        world.reset(20_005)
        expert, seen = Expert(world, mode), []
        while not expert.done:
            world.step(expert.action())
            seen.append(world.observation(STATES))
        states, environment_states = (np.stack([frame[name] for frame in seen]) for name in STATES)
        assert world.success
        assert world.behaviour(states, environment_states) == Behaviour(mode)


def test_a_way_that_the_task_does_not_have_is_refused_with_those_it_has(world: World):
    with pytest.raises(ValueError, match="accepted"):
        Expert(world, "blindfold")


def test_the_post_stops_what_is_carried_into_it():
    with World("round_obstacle") as world:
        world.reset(20_005)
        expert = Expert(world, "far")
        for _ in range(80):
            world.step(expert.action())
        post = world.data.body("post").xpos[:2]
        held = world.joint_positions
        world.set_state(held, world.object_poses)
        hit = False
        for _ in range(60):
            target = world.set_points
            target[0] += 0.02 * np.sign(world.object_poses[0, 1])
            world.step(target)
            hit |= any(
                world.model.body("post").id in world.model.geom_bodyid[contact.geom]
                for contact in world.data.contact
            )
        assert np.allclose(world.data.body("post").xpos[:2], post)
        assert hit


def test_success_needs_half_a_second_with_the_gripper_open(pick_place: World):
    pick_place.reset(3)
    poses = pick_place.object_poses
    poses[0, :3] = pick_place.task.place_position(poses)
    home = pick_place.joint_positions
    for jaw, expected in ((GRIPPER_OPEN - 0.2, False), (GRIPPER_OPEN + 0.2, True)):
        joints = np.append(home[:5], jaw)
        pick_place.set_state(joints, poses)
        pick_place.advance(HOLD_SUBSTEPS - 1)
        assert not pick_place.success
        pick_place.advance(2)
        assert pick_place.success is expected


def test_success_ends_when_the_object_is_taken_away(pick_place: World):
    pick_place.reset(3)
    poses = pick_place.object_poses
    poses[0, :3] = pick_place.task.place_position(poses)
    pick_place.set_state(pick_place.joint_positions, poses)
    pick_place.advance(HOLD_SUBSTEPS + 1)
    assert pick_place.success
    pick_place.data.joint("cube").qpos[2] += 0.05
    pick_place.advance(1)
    assert not pick_place.success


def test_a_tick_moves_the_set_point_linearly_and_reaches_the_action(pick_place: World, monkeypatch):
    pick_place.reset(0)
    start = pick_place.set_points
    commands: list[np.ndarray] = []
    command = pick_place.command
    monkeypatch.setattr(
        pick_place, "command", lambda positions: (commands.append(positions), command(positions))
    )
    pick_place.step(start + 0.08)
    assert np.allclose(np.diff(commands, axis=0), 0.08 / SUBSTEPS)
    assert np.allclose(pick_place.set_points, start + 0.08)


def test_set_points_beyond_a_joint_range_are_limited(pick_place: World):
    pick_place.reset(0)
    pick_place.command(np.full(6, 9.0))
    assert (pick_place.set_points <= JointLimits.so101().upper + 1e-5).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_set_points_that_are_not_finite_are_refused_and_change_nothing(pick_place: World, value: float):
    pick_place.reset(0)
    before = pick_place.set_points
    with pytest.raises(ValueError, match="finite"):
        pick_place.command(np.array([value, 0, 0, 0, 0, 0]))
    assert np.array_equal(pick_place.set_points, before)


@pytest.mark.parametrize("servo", sorted(SERVOS))
def test_every_servo_holds_the_arm_near_its_set_point(servo: str):
    world = World("pick_place", servo=servo)
    hold = world.joint_positions
    for _ in range(CONTROL_RATE):
        world.step(hold)
    assert np.abs(world.joint_positions - hold).max() < 0.05


def test_cameras_see_the_red_cube(pick_place: World):
    pick_place.set_state(
        np.array([0.9, -1.2, 1.0, 1.0, 0.0, 0.9]),
        np.array([[0.22, 0.0, CUBE_HALF, 1, 0, 0, 0], [0.2, 0.12, 0, 1, 0, 0, 0]]),
    )
    red, green, blue = np.moveaxis(pick_place.render("top").astype(int), -1, 0)
    rows, columns = np.nonzero((red > 120) & (green < 90) & (blue < 90))
    assert len(rows) > 20
    fx, _, centre, _ = pick_place.camera_intrinsics("top")
    # The camera looks straight down from 0.6 m at x = 0.19, image up is +x.
    assert abs((centre - rows.mean()) * (0.6 - 2 * CUBE_HALF) / fx - (0.22 - 0.19)) < 0.005
    assert abs(columns.mean() - centre) < 3


def test_observation_gives_only_what_is_asked_for(pick_place: World):
    assert set(pick_place.observation(["observation.state"])) == {"observation.state"}
    with pytest.raises(ValueError, match=r"observation\.images\.side"):
        pick_place.observation(["observation.images.side"])


def test_environment_state_does_not_change_with_a_quarter_turn_of_a_cube(world: World):
    poses = world.object_poses
    turned = poses.copy()
    w, z = turned[0, 3], turned[0, 6]
    quarter = np.pi / 4
    turned[0, 3] = w * np.cos(quarter) - z * np.sin(quarter)
    turned[0, 6] = w * np.sin(quarter) + z * np.cos(quarter)
    assert np.allclose(world.task.environment_state(poses), world.task.environment_state(turned))


@pytest.mark.parametrize("arguments", [{"task": "juggle"}, {"servo": "dynamixel"}])
def test_unknown_names_are_refused_with_the_accepted_ones(arguments: dict):
    with pytest.raises(ValueError, match="accepted"):
        World(**arguments)


def test_unknown_camera_is_refused_with_the_accepted_ones(pick_place: World):
    with pytest.raises(ValueError, match="accepted: top, wrist"):
        pick_place.render("side")


def test_demonstrations_record_the_expert_and_repeat_for_the_same_seed(pick_place: World):
    shown, again = (demonstrate(pick_place, 20_003, noise=0.02, names=STATES) for _ in range(2))
    assert shown.seed == again.seed == 20_003
    assert set(shown.frames) == {*STATES, "action"}
    assert all(np.array_equal(values, again.frames[name]) for name, values in shown.frames.items())
    assert shown.frames["action"].shape == (len(shown.frames["observation.state"]), len(JOINT_NAMES))
    limits = JointLimits.so101()
    assert (np.abs(np.diff(shown.frames["action"], axis=0)) < limits.max_step).all()


def test_the_expert_lets_itself_be_disturbed_more_only_well_above_the_table(pick_place: World):
    pick_place.reset(20_003)
    expert, heights = Expert(pick_place), {1.0: [], FREE: []}
    while not expert.done:
        pick_place.step(expert.action())
        heights[expert.freedom].append(pick_place.data.site("grasp").xpos[2])
    assert min(heights[FREE]) > 0.045
    assert min(heights[1.0]) < 0.015


def test_only_what_is_asked_for_is_rendered_in_a_demonstration(pick_place: World, monkeypatch):
    monkeypatch.setattr(pick_place, "render", lambda camera: pytest.fail(f"{camera} was rendered"))
    demonstrate(pick_place, 20_004, noise=0.0, names=STATES)


def test_thinned_meshes_merge_cells_and_drop_collapsed_faces():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], np.float32)
    vertices, faces = merge_cells(corners, grid=0.5)
    assert vertices.shape == (3, 3)
    assert faces.shape == (1, 3)
