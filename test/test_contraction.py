"""Contraction: single updates and whole walks of a small denoiser, and what is drawn of them."""

from __future__ import annotations

import numpy as np
import pytest
from policy_helpers import observation, tiny_config, tiny_networks

from step_ros.evaluation.contraction import measure
from step_ros.evaluation.contraction.figure import contraction_figure
from step_ros.evaluation.contraction.measure import DISTANCES, level_rows, ratio_rows
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.errors import ObservationError
from step_ros.policy.probe import Probe
from step_ros.policy.schedule import NoiseSchedule


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(folder, tiny_config(), tiny_networks())
    made = Probe(folder)
    made.look(observation())
    return made


@pytest.fixture
def few_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LEVELS", (0, 20))
    monkeypatch.setattr(measure, "EVERY_LEVEL_UP_TO", 5)


def blind(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A denoiser that does not look at the sample: what is left is the solvers' own arithmetic."""
    monkeypatch.setattr(probe, "_denoise", lambda sample, level: 0.0 * sample)


def test_the_factor_of_a_blind_denoiser_is_that_of_the_solver(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind(probe, monkeypatch)
    rng = np.random.default_rng(0)
    sample, errors = np.zeros((16, 3)), 0.01 * rng.standard_normal((4, 16, 3))
    schedule = NoiseSchedule(probe.config)
    # Noise that is predicted as none leaves the clean estimate x / sqrt(abar), carried to the next level.
    expected = schedule.signal[49] / schedule.signal[50]
    assert probe.factors("ddim", 50, sample, errors) == pytest.approx([expected] * 4, rel=1e-4)
    assert probe.largest_factor("ddim", 50, sample) == pytest.approx(expected, rel=1e-4)


def test_no_small_error_is_stretched_more_than_the_largest_factor(probe: Probe) -> None:
    rng = np.random.default_rng(1)
    sample = 0.3 * rng.standard_normal((16, 3))
    errors = 1e-3 * rng.standard_normal((8, 16, 3))
    for solver in ("ddim", "ddpm", "dpmsolver++"):
        assert probe.factors(solver, 30, sample, errors).max() <= 1.05 * probe.largest_factor(
            solver, 30, sample
        )


def test_ddpms_path_ends_within_the_data_and_is_the_same_for_the_same_seed(probe: Probe) -> None:
    states, chunk = probe.ddpm_path(5)
    assert states.shape == (100, 16, 3) and np.abs(chunk).max() <= 1.0
    assert np.array_equal(probe.ddpm_path(5)[1], chunk)
    assert not np.array_equal(probe.ddpm_path(6)[1], chunk)


@pytest.mark.usefixtures("few_levels")
def test_a_start_at_no_distance_ends_where_ddpms_state_ends(probe: Probe) -> None:
    states, chunk = probe.ddpm_path(0)
    rows = list(ratio_rows(probe, states, chunk, np.random.default_rng(0)))
    assert {row["distance"] for row in rows} == set(DISTANCES)
    for row in rows:
        assert (row["ratio"] is None) == (row["distance"] == 0.0)
        assert row["ratio"] is None or row["ratio"] >= 0.0


def test_an_observation_that_does_not_fit_is_refused(probe: Probe) -> None:
    with pytest.raises(ObservationError):
        probe.look({})


@pytest.mark.usefixtures("few_levels")
def test_the_plot_is_a_picture(probe: Probe) -> None:
    states, chunk = probe.ddpm_path(0)
    rng = np.random.default_rng(0)
    results = {
        "settings": {"task": "tiny", "prediction_type": "epsilon", "observations": 1},
        "levels": list(level_rows(probe, states, rng)),
        "eq18": [row for row in ratio_rows(probe, states, chunk, rng) if row["ratio"] is not None],
    }
    assert contraction_figure(results).startswith(b"\x89PNG")
