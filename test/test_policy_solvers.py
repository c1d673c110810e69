"""Solvers against diffusers, step by step where its lists agree with ours, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from policy_helpers import tiny_config

from step_ros.policy.schedule import NoiseSchedule
from step_ros.policy.solvers import SOLVERS, solver_table, walk

SCHEDULE = NoiseSchedule(tiny_config())
SHAPE = (1, 16, 3)
COMMON = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}


def network(sample: torch.Tensor, level: int) -> torch.Tensor:
    """A smooth stand-in for a denoiser whose clean-sample estimates leave [-1, 1] now and then."""
    return torch.tanh(sample * 1.3 + 0.01 * level) * 1.1


def visited(
    name: str,
    levels: tuple[int, ...],
    start: torch.Tensor,
    denoise: Callable[[torch.Tensor, int], torch.Tensor] = network,
    kind: str = "epsilon",
    seed: int = 0,
) -> list[torch.Tensor]:
    """The samples at all levels and the clean one at the end."""
    generator = torch.Generator().manual_seed(seed)
    fresh = [torch.randn(SHAPE, generator=generator) for _ in levels[1:]]
    samples = []

    def recording(sample: torch.Tensor, level: int) -> torch.Tensor:
        samples.append(sample)
        return denoise(sample, level)

    table = torch.from_numpy(solver_table(name, SCHEDULE, levels, kind))
    clean, _ = walk(recording, start, levels, table, fresh)
    return [*samples[1:], clean]


def compare_with(scheduler: object, name: str, levels: tuple[int, ...], kind: str) -> None:
    """Walk both down the same list from the same noise and compare every intermediate sample."""
    assert scheduler.timesteps.tolist() == list(levels)
    random = {"generator": torch.Generator().manual_seed(0)} if name == "ddpm" else {}
    expected = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    for level, sample in zip(levels, visited(name, levels, expected, kind=kind), strict=True):
        expected = scheduler.step(network(expected, level), level, expected, **random).prev_sample
        torch.testing.assert_close(sample, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["epsilon", "sample"])
@pytest.mark.parametrize(
    ("steps", "spacing"), [(2, "leading"), (10, "leading"), (4, "trailing"), (10, "trailing")]
)
def test_ddim_agrees_with_diffusers(steps: int, spacing: str, kind: str) -> None:
    scheduler = DDIMScheduler(**COMMON, prediction_type=kind, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    compare_with(scheduler, "ddim", SCHEDULE.timesteps(steps, spacing), kind)


@pytest.mark.parametrize("kind", ["epsilon", "sample"])
@pytest.mark.parametrize("steps", [100, 10])
def test_ddpm_agrees_with_diffusers(steps: int, kind: str) -> None:
    scheduler = DDPMScheduler(**COMMON, prediction_type=kind)
    scheduler.set_timesteps(steps)
    compare_with(scheduler, "ddpm", SCHEDULE.timesteps(steps), kind)


@pytest.mark.parametrize("steps", [2, 4, 10])
def test_dpm_solver_agrees_with_diffusers_when_that_one_clips_too(steps: int) -> None:
    scheduler = DPMSolverMultistepScheduler(
        **COMMON,
        timestep_spacing="linspace",
        thresholding=True,
        dynamic_thresholding_ratio=1.0,
        sample_max_value=1.0,
    )
    scheduler.set_timesteps(steps)
    compare_with(scheduler, "dpmsolver++", SCHEDULE.timesteps(steps, "linspace"), "epsilon")


def test_a_step_goes_to_the_lists_own_successor() -> None:
    """In the trailing list of 8 steps 87 is followed by 74, where diffusers would subtract 12 and take 75."""
    levels = SCHEDULE.timesteps(8, "trailing")
    sample, noise = torch.full(SHAPE, 0.3), torch.full(SHAPE, 0.2)
    index = levels.index(87)
    clean = ((sample - SCHEDULE.noise[87] * noise) / SCHEDULE.signal[87]).clip(-1, 1)
    expected = SCHEDULE.signal[74] * clean + SCHEDULE.noise[74] * noise
    found = visited("ddim", levels[index:], sample, lambda x, level: noise)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("levels", [(99, 98, 50, 3), (75, 25), (20, 10), (0,), (99,)])
def test_every_solver_ends_inside_the_data_range_however_wrong_the_network(
    name: str, levels: tuple[int, ...]
) -> None:
    chunk = visited(name, levels, torch.randn(SHAPE), lambda x, level: torch.full(SHAPE, 3.0))[-1]
    assert chunk.abs().max() <= 1.0


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("kind", ["epsilon", "sample"])
def test_a_perfect_network_is_followed_to_its_clean_sample(name: str, kind: str) -> None:
    clean = torch.rand(SHAPE) * 1.6 - 0.8
    levels = (80, 60, 30, 10)

    def perfect(sample: torch.Tensor, level: int) -> torch.Tensor:
        noise = (sample - SCHEDULE.signal[level] * clean) / SCHEDULE.noise[level]
        return clean if kind == "sample" else noise

    start = SCHEDULE.signal[80] * clean + SCHEDULE.noise[80] * torch.randn(SHAPE)
    torch.testing.assert_close(visited(name, levels, start, perfect, kind)[-1], clean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SOLVERS)
def test_numpy_and_torch_give_the_same_numbers(name: str) -> None:
    levels, start = (60, 40, 20), torch.randn(SHAPE)
    fresh = torch.randn(2, *SHAPE)
    table = solver_table(name, SCHEDULE, levels, "epsilon")

    def on_arrays(sample: np.ndarray, level: int) -> np.ndarray:
        return network(torch.from_numpy(sample), level).numpy()

    array, _ = walk(on_arrays, start.numpy(), levels, table, fresh.numpy())
    tensor, _ = walk(network, start, levels, torch.from_numpy(table), fresh)
    assert isinstance(array, np.ndarray) and array.dtype == np.float32
    np.testing.assert_allclose(array, tensor.numpy(), atol=1e-6)


def test_the_adjacent_posterior_is_that_of_a_library_that_does_not_look_at_the_list() -> None:
    """diffusers without `set_timesteps` steps from t to t - 1, as its versions up to 0.11 always did."""
    scheduler, levels = DDPMScheduler(**COMMON, clip_sample=True), (40, 25, 7, 3, 0)
    generator = torch.Generator().manual_seed(0)
    expected = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    for level, sample in zip(levels, visited("ddpm_adjacent", levels, expected), strict=True):
        output = network(expected, level)
        expected = scheduler.step(output, level, expected, generator=generator).prev_sample
        torch.testing.assert_close(sample, expected, atol=2e-4, rtol=1e-3)


def test_without_gaps_the_adjacent_posterior_is_the_lists() -> None:
    levels = tuple(range(99, -1, -1))
    tables = [solver_table(name, SCHEDULE, levels, "epsilon") for name in ("ddpm", "ddpm_adjacent")]
    np.testing.assert_array_equal(*tables)


@pytest.mark.parametrize("kind", ["epsilon", "sample"])
@pytest.mark.parametrize("steps", [1, 2, 4, 10, 20])
def test_unclipped_dpm_solver_is_the_librarys_default(steps: int, kind: str) -> None:
    scheduler = DPMSolverMultistepScheduler(**COMMON, prediction_type=kind)
    scheduler.set_timesteps(steps)
    levels = SCHEDULE.timesteps(steps, "linspace")
    assert scheduler.timesteps.tolist() == list(levels)
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    table = torch.from_numpy(solver_table("dpmsolver++", SCHEDULE, levels, kind, limit=None))
    found, _ = walk(network, start, levels, table, [0.0] * steps)
    expected = start
    for level in scheduler.timesteps:
        expected = scheduler.step(network(expected, int(level)), level, expected).prev_sample
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
