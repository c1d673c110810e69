"""The denoiser: LeRobot's parameter names and shapes, and what it computes."""

from __future__ import annotations

import math

import torch
from policy_helpers import tiny_config

from step_ros.policy.config import EncoderConfig, PolicyConfig
from step_ros.policy.unet import ConditionalUnet1d, StepEmbedding


def lerobot_parameters(
    action: int, cond: int, dims: tuple[int, ...], kernel: int, embed: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `diffusion.unet.*` in a LeRobot checkpoint with FiLM scales, from its format."""
    expected: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *weight: int, bias: int) -> None:
        expected[f"{name}.weight"], expected[f"{name}.bias"] = weight, (bias,)

    def conv_block(name: str, c_in: int, c_out: int) -> None:
        layer(f"{name}.block.0", c_out, c_in, kernel, bias=c_out)
        layer(f"{name}.block.1", c_out, bias=c_out)

    def residual(name: str, c_in: int, c_out: int) -> None:
        conv_block(f"{name}.conv1", c_in, c_out)
        layer(f"{name}.cond_encoder.1", 2 * c_out, cond + embed, bias=2 * c_out)
        conv_block(f"{name}.conv2", c_out, c_out)
        if c_in != c_out:
            layer(f"{name}.residual_conv", c_out, c_in, 1, bias=c_out)

    layer("diffusion_step_encoder.1", 4 * embed, embed, bias=4 * embed)
    layer("diffusion_step_encoder.3", embed, 4 * embed, bias=embed)
    inputs = (action, *dims[:-1])
    for level, (c_in, c_out) in enumerate(zip(inputs, dims, strict=True)):
        residual(f"down_modules.{level}.0", c_in, c_out)
        residual(f"down_modules.{level}.1", c_out, c_out)
        if level < len(dims) - 1:
            layer(f"down_modules.{level}.2", c_out, c_out, 3, bias=c_out)
    residual("mid_modules.0", dims[-1], dims[-1])
    residual("mid_modules.1", dims[-1], dims[-1])
    for level in range(len(dims) - 1):
        c_in, c_out = dims[-1 - level], dims[-2 - level]
        residual(f"up_modules.{level}.0", 2 * c_in, c_out)
        residual(f"up_modules.{level}.1", c_out, c_out)
        layer(f"up_modules.{level}.2", c_out, c_out, 4, bias=c_out)
    conv_block("final_conv.0", dims[0], dims[0])
    layer("final_conv.1", action, dims[0], 1, bias=action)
    return expected


def test_parameters_are_those_of_lerobots_default_network() -> None:
    config = PolicyConfig(
        input_features={"observation.state": (2,), "observation.images.top": (96, 96, 3)},
        action_names=("x", "y"),
        down_dims=(512, 1024, 2048),
        encoder=EncoderConfig(feature_dim=64),
    )
    with torch.device("meta"):
        unet = ConditionalUnet1d(config)
    found = {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
    assert found == lerobot_parameters(
        action=2, cond=2 * (2 + 64), dims=(512, 1024, 2048), kernel=5, embed=128
    )


def test_two_levels_without_film_scale_have_half_the_modulation() -> None:
    unet = ConditionalUnet1d(tiny_config(use_film_scale_modulation=False))
    assert unet.mid_modules[0].cond_encoder[1].out_features == 16
    assert unet(torch.zeros(2, 16, 3), torch.tensor([0, 5]), torch.zeros(2, 18)).shape == (2, 16, 3)


def test_step_embedding_is_sines_then_cosines_of_falling_frequency() -> None:
    found = StepEmbedding(8)(torch.tensor([7]))[0]
    phases = [7 * 10000.0 ** (-index / 3) for index in range(4)]
    expected = [math.sin(p) for p in phases] + [math.cos(p) for p in phases]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_output_depends_on_level_condition_and_sample_of_its_own_row_only() -> None:
    torch.manual_seed(0)
    unet = ConditionalUnet1d(tiny_config())
    x, level, condition = torch.randn(2, 16, 3), torch.tensor([3, 3]), torch.randn(2, 18)
    base = unet(x, level, condition)
    for changed in (
        unet(x + torch.tensor([1.0, 0.0]).view(2, 1, 1), level, condition),
        unet(x, torch.tensor([50, 3]), condition),
        unet(x, level, condition + torch.tensor([[1.0], [0.0]])),
    ):
        assert (changed[0] - base[0]).abs().max() > 1e-4
        torch.testing.assert_close(changed[1], base[1])
