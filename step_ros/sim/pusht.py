"""Task: push the T-shaped block onto its goal, in the plane. The world is gym-pusht's, on pymunk.

Lengths are gym-pusht's pixels: the table is 512 wide, the origin is its upper left corner, y points down.
The action is where the agent is to be 0.1 s later; the agent follows it like a damped spring.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from step_ros.sim.behaviour import Behaviour, way_round
from step_ros.sim.environment import Vector

# pygame announces itself on standard output when it is imported.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
from gym_pusht.envs.pusht import PushTEnv

KEYPOINTS = 8
"""Corners of the two rectangles that make the block."""
TABLE = 512.0
SUCCESS_COVERAGE = 0.95
CLOCKWISE, COUNTERCLOCKWISE = "clockwise", "counterclockwise"


class PushT:
    """One Push-T table. Same seed, same episode, bit for bit."""

    name = "pusht"
    instruction = "Push the T-shaped block onto the T-shaped target."
    robot = "pusht"
    fps = 10
    max_ticks = 300
    cameras: tuple[str, ...] = ()
    modes = (CLOCKWISE, COUNTERCLOCKWISE)
    demonstration_noise = 2.0
    """Standard deviation of the disturbance of demonstrated actions, pixels."""
    disturbed = np.array([True, True])

    def __init__(self) -> None:
        self._env = PushTEnv(obs_type="environment_state_agent_pos")
        self.reset(0)

    @property
    def vectors(self) -> dict[str, Vector]:
        """The action and the vector observations; the goal is always the same, so it is not among them."""
        corners = tuple(f"block.{axis}{number}" for number in range(KEYPOINTS) for axis in "xy")
        return {
            "action": Vector(("agent.x", "agent.y"), "pixel"),
            "observation.state": Vector(("agent.x", "agent.y"), "pixel"),
            "observation.environment_state": Vector(corners, "pixel"),
        }

    def reset(self, seed: int) -> None:
        """Start the episode that belongs to `seed`: gym-pusht's own draw of agent and block."""
        self._seen, _ = self._env.reset(seed=seed)
        self._score = 0.0

    def step(self, action: np.ndarray) -> None:
        """One tick of 0.1 s towards `action` (2,) pixels, limited to the table.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        if not np.isfinite(action).all():
            raise ValueError(f"action: found {action}, accepted: finite positions")
        self._seen, _, _, _, info = self._env.step(np.clip(action, 0.0, TABLE))
        self._score = float(info["coverage"])

    @property
    def success(self) -> bool:
        """More than 95 % of the goal is covered."""
        return self._score > SUCCESS_COVERAGE

    @property
    def score(self) -> float:
        """Share of the goal that the block covers now, 0 to 1; 0 before the first step."""
        return self._score

    @property
    def agent(self) -> np.ndarray:
        """Position (2,) of the agent."""
        return self._seen["agent_pos"]

    @property
    def block_pose(self) -> np.ndarray:
        """x, y, angle (rad) of the block."""
        block = self._env.block
        return np.array([*block.position, block.angle])

    @property
    def goal_pose(self) -> np.ndarray:
        """x, y, angle (rad) that the block shall have."""
        return self._env.goal_pose

    def observation(self, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """One frame of the named observations; all of them by default.

        Raises:
            ValueError: a name that this world does not have.
        """
        frame = {
            "observation.state": self.agent.astype(np.float32),
            "observation.environment_state": self._seen["environment_state"].astype(np.float32),
        }
        unknown = set(names or ()) - set(frame)
        if unknown:
            raise ValueError(f"observation: found {sorted(unknown)}, accepted: {', '.join(frame)}")
        return {name: frame[name] for name in names or frame}

    def behaviour(self, states: np.ndarray, environment_states: np.ndarray) -> Behaviour:
        """Which way round the block the agent went before it first moved the block.

        states: agent positions (T, 2); environment_states: key points (T, 16).
        """
        blocks = environment_states.reshape(len(environment_states), KEYPOINTS, 2)
        # The image's y axis points down, so a growing angle turns clockwise for the one who looks.
        return way_round(states, blocks, (CLOCKWISE, COUNTERCLOCKWISE))

    def render(self, camera: str = "view") -> np.ndarray:
        """The table as people see it, (680, 680, 3) uint8, whatever the camera's name."""
        return self._env.render()

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> PushT:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
