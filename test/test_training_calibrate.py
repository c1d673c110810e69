"""`step-ros calibrate`: the situations are the dataset's windows as the policy encodes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from test_training_stages import root  # noqa: F401 - a fixture

from step_ros.data.reader import Dataset
from step_ros.policy.calibration import load_calibration
from step_ros.policy.checkpoint import load_checkpoint, save_checkpoint
from step_ros.policy.networks import build_networks
from step_ros.training.calibrate import calibrate
from step_ros.training.commands import policy_config


def test_situations_are_encoded_windows_with_the_commands_before_them(root: Path, tmp_path: Path) -> None:  # noqa: F811
    dataset = Dataset(root)
    config = policy_config(dataset, None, down_dims=(16, 32), prediction_type="epsilon")
    save_checkpoint(tmp_path, config, build_networks(config, dataset.stats))
    calibrate(tmp_path, root, samples=1000)
    networks = load_checkpoint(tmp_path)[1]
    found = load_calibration(tmp_path, networks)

    first = dataset.episodes[0].start
    frames = np.full((1, config.n_obs_steps), first)
    observation = {
        name: torch.from_numpy(
            dataset.images(name, config.input_features[name][:2])[frames]
            if name in config.image_names
            else dataset.columns[name][frames]
        )
        for name in config.input_features
    }
    with torch.inference_mode():
        expected = networks.encode(observation)[0].numpy()
    np.testing.assert_allclose(found.features[0], expected, atol=1e-5)
    assert np.isnan(found.commanded[0]).all()
    np.testing.assert_array_equal(found.commanded[1, -1], dataset.columns["action"][first])
    assert np.isnan(found.commanded[1, :-1]).all()
