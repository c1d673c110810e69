"""How far a method's chunks are from DDPM's on the same observations, with the same noise at each of them.

DDPM drives; what it saw and commanded is shown to every method in turn, episode by episode. A method keeps
its own state between cycles, as on the arm, but its history of commands is what DDPM commanded. DDPM itself
draws from a distribution, so it is asked several times: `distance` is to the draw that began with the
method's own noise, `nearest` to the nearest draw, and both are measured as well for one more draw of DDPM:
what independent samples of the same distribution come to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from step_ros.evaluation.rollout import run_episode
from step_ros.policy.policy import Plan, Policy
from step_ros.sim.environment import Environment

DRAWS = 3
"""Chunks of DDPM at each observation that methods are compared with."""
_APART = 1_000_003
"""Distance of the noise seeds of one draw to those of the next."""


@dataclass(frozen=True)
class Seen:
    """One cycle of DDPM's episode: the window, and the commands (Ta, A) before it, NaN before the start."""

    window: Mapping[str, np.ndarray]
    commanded: np.ndarray


class EpisodeOfDDPM:
    """What DDPM saw in one episode, and its chunks there.

    Args:
        world: the task.
        policy: with method `ddpm` in force.
        seed: of the episode.
        max_ticks: as for `run_episode`.
    """

    def __init__(self, world: Environment, policy: Policy, seed: int, max_ticks: int | None = None) -> None:
        self.seed = seed
        self._config = policy.config
        self._low, self._high = policy.action_range
        self._cycles: list[Seen] = []
        past = np.full((policy.config.n_action_steps, policy.config.action_dim), np.nan)

        def watch(window: Mapping[str, np.ndarray], plan: Plan) -> None:
            nonlocal past
            self._cycles.append(Seen(window, past))
            past = np.concatenate([past, plan.executed])[-len(past) :]

        run_episode(world, policy, seed, max_ticks, watch)
        self._draws = [self._chunks(policy, draw)[0] for draw in range(DRAWS)]
        self._another = self._chunks(policy, DRAWS)

    def floor(self) -> dict:
        """One more draw of DDPM compared with the others, as a row."""
        return self._row(*self._another)

    def compare(self, policy: Policy) -> dict:
        """A row: distances in normalised units, root mean square over the executed part of the chunk, means
        over cycles after the first; and the median of a cycle's milliseconds."""
        return self._row(*self._chunks(policy, 0))

    def _chunks(self, policy: Policy, draw: int) -> tuple[np.ndarray, list[float]]:
        """Executed parts (cycles, Ta, A), normalised, and milliseconds of each cycle."""
        policy.reset()
        chunks, spent = [], []
        for number, seen in enumerate(self._cycles):
            _restart_noise(policy, (self.seed + number) + draw * _APART)
            plan = policy.act(seen.window, seen.commanded)
            chunks.append(plan.chunk)
            spent.append(plan.milliseconds["total"])
        first = self._config.n_obs_steps - 1
        executed = np.stack(chunks)[:, first : first + self._config.n_action_steps]
        return (executed - self._low) * 2 / (self._high - self._low), spent

    def _row(self, chunks: np.ndarray, spent: list[float]) -> dict:
        later = slice(1 if len(chunks) > 1 else 0, None)
        distances = np.stack(
            [np.sqrt(np.mean((chunks - draw)[later] ** 2, axis=(1, 2))) for draw in self._draws]
        )
        return {
            "seed": self.seed,
            "cycles": distances.shape[1],
            "distance": float(distances[0].mean()),
            "nearest": float(distances.min(axis=0).mean()),
            "ms": float(np.median(spent[later])),
        }


def compare_with_ddpm(
    world: Environment,
    ddpm: Callable[[], Policy],
    policies: Iterable[tuple[str, Callable[[], Policy]]],
    seed: int,
    max_ticks: int | None = None,
) -> tuple[dict, dict[str, dict]]:
    """The floor, and a row for every method, of one episode.

    Args:
        ddpm: gives the reference, ready to act.
        policies: label, and what gives the policy with this method in force; it may be the same object.
    """
    episode = EpisodeOfDDPM(world, ddpm(), seed, max_ticks)
    return episode.floor(), {label: episode.compare(policy()) for label, policy in policies}


def _restart_noise(policy: Policy, seed: int) -> None:
    """Seed the noise of the next cycle and keep what the policy carries between cycles."""
    carried = copy.deepcopy(policy.state)
    policy.reset(seed)
    policy.state = carried
