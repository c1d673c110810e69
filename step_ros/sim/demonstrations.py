"""Scripted demonstrations as arrays: the expert's intended actions, executed with disturbances.

Smooth noise on what is executed pushes the arm off the path while the recorded action stays the expert's
intention, so that a policy also sees how to come back (DART, Laskey et al. 2017).
"""

from __future__ import annotations

import numpy as np

from step_ros.sim.expert import Expert, UnreachableError
from step_ros.sim.world import CONTROL_RATE, World

NOISE_TIME_CONSTANT = 0.4
"""Correlation time (s) of the disturbance."""
RETRY_SEED_STRIDE = 10_000_000
"""The demonstration of `seed + stride` replaces a failed one: the result depends on the seed alone."""
MAX_TRIES = 10


def demonstrate(world: World, seed: int, noise: float) -> tuple[int, dict[str, np.ndarray]]:
    """Record one successful episode; returns (the seed that succeeded, frames: feature -> (T, ...)).

    noise: standard deviation (rad) of the disturbance of each arm joint; the gripper is left alone.

    Raises:
        RuntimeError: the expert failed MAX_TRIES times, so something is wrong with task or expert.
    """
    for attempt in range(MAX_TRIES):
        tried = seed + attempt * RETRY_SEED_STRIDE
        frames = _attempt(world, tried, noise)
        if frames is not None:
            return tried, frames
    raise RuntimeError(f"{world.task.name}: no success in {MAX_TRIES} demonstrations from seed {seed}")


def _attempt(world: World, seed: int, noise: float) -> dict[str, np.ndarray] | None:
    world.reset(seed)
    rng = np.random.default_rng([seed, 1])
    try:
        expert = Expert(world)
    except UnreachableError:
        return None
    frames: list[dict[str, np.ndarray]] = []
    decay = np.exp(-1.0 / (NOISE_TIME_CONSTANT * CONTROL_RATE))
    disturbance = np.zeros(6)
    for _ in range(len(expert)):
        frame = world.observation()
        action = expert.action()
        frames.append({**frame, "action": action.astype(np.float32)})
        disturbance[:5] = decay * disturbance[:5] + noise * np.sqrt(1 - decay**2) * rng.standard_normal(5)
        world.step(action + disturbance)
    if not world.success:
        return None
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
