"""Push-T: the world behind the common interface, ways round the block, and the expert that plans pushes."""

from __future__ import annotations

import numpy as np
import pytest
from shapely.geometry import LineString, Polygon

pytest.importorskip("gym_pusht", reason="gym-pusht is not installed (requirements-no-deps.txt)")

from step_ros.sim.demonstrations import demonstrate
from step_ros.sim.environment import STATES
from step_ros.sim.environments import make_expert, open_environment
from step_ros.sim.pusht import SUCCESS_COVERAGE, TABLE, PushT
from step_ros.sim.pusht_table import AGENT_RADIUS, Block, PlanningTable, on_table
from step_ros.sim.pusht_ways import way_around, way_out
from step_ros.sim.servo import ServoError

SQUARE = Polygon([(206, 206), (306, 206), (306, 306), (206, 306)])


@pytest.fixture(scope="module")
def world() -> PushT:
    return PushT()


@pytest.fixture(scope="module")
def table() -> PlanningTable:
    return PlanningTable()


def test_same_seed_gives_the_same_episode_bit_for_bit(world: PushT):
    def episode() -> np.ndarray:
        world.reset(20_000)
        for _ in range(15):
            world.step(np.array([256.0, 256.0]))
        return np.concatenate(list(world.observation().values()))

    assert np.array_equal(episode(), episode())


def test_observations_are_the_vectors_that_the_world_describes(world: PushT):
    world.reset(20_001)
    frame = world.observation()
    assert set(frame) == set(STATES)
    assert {name: len(values) for name, values in frame.items()} == {
        name: len(vector.names) for name, vector in world.vectors.items() if name != "action"
    }
    assert np.allclose(frame["observation.state"], world.agent)
    assert (frame["observation.environment_state"] >= 0).all()
    assert (frame["observation.environment_state"] <= TABLE).all()


def test_what_is_not_observed_is_refused_with_what_is(world: PushT):
    with pytest.raises(ValueError, match=r"observation\.state"):
        world.observation(["observation.images.top"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_actions_that_are_not_finite_are_refused_and_change_nothing(world: PushT, value: float):
    world.reset(20_002)
    before = world.observation()
    with pytest.raises(ValueError, match="finite"):
        world.step(np.array([value, 0.0]))
    assert all(np.array_equal(before[name], values) for name, values in world.observation().items())


def test_an_action_beyond_the_table_moves_the_agent_to_its_edge(world: PushT):
    world.reset(20_003)
    for _ in range(40):
        world.step(np.array([-500.0, 5000.0]))
    assert np.allclose(world.agent, [0.0, TABLE], atol=1.0)


def test_success_is_the_goal_covered(world: PushT):
    world.reset(20_004)
    assert not world.success
    world._env.block.angle = world.goal_pose[2]
    world._env.block.position = tuple(world.goal_pose[:2])
    world.step(np.array([20.0, 20.0]))
    assert world.score > SUCCESS_COVERAGE
    assert world.success


def test_a_task_without_an_arm_takes_no_servo():
    with pytest.raises(ServoError, match="no arm"):
        open_environment("pusht", "sticky")


def test_a_planning_table_stands_as_it_was_put(table: PlanningTable):
    pose = np.array([200.0, 300.0, 1.2])
    table.put(np.array([100.0, 100.0]), pose)
    assert np.allclose(table.block_pose, pose)
    table.step(np.array([100.0, 100.0]))
    assert np.allclose(table.block_pose, pose, atol=1e-6)


def test_contacts_touch_nothing_and_point_at_the_block(table: PlanningTable):
    block = Block(table)
    positions, directions = block.contacts(spacing=12.0, clearance=3.0)
    assert len(positions) > 20
    for position, direction in zip(positions, directions, strict=True):
        ahead = LineString([position, position + 40 * direction])
        assert block.outline.distance(LineString([position, position])) > AGENT_RADIUS
        assert ahead.intersects(block.outline)


@pytest.mark.parametrize("turn", [-1, 1])
def test_a_way_round_turns_the_way_it_should_and_clears_the_block(turn: int):
    start, end = np.array([120.0, 256.0]), np.array([392.0, 256.0])
    way = np.vstack([start, way_around(SQUARE, start, end, turn)])
    offset = way - 256
    angle = np.unwrap(np.arctan2(offset[:, 1], offset[:, 0]))
    assert np.sign(angle[-1] - angle[0]) == turn
    assert LineString(way).distance(SQUARE) > AGENT_RADIUS
    assert np.allclose(way[-1], end)


def test_a_way_that_the_wall_leaves_no_room_for_is_none():
    at_the_wall = Polygon([(206, 0), (306, 0), (306, 300), (206, 300)])
    start, end = np.array([100.0, 100.0]), np.array([400.0, 100.0])
    assert way_around(at_the_wall, start, end, turn=1) is None
    assert way_around(at_the_wall, start, end, turn=-1) is not None


def test_the_way_out_of_the_block_ends_beside_it_on_the_table():
    end = way_out(SQUARE, np.array([210.0, 250.0]))[-1]
    assert SQUARE.distance(LineString([end, end])) > AGENT_RADIUS
    assert on_table(end)


@pytest.mark.parametrize("seed", [20_000, 20_002])
def test_the_expert_covers_the_goal(world: PushT, seed: int):
    world.reset(seed)
    expert = make_expert(world, seed)
    while not expert.done:
        world.step(expert.action())
    assert world.success


def test_demonstrations_repeat_and_say_which_way_round_was_gone(world: PushT):
    first, again = (demonstrate(world, 20_003, noise=2.0) for _ in range(2))
    assert all(np.array_equal(values, again.frames[name]) for name, values in first.frames.items())
    assert first.behaviour == again.behaviour
    assert first.behaviour.mode in (*world.modes, None)
    assert set(first.frames) == {*STATES, "action"}
