"""Encoders and `encode`: key points, pixel types, poses, order of features."""

from __future__ import annotations

import torch
from policy_helpers import STATE, TOP, tiny_config, tiny_networks

from step_ros.policy.config import EncoderConfig, EnvironmentEncoderConfig
from step_ros.policy.encoder import ImageEncoder, SpatialSoftmax
from step_ros.policy.networks import build_networks

ENVIRONMENT = "observation.environment_state"


def test_spatial_softmax_returns_column_row_and_value_of_a_peak() -> None:
    maps = torch.zeros(1, 2, 5, 9)
    maps[0, 0, 0, 8] = 50.0
    maps[0, 1, 4, 4] = 40.0
    x0, x1, y0, y1, value0, value1 = SpatialSoftmax()(maps)[0].tolist()
    assert (round(x0, 3), round(y0, 3), round(value0, 3)) == (1.0, -1.0, 50.0)
    assert (round(x1, 3), round(y1, 3), round(value1, 3)) == (0.0, 1.0, 40.0)


def test_bytes_and_floats_of_the_same_image_give_the_same_features() -> None:
    encoder = ImageEncoder(EncoderConfig(channels=8, keypoints=4, feature_dim=6))
    image = torch.randint(0, 256, (2, 48, 64, 3), dtype=torch.uint8)
    torch.testing.assert_close(encoder(image), encoder(image.float() / 255.0))


def test_default_encoder_takes_96_pixels_to_64_features_with_few_parameters() -> None:
    encoder = ImageEncoder(EncoderConfig())
    assert encoder(torch.zeros(1, 96, 96, 3)).shape == (1, 64)
    assert sum(parameter.numel() for parameter in encoder.parameters()) < 40_000


def test_each_frame_is_encoded_by_itself_with_shared_weights() -> None:
    networks = tiny_networks()
    window = {STATE: torch.randn(1, 2, 3), TOP: torch.randint(0, 256, (1, 2, 32, 32, 3), dtype=torch.uint8)}
    swapped = {name: tensor.flip(1) for name, tensor in window.items()}
    torch.testing.assert_close(networks.encode(swapped), networks.encode(window).flip(1))


def test_features_are_state_then_cameras_in_order_then_environment_state() -> None:
    shapes = {
        "observation.environment_state": (3,),
        "observation.images.b": (32, 32, 3),
        STATE: (3,),
        "observation.images.a": (32, 32, 3),
    }
    limits = {"min": [-1.0] * 3, "max": [1.0] * 3}
    stats = dict.fromkeys((STATE, "observation.environment_state", "action"), limits)
    networks = build_networks(tiny_config(input_features=shapes), stats)
    window = {name: torch.zeros(1, 2, *shape) for name, shape in shapes.items()}
    base = networks.encode(window)
    slices = {
        STATE: slice(0, 3),
        "observation.images.b": slice(3, 9),
        "observation.images.a": slice(9, 15),
        "observation.environment_state": slice(15, 18),
    }
    for name, expected in slices.items():
        changed = networks.encode({**window, name: torch.rand(1, 2, *shapes[name])})
        moved = ((changed - base).abs() > 1e-7).any(dim=1)[0]
        assert moved[expected].all() and int(moved.sum()) == expected.stop - expected.start


def test_what_poses_are_encoded_to_stands_behind_the_poses() -> None:
    shapes = {STATE: (3,), ENVIRONMENT: (3,)}
    size = EnvironmentEncoderConfig(hidden=8, feature_dim=4)
    limits = {"min": [0.0] * 3, "max": [10.0] * 3}
    stats = dict.fromkeys((STATE, ENVIRONMENT, "action"), limits)
    config = tiny_config(input_features=shapes, environment_encoder=size)
    networks = build_networks(config, stats)
    window = {name: 10 * torch.rand(1, 2, 3) for name in shapes}
    features = networks.encode(window)
    poses = window[ENVIRONMENT] / 5 - 1
    assert features.shape == (1, 2, config.feature_dim) == (1, 2, 3 + 3 + 4)
    torch.testing.assert_close(features[..., 3:6], poses)
    torch.testing.assert_close(features[..., 6:], networks.encoders["environment_state"](poses))
