"""The frozen encoders that make a dataset's features, by whatever runs them."""

from __future__ import annotations

import lerobot_checkpoints as lerobot
import numpy as np
import pytest
import torch
from policy_helpers import TOP, tiny_networks

from step_ros.policy.checkpoint import load_checkpoint
from step_ros.training.features import compiles, frame_encoder

CPU = torch.device("cpu")


def test_a_resnets_features_by_openvino_are_those_of_torch(tmp_path) -> None:
    pytest.importorskip("openvino")
    _, networks = load_checkpoint(lerobot.restore("0.6", "resize and crop ratio", tmp_path))
    networks.requires_grad_(False)
    assert compiles(networks, CPU)
    frames = np.random.default_rng(20000).integers(0, 256, (3, 84, 100, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = networks.encode_frames(TOP, torch.from_numpy(frames))
    found = frame_encoder(networks, TOP, CPU)(frames)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)


def test_small_encoders_and_gpus_keep_to_torch() -> None:
    networks = tiny_networks()
    assert not compiles(networks, CPU)
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    expected = networks.encode_frames(TOP, torch.from_numpy(frames))
    torch.testing.assert_close(frame_encoder(networks, TOP, CPU)(frames), expected)
