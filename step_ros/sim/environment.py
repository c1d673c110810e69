"""What every simulated task offers to collection and rollouts, whatever engine simulates it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from step_ros.sim.behaviour import Behaviour


class UnreachableError(RuntimeError):
    """The expert finds no way to do it from this start."""


class MissingSimulatorError(ImportError):
    """A task needs a package that is not installed."""


@dataclass(frozen=True)
class Vector:
    """A feature that is a plain vector: the name of each number, and their unit or units."""

    names: tuple[str, ...]
    unit: str | tuple[str, ...]


class Environment(Protocol):
    """A task in a world of its own. Same seed, same episode, bit for bit."""

    name: str
    instruction: str
    robot: str
    """Kind of robot, as datasets name it."""
    fps: int
    """Ticks of `step` per simulated second."""
    max_ticks: int
    """Ticks after which an episode counts as failed."""
    cameras: tuple[str, ...]
    """Cameras that a policy may use; each is a feature `observation.images.<camera>`."""
    modes: tuple[str, ...]
    """Ways of doing it between which demonstrations choose at random; empty where there is one way."""
    demonstration_noise: float
    """Usual standard deviation of the disturbance of demonstrations, in the unit of the action."""
    disturbed: np.ndarray
    """Which dimensions of the action demonstrations disturb: (D,) bool."""

    @property
    def vectors(self) -> dict[str, Vector]:
        """The action and every vector observation."""

    def reset(self, seed: int) -> None:
        """Start the episode that belongs to `seed`."""

    def step(self, action: np.ndarray) -> None:
        """Simulate one tick with `action` (D,)."""

    def observation(self, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """One frame of the named observations: vectors float32, images (H, W, 3) uint8.

        Only what is asked for is rendered. Raises ValueError for a name that is not observed here.
        """

    @property
    def success(self) -> bool:
        """The task is done."""

    @property
    def score(self) -> float:
        """How well it is done, 0 to 1; tasks that are done or not done score 0 or 1."""

    def behaviour(self, states: np.ndarray, environment_states: np.ndarray) -> Behaviour:
        """What way of doing it a trajectory shows: (T, S) and (T, E), the two vector observations."""

    def close(self) -> None:
        """Free what the world holds."""


class ScriptedExpert(Protocol):
    """Solves the episode that its environment has just begun."""

    @property
    def done(self) -> bool:
        """There is nothing left to do, or nothing that the expert can do."""

    def action(self) -> np.ndarray:
        """The action (D,) of the next tick; call it once per tick."""

    @property
    def freedom(self) -> float:
        """How many times larger than usual a disturbance of that action may be."""


STATES = ("observation.state", "observation.environment_state")
"""The vector observations of every environment: the robot's own state, and that of the objects."""


def draw_mode(modes: Sequence[str], rng: np.random.Generator) -> str | None:
    """One of the modes, each as likely; None where there is one way."""
    return str(rng.choice(list(modes))) if modes else None
