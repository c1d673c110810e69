"""Training windows over episodes: what an example sees, what it shall do, and what it has done.

Everything here is index arithmetic. For present frame t, To observation frames, horizon Tp and history Ta:

    observation  frames  t-To+1 ... t                the first frame repeated before the episode's start
    chunk        actions t-To+1 ... t-To+Tp          index 0 belongs to the oldest observation frame
    history      actions t-Ta   ... t-1              strictly past; masked before the episode's start

Present frames run from an episode's first to the last whose executed part a[t] ... a[t+Ta-1] is wholly
recorded (diffusion policy's padding: To-1 before, Ta-1 after); frames outside the episode repeat its edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset


@dataclass(frozen=True)
class Batch:
    """B windows; masks are True where an element was recorded; else history is 0, action the edge repeated.

    observation: name -> (B, To, *shape); action (B, Tp, A); history (B, Ta, A); masks (B, Tp) and (B, Ta).
    """

    observation: dict[str, np.ndarray]
    action: np.ndarray
    action_mask: np.ndarray
    history: np.ndarray
    history_mask: np.ndarray


class Windows:
    """All windows of the chosen episodes (indices into `dataset.episodes`; None for all)."""

    def __init__(
        self,
        dataset: Dataset,
        n_obs_steps: int,
        horizon: int,
        n_action_steps: int,
        episodes: Iterable[int] | None = None,
    ) -> None:
        self.dataset = dataset
        self.n_obs_steps = n_obs_steps
        self.horizon = horizon
        self.n_action_steps = n_action_steps
        chosen = [
            dataset.episodes[k] for k in (range(len(dataset.episodes)) if episodes is None else episodes)
        ]
        counts = [max(e.length - horizon + n_action_steps + n_obs_steps - 1, 0) for e in chosen]
        if sum(counts) == 0:
            lengths = [episode.length for episode in chosen]
            shortest = horizon - n_action_steps - n_obs_steps + 2
            raise DatasetError(dataset.root, "episode lengths", lengths, f"one of at least {shortest} frames")
        self.present = np.concatenate([e.start + np.arange(n) for e, n in zip(chosen, counts, strict=True)])
        self._starts = np.repeat([e.start for e in chosen], counts)
        self._stops = np.repeat([e.stop for e in chosen], counts)
        self.episode = np.repeat([e.index for e in chosen], counts)

    def __len__(self) -> int:
        return len(self.present)

    def observation_frames(self, indices: np.ndarray) -> np.ndarray:
        """Frame numbers (B, To), oldest first."""
        return self._frames(indices, np.arange(1 - self.n_obs_steps, 1))[0]

    def chunk_frames(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frame numbers (B, Tp) of the chunk's actions, and which of them are recorded, not repeated."""
        return self._frames(indices, np.arange(self.horizon) + 1 - self.n_obs_steps)

    def history_frames(
        self, indices: np.ndarray, shift: np.ndarray | int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frame numbers (B, Ta) of the past actions, oldest first, and which of them exist.

        shift: ticks, one for all or (B,); moves the history in time. Only for augmentation: 0 is the truth,
        and more than 0 lets the history see actions that it cannot have at run time.
        """
        offsets = np.arange(-self.n_action_steps, 0) + np.asarray(shift).reshape(-1, 1)
        return self._frames(indices, offsets)

    def batch(self, indices: np.ndarray, observations: Iterable[str]) -> Batch:
        """The windows of the given indices with the named observation features, in the dataset's units."""
        indices = np.asarray(indices)
        frames = self.observation_frames(indices)
        chunk, chunk_mask = self.chunk_frames(indices)
        history, history_mask = self.history_frames(indices)
        cameras, columns = self.dataset.cameras, self.dataset.columns
        return Batch(
            observation={
                name: self.dataset.images(name)[frames] if name in cameras else columns[name][frames]
                for name in observations
            },
            action=columns["action"][chunk],
            action_mask=chunk_mask,
            history=np.where(history_mask[..., None], columns["action"][history], np.float32(0)),
            history_mask=history_mask,
        )

    def _frames(self, indices: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frames = self.present[indices][:, None] + offsets
        starts, stops = self._starts[indices][:, None], self._stops[indices][:, None]
        return np.clip(frames, starts, stops - 1), (frames >= starts) & (frames < stops)


def split_episodes(count: int, held_out: float, seed: int) -> tuple[list[int], list[int]]:
    """Episode indices for training and held out: disjoint, together all, the same for the same seed.

    held_out: share of the episodes, in [0, 1); above 0 at least one is held out, if one remains to train on.
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out: found {held_out}, accepted: 0 to below 1")
    order = np.random.default_rng(seed).permutation(count)
    size = min(max(round(held_out * count), 1 if held_out else 0), count - 1)
    return sorted(order[size:].tolist()), sorted(order[:size].tolist())
