"""One episode in lock-step simulation: observe, plan, execute the prefix, again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from step_ros.control.seams import SeamJump, seam_jump
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import SAME_TIME, Trajectory
from step_ros.evaluation.stillness import final_stand, longest_stand
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
    aux_nfe_per_cycle: float
    """Evaluations of the small networks (predictor or prior) per warm cycle."""
    nfe_total: int
    """Denoiser evaluations of the whole episode, the cold cycle included."""
    policy_ms: float
    """Median time of one `act` of a warm cycle, milliseconds."""
    policy_ms_total: float
    """Time of all `act` of the episode, milliseconds."""
    stalls: int
    jerk: float
    """Mean absolute third difference of the commanded positions, in the action's unit per tick cubed."""
    seam_position: float | None
    seam_velocity: float | None
    """By how much position and velocity of the worst joint change where a chunk takes over from the one
    before, at the moment of its first executed action; means over the episode, in the action's unit and that
    per second. None where no chunk reaches into the next."""
    score: float
    """The best of the task's score during the episode (coverage in Push-T, else 0 or 1)."""
    mode: str | None
    indecision: int
    mode_switches: int
    """The way that was taken and how steadily (`step_ros.sim.behaviour.Behaviour`)."""
    longest_stand: int
    final_stand: int
    """Ticks for which the robot stood still: the longest time, and at the end (`evaluation.stillness`)."""


def run_episode(
    world: Environment,
    policy: Policy,
    seed: int,
    max_ticks: int | None = None,
    watch: Callable[[Mapping[str, np.ndarray], Plan], None] | None = None,
) -> EpisodeResult:
    """Run `policy` in `world` from the start that belongs to `seed`, until success or `max_ticks`.

    By default the world says how many ticks an episode may take. The policy is given exactly the
    observations that its config names; without images nothing is rendered.

    Args:
        watch: called with the window and the plan of every cycle.

    Raises:
        ConfigError: the policy's rate, actions or observations are not those of the world.
    """
    _check(world, policy.config)
    world.reset(seed)
    policy.reset(seed)
    frames_needed = policy.config.n_obs_steps
    window = deque([_observe(world, policy)] * frames_needed, maxlen=frames_needed)
    plans: list[Plan] = []
    motions: list[Trajectory] = []
    commands: list[np.ndarray] = []
    track = [world.observation(STATES)]
    best_score = 0.0
    limit = world.max_ticks if max_ticks is None else max_ticks
    while not world.success and len(commands) < limit:
        seen = {name: np.stack([frame[name] for frame in window]) for name in window[0]}
        plan = policy.act(seen)
        plans.append(plan)
        motions.append(_motion(plan, commands, policy.config))
        if watch:
            watch(seen, plan)
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
    jumps = _seams(motions, policy.config.fps)
    states, environment_states = (np.stack([frame[name] for frame in track]) for name in STATES)
    behaviour = world.behaviour(states, environment_states)
    return EpisodeResult(
        seed=seed,
        success=world.success,
        ticks=len(commands),
        cycles=len(plans),
        nfe_per_cycle=float(np.mean([plan.nfe for plan in later])),
        aux_nfe_per_cycle=float(np.mean([plan.aux_nfe for plan in later])),
        nfe_total=sum(plan.nfe for plan in plans),
        policy_ms=float(np.median([plan.milliseconds["total"] for plan in later])),
        policy_ms_total=float(sum(plan.milliseconds["total"] for plan in plans)),
        stalls=sum(plan.stalled for plan in plans),
        jerk=float(np.abs(np.diff(np.stack(commands), n=3, axis=0)).mean()) if len(commands) > 3 else 0.0,
        seam_position=float(np.mean([jump.position for jump in jumps])) if jumps else None,
        seam_velocity=float(np.mean([jump.velocity for jump in jumps])) if jumps else None,
        score=best_score,
        mode=behaviour.mode,
        indecision=behaviour.indecision,
        mode_switches=behaviour.switches,
        longest_stand=longest_stand(states),
        final_stand=final_stand(states),
    )


def _motion(plan: Plan, commands: Sequence[np.ndarray], config: PolicyConfig) -> Trajectory:
    """What a plan would have the controller do, observed after the commands so far."""
    anchor = commands[-1] if commands else plan.chunk[0]
    return make_trajectory(plan.chunk, len(commands) / config.fps, config.fps, config.n_obs_steps, anchor)


def _seams(motions: Sequence[Trajectory], fps: float) -> list[SeamJump]:
    """Jumps from each motion to the next at the latter's first executed action, where the former goes on."""
    moments = [motion.stamp + 1 / fps for motion in motions]
    return [
        seam_jump(before.state(moment), after.state(moment))
        for before, after, moment in zip(motions, motions[1:], moments[1:], strict=False)
        if moment < before.end - SAME_TIME
    ]


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
