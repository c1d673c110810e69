"""One episode in lock-step simulation: observe, plan, execute the prefix, again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from step_ros.policy.config import IMAGES, PolicyConfig
from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import Plan, Policy
from step_ros.sim.environment import STATES, Environment


@dataclass(frozen=True)
class EpisodeResult:
    """What one episode came to."""

    seed: int
    success: bool
    ticks: int
    cycles: int
    nfe_per_cycle: float
    """Denoiser evaluations per warm cycle; the first (cold) cycle is left out where there are others."""
    policy_ms: float
    """Median time of one `act`, milliseconds."""
    stalls: int
    jerk: float
    """Mean absolute third difference of the commanded positions, in the action's unit per tick cubed."""
    score: float
    """The best of the task's score during the episode (coverage in Push-T, else 0 or 1)."""
    mode: str | None
    indecision: int
    mode_switches: int
    """The way that was taken and how steadily (`step_ros.sim.behaviour.Behaviour`)."""


def run_episode(world: Environment, policy: Policy, seed: int, max_ticks: int | None = None) -> EpisodeResult:
    """Run `policy` in `world` from the start that belongs to `seed`, until success or `max_ticks`.

    By default the world says how many ticks an episode may take. The policy is given exactly the
    observations that its config names; without images nothing is rendered.

    Raises:
        ConfigError: the policy's rate, actions or observations are not those of the world.
    """
    _check(world, policy.config)
    world.reset(seed)
    policy.reset(seed)
    frames_needed = policy.config.n_obs_steps
    window = deque([_observe(world, policy)] * frames_needed, maxlen=frames_needed)
    plans: list[Plan] = []
    commands: list[np.ndarray] = []
    track = [world.observation(STATES)]
    best_score = 0.0
    limit = world.max_ticks if max_ticks is None else max_ticks
    while not world.success and len(commands) < limit:
        plan = policy.act({name: np.stack([frame[name] for frame in window]) for name in window[0]})
        plans.append(plan)
        for index, action in enumerate(plan.executed):
            world.step(action)
            commands.append(action)
            track.append(world.observation(STATES))
            best_score = max(best_score, world.score)
            # Only the frames that the next window will hold are rendered.
            if index >= len(plan.executed) - frames_needed:
                window.append(_observe(world, policy))
            if world.success:
                break
    later = plans[1:] or plans
    behaviour = world.behaviour(*(np.stack([frame[name] for frame in track]) for name in STATES))
    return EpisodeResult(
        seed=seed,
        success=world.success,
        ticks=len(commands),
        cycles=len(plans),
        nfe_per_cycle=float(np.mean([plan.nfe for plan in later])),
        policy_ms=float(np.median([plan.milliseconds["total"] for plan in later])),
        stalls=sum(plan.stalled for plan in plans),
        jerk=float(np.abs(np.diff(np.stack(commands), n=3, axis=0)).mean()) if len(commands) > 3 else 0.0,
        score=best_score,
        mode=behaviour.mode,
        indecision=behaviour.indecision,
        mode_switches=behaviour.switches,
    )


def _observe(world: Environment, policy: Policy) -> dict[str, np.ndarray]:
    return world.observation(policy.config.input_features)


def _check(world: Environment, config: PolicyConfig) -> None:
    actions = world.vectors["action"].names
    observed = {*STATES, *(f"{IMAGES}{camera}" for camera in world.cameras)}
    for field, found, accepted in (
        ("fps", config.fps, float(world.fps)),
        ("action_names", len(config.action_names), len(actions)),
        ("input_features", sorted(set(config.input_features) - observed), []),
    ):
        if found != accepted:
            raise ConfigError(field, found, f"{accepted}, as in {world.name}")
