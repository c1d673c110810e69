"""What a predictor is worth: its error on held-out windows beside that of two untrained guesses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.schedule import NoiseSchedule
from step_ros.policy.solvers import solver_table, walk
from step_ros.training.examples import Examples

WINDOWS = 256
SAMPLER_STEPS = 10
NOISE_SEED = 20_000


@torch.no_grad()
def compare_with_baselines(
    networks: PolicyNetworks,
    held_out: Examples,
    windows: int = WINDOWS,
    told: Callable[[Examples, np.ndarray], tuple[Tensor, Tensor]] = Examples.history,
) -> dict[str, Any]:
    """Errors of three chunks on the same held-out windows, normalised.

    hold repeats the last command. shifted_chunk is what a cycle without predictor has: the chunk that the
    denoiser made one cycle earlier (DDIM, 10 steps), moved on by one cycle, its last action repeated. Each
    gets the root mean square error over the chunk and over its executed part, on windows that have a full
    history. The histories are true ones, which flatters the predictor: in closed loop they are its own.
    `told` says what the predictor gets in windows of the given indices, at run time.

    Returns:
        {"windows": n, "predictor" | "hold" | "shifted_chunk": {"chunk_rmse": …, "executed_rmse": …}}
    """
    config = networks.config
    indices = _with_previous_cycle(held_out, config.n_action_steps, windows)
    if not len(indices):
        return {"windows": 0}
    target = held_out.chunk(indices)
    history, _ = held_out.history(indices)
    unshifted = torch.zeros(len(indices), dtype=torch.int64)
    features = held_out.observed(indices, unshifted)
    earlier = held_out.observed(indices - config.n_action_steps, unshifted)
    predictor = networks.predictor.eval()
    chunks = {
        "predictor": torch.cat(
            [
                predictor(*part)
                for part in zip(*(t.split(64) for t in (*told(held_out, indices), features)), strict=True)
            ]
        ),
        "hold": history[:, -1:].expand_as(target),
        "shifted_chunk": _shifted(_sampled(networks, earlier), config.n_action_steps),
    }
    executed = slice(config.n_obs_steps - 1, config.n_obs_steps - 1 + config.n_action_steps)
    errors = {name: (chunk - target) ** 2 for name, chunk in chunks.items()}
    return {"windows": len(indices)} | {
        name: {"chunk_rmse": _root(error), "executed_rmse": _root(error[:, executed])}
        for name, error in errors.items()
    }


def comparison_text(comparison: dict[str, Any]) -> str:
    """The result of `compare_with_baselines` as a small table."""
    if not comparison["windows"]:
        return "no held-out episode is long enough to compare the predictor on: two cycles and a chunk"
    rows = [f"held-out error of {comparison['windows']} windows, normalised: chunk, executed part"]
    for name, errors in comparison.items():
        if name != "windows":
            rows.append(f"  {name:14s} {errors['chunk_rmse']:.4f}  {errors['executed_rmse']:.4f}")
    return "\n".join(rows)


def _with_previous_cycle(examples: Examples, history: int, count: int) -> np.ndarray:
    """Window indices that have a window of the same episode `history` ticks before them."""
    indices = np.arange(history, len(examples.windows))
    present = examples.windows.present
    same = examples.windows.episode[indices] == examples.windows.episode[indices - history]
    indices = indices[same & (present[indices] - present[indices - history] == history)]
    return indices[np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(np.int64))]


def _sampled(networks: PolicyNetworks, features: Tensor) -> Tensor:
    """Chunks (B, Tp, A) of the denoiser alone."""
    config = networks.config
    schedule = NoiseSchedule(config)
    levels = schedule.timesteps(min(SAMPLER_STEPS, schedule.levels), "leading")
    table = solver_table("ddim", schedule, levels, config.prediction_type, config.clip_sample)
    generator = torch.Generator().manual_seed(NOISE_SEED)
    chunks = []
    for part in features.split(64):
        noise = torch.randn(len(part), config.horizon, config.action_dim, generator=generator).to(part)

        def denoise(sample: Tensor, level: int, seen: Tensor = part) -> Tensor:
            timestep = torch.full((len(sample),), level, device=sample.device)
            return networks.denoise(sample, timestep, seen)

        chunks.append(walk(denoise, noise, levels, torch.from_numpy(table).to(part), [0.0] * len(levels))[0])
    return torch.cat(chunks)


def _shifted(chunk: Tensor, ticks: int) -> Tensor:
    return torch.cat((chunk[:, ticks:], chunk[:, -1:].expand(-1, ticks, -1)), dim=1)


def _root(squares: Tensor) -> float:
    return float(squares.mean().sqrt())
