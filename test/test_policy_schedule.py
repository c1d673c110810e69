"""Noise tables against published values and diffusers; lists of noise levels."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from policy_helpers import tiny_config

from step_ros.policy.errors import ConfigError
from step_ros.policy.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule(tiny_config())


@pytest.mark.parametrize(
    ("level", "signal", "noise"),
    [(0, 0.9997, 0.025), (5, 0.9945, 0.105), (25, 0.914, 0.405), (50, 0.692, 0.722), (75, 0.365, 0.931)],
)
def test_cosine_table_has_the_known_signal_and_noise(level: int, signal: float, noise: float) -> None:
    assert SCHEDULE.signal[level] == pytest.approx(signal, abs=6e-4)
    assert SCHEDULE.noise[level] == pytest.approx(noise, abs=6e-4)


def test_add_noise_agrees_with_diffusers_row_by_row() -> None:
    clean, noise = torch.randn(4, 16, 3), torch.randn(4, 16, 3)
    levels = torch.tensor([0, 20, 50, 99])
    expected = DDPMScheduler(100, beta_schedule="squaredcos_cap_v2").add_noise(clean, noise, levels)
    torch.testing.assert_close(SCHEDULE.add_noise(clean, noise, levels), expected)


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 10, 16, 100])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_lists_from_noise_agree_with_diffusers(steps: int, spacing: str) -> None:
    scheduler = DDIMScheduler(100, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    assert list(SCHEDULE.timesteps(steps, spacing)) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 10])
def test_linspace_lists_agree_with_the_multistep_solver_of_diffusers(steps: int) -> None:
    scheduler = DPMSolverMultistepScheduler(100, timestep_spacing="linspace")
    scheduler.set_timesteps(steps)
    assert list(SCHEDULE.timesteps(steps, "linspace")) == scheduler.timesteps.tolist()


@pytest.mark.parametrize(
    ("entry", "steps", "levels"),
    [
        (20, 2, (20, 10)),
        (40, 4, (40, 30, 20, 10)),
        (1, 2, (1, 0)),
        (0, 1, (0,)),
        (99, 1, (99,)),
        (3, 4, (3, 2, 1, 0)),
    ],
)
def test_warm_lists_start_at_the_entry_level_whatever_the_number_of_steps(
    entry: int, steps: int, levels: tuple[int, ...]
) -> None:
    assert SCHEDULE.warm_timesteps(entry, steps) == levels


def test_warm_lists_never_repeat_a_level() -> None:
    for entry in range(100):
        for steps in range(1, entry + 2):
            levels = SCHEDULE.warm_timesteps(entry, steps)
            assert len(set(levels)) == steps and min(levels) >= 0 and levels[0] == entry


def test_impossible_lists_are_refused() -> None:
    for bad in (
        lambda: SCHEDULE.timesteps(101),
        lambda: SCHEDULE.timesteps(0),
        lambda: SCHEDULE.timesteps(2, "even"),
    ):
        with pytest.raises(ConfigError):
            bad()
    with pytest.raises(ConfigError, match="1 to 2 for entry_timestep 1"):
        SCHEDULE.warm_timesteps(1, 3)
    with pytest.raises(ConfigError, match="entry_timestep is 100"):
        SCHEDULE.warm_timesteps(100, 1)
