"""The seam benchmark with a policy in the loop: simulated arm, internal follower, inference time as given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from step_ros.control.history import CommandHistory
from step_ros.control.joints import JOINT_NAMES
from step_ros.control.trajectory import Trajectory
from step_ros.evaluation.seams.playback import Trace, jumps, play
from step_ros.evaluation.seams.publication import Publication, Sender
from step_ros.policy.policy import Policy
from step_ros.sim.world import CONTROL_RATE, SUBSTEPS, World

RATE = 120
"""Controller periods per second: a whole number of physics steps each."""
TRANSPORT = 0.004
_ROUNDING = 1e-6
"""Seconds by which a set point may seem to come after a time that is its own."""


class _WorldArm:
    """The simulated arm as `play` drives it; takes the frames that a policy will ask for."""

    def __init__(self, world: World, policy: Policy) -> None:
        self._world, self._policy = world, policy
        self._frames: list[dict[str, np.ndarray]] = []
        self._periods = 0
        self.commanded = _Commanded()

    @property
    def positions(self) -> np.ndarray:
        return self._world.joint_positions

    @property
    def velocities(self) -> np.ndarray:
        return self._world.joint_velocities

    def advance(self, set_point: np.ndarray, seconds: float) -> None:
        self.commanded.add(self._periods / RATE, set_point)
        self._world.command(set_point)
        self._world.advance(CONTROL_RATE * SUBSTEPS // RATE)
        self._periods += 1
        # Only the frames that the next window will hold are rendered.
        if self._periods % (RATE // CONTROL_RATE) == 0:
            frame = self._periods // (RATE // CONTROL_RATE)
            steps = self._policy.settings.action_steps
            if -frame % steps < self._policy.config.n_obs_steps:
                self.look()

    def look(self) -> None:
        """Take a frame now."""
        frames = self._policy.config.n_obs_steps
        self._frames = [*self._frames, self._world.observation(self._policy.config.input_features)][-frames:]

    def chunk_at(self, t_obs: float) -> np.ndarray:
        """What the policy plans for the newest frames."""
        if not self._frames:
            self.look()
        missing = self._policy.config.n_obs_steps - len(self._frames)
        window = [self._frames[0]] * missing + self._frames
        observation = {name: np.stack([frame[name] for frame in window]) for name in window[0]}
        rows = self.commanded.rows(t_obs, self._policy.config.n_action_steps)
        return self._policy.act(observation, rows).chunk


class _Commanded:
    """Set points by time, read as a policy's history."""

    def __init__(self) -> None:
        self._history = CommandHistory(len(JOINT_NAMES))

    def add(self, time: float, set_point: np.ndarray) -> None:
        self._history.add(Trajectory(time, np.zeros(1), set_point[None]), time)

    def rows(self, t_obs: float, steps: int) -> np.ndarray:
        return self._history.sample(t_obs + _ROUNDING, CONTROL_RATE, steps)


def play_episode(
    world: World, policy: Policy, publication: Publication, seed: int, latency: float, duration: float
) -> tuple[Trace, bool]:
    """One episode from the start that belongs to `seed`: what was commanded, and whether it succeeded."""
    world.reset(seed)
    policy.reset(seed)
    arm = _WorldArm(world, policy)
    sender = Sender(
        publication,
        JOINT_NAMES,
        policy.config.fps,
        policy.config.n_obs_steps,
        policy.settings.action_steps,
    )
    trace = play(
        arm.chunk_at,
        arm,
        sender,
        joint_names=JOINT_NAMES,
        settings=publication.settings,
        cycle=policy.settings.action_steps / policy.config.fps,
        latency=latency,
        duration=duration,
        rate=RATE,
        lead=publication.lead if publication.blend else 0.0,
        transport=TRANSPORT,
        done=lambda: world.success,
    )
    return trace, world.success


def policy_table(
    world: World,
    policy: Policy,
    publications: list[Publication],
    *,
    seed: int,
    episodes: int,
    latency: float,
    duration: float,
    report: Callable[[str], None],
) -> list[dict[str, object]]:
    """One row per way to send the policy's chunks, over the same seeds; the first publication comes first.

    The largest jumps are those of all episodes together; the 99th percentiles are means over episodes.
    """
    rows = []
    for publication in publications:
        found, successes = [], 0
        for number in range(seed, seed + episodes):
            trace, success = play_episode(world, policy, publication, number, latency, duration)
            found.append(jumps(trace))
            successes += success
            report(f"{publication.name}, blend {publication.blend:g} s: seed {number}")
        row: dict[str, object] = {"sent": publication.name, "blend": publication.blend, "latency": latency}
        for name in found[0]:
            values = [jump[name] for jump in found if jump[name] is not None]
            together = max if name.endswith("max") else np.mean
            row[name] = float(together(values)) if values else None
        rows.append(row | {"episodes": episodes, "successes": successes})
    return rows
