"""Scripted demonstrations as arrays: the expert's intended actions, executed with disturbances.

Smooth noise on what is executed pushes the robot off the path while the recorded action stays the expert's
intention, so that a policy also sees how to come back (DART, Laskey et al. 2017).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from step_ros.sim.behaviour import Behaviour
from step_ros.sim.environment import STATES, Environment, UnreachableError
from step_ros.sim.environments import make_expert

NOISE_TIME_CONSTANT = 0.4
"""Correlation time (s) of the disturbance."""
RETRY_SEED_STRIDE = 10_000_000
"""The demonstration of `seed + stride` replaces a failed one: the result depends on the seed alone."""
MAX_TRIES = 10


@dataclass(frozen=True)
class Demonstration:
    """One successful episode: its seed, its frames (feature -> (T, ...)), and the way that it took."""

    seed: int
    frames: dict[str, np.ndarray]
    behaviour: Behaviour


def demonstrate(
    environment: Environment, seed: int, noise: float, names: Iterable[str] | None = None
) -> Demonstration:
    """Record one successful episode with the named observations, all of them by default.

    noise: standard deviation of the disturbance, in the unit of the action.

    Raises:
        RuntimeError: the expert failed MAX_TRIES times, so something is wrong with task or expert.
    """
    for attempt in range(MAX_TRIES):
        tried = seed + attempt * RETRY_SEED_STRIDE
        frames = _attempt(environment, tried, noise, names)
        if frames is not None:
            states, environment_states = (frames[name] for name in STATES)
            return Demonstration(tried, frames, environment.behaviour(states, environment_states))
    raise RuntimeError(f"{environment.name}: no success in {MAX_TRIES} demonstrations from seed {seed}")


def _attempt(
    environment: Environment, seed: int, noise: float, names: Iterable[str] | None
) -> dict[str, np.ndarray] | None:
    environment.reset(seed)
    rng = np.random.default_rng([seed, 1])
    try:
        expert = make_expert(environment, seed)
    except UnreachableError:
        return None
    frames: list[dict[str, np.ndarray]] = []
    decay = np.exp(-1.0 / (NOISE_TIME_CONSTANT * environment.fps))
    disturbed = environment.disturbed
    disturbance = np.zeros(len(disturbed))
    while not expert.done and len(frames) < environment.max_ticks:
        frame = environment.observation(names)
        action = expert.action()
        frames.append({**frame, "action": action.astype(np.float32)})
        kick = rng.standard_normal(int(disturbed.sum()))
        reach = expert.freedom * noise * np.sqrt(1 - decay**2)
        disturbance[disturbed] = decay * disturbance[disturbed] + reach * kick
        environment.step(action + disturbance)
    if not environment.success:
        return None
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
