"""One episode in lock-step simulation: observe, plan, execute the prefix, again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from step_ros.policy.policy import Plan, Policy
from step_ros.sim.world import World

MAX_TICKS = 300


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
    """Mean absolute third difference of the commanded positions, rad per tick cubed."""


def run_episode(world: World, policy: Policy, seed: int, max_ticks: int = MAX_TICKS) -> EpisodeResult:
    """Run `policy` in `world` from the start that belongs to `seed`, until success or `max_ticks`."""
    world.reset(seed)
    policy.reset(seed)
    frames_needed = policy.config.n_obs_steps
    window = deque([_observe(world, policy)] * frames_needed, maxlen=frames_needed)
    plans: list[Plan] = []
    commands: list[np.ndarray] = []
    while not world.success and len(commands) < max_ticks:
        plan = policy.act({name: np.stack([frame[name] for frame in window]) for name in window[0]})
        plans.append(plan)
        for index, action in enumerate(plan.executed):
            world.step(action)
            commands.append(action)
            # Only the frames that the next window will hold are rendered.
            if index >= len(plan.executed) - frames_needed:
                window.append(_observe(world, policy))
            if world.success:
                break
    later = plans[1:] or plans
    return EpisodeResult(
        seed=seed,
        success=world.success,
        ticks=len(commands),
        cycles=len(plans),
        nfe_per_cycle=float(np.mean([plan.nfe for plan in later])),
        policy_ms=float(np.median([plan.milliseconds["total"] for plan in later])),
        stalls=sum(plan.stalled for plan in plans),
        jerk=float(np.abs(np.diff(np.stack(commands), n=3, axis=0)).mean()) if len(commands) > 3 else 0.0,
    )


def _observe(world: World, policy: Policy) -> dict[str, np.ndarray]:
    return world.observation(policy.config.input_features)
